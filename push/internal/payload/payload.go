// Package payload makes what a push says to the app from a template of the
// operator's.
//
// A template is text/template whose actions are escaped for their place as
// html/template does it: whatever a caller's name holds, it stays inside the
// JSON string or the URL segment where the template puts it. Senders bring the
// rules of their push service; this package knows none.
package payload

import (
	"time"

	"reveille/push"
)

// Fields are what templates see. In JSON they are what a webhook is posted by
// default.
type Fields struct {
	Provider string `json:"provider"`
	Param    string `json:"param,omitempty"`
	PRID     string `json:"prid"`
	Token    string `json:"-"` // PRID by another name
	Use      string `json:"use"`
	Kind     string `json:"kind"`
	Method   string `json:"method,omitempty"`
	AOR      string `json:"aor"`
	CallID   string `json:"call_id,omitempty"`
	PushID   string `json:"push_id,omitempty"`
	Deadline int64  `json:"deadline"` // Unix seconds, 0 if none
	// ExpiresAt is Deadline by the name that payloads have for it.
	ExpiresAt int64 `json:"-"`
	TTL       int64 `json:"ttl"` // seconds
	// Data is what the configuration lets pushes say besides.
	Data map[string]string `json:"data,omitempty"`
	// CallerName and CallerNumber are those of Data, empty unless configured.
	CallerName   string `json:"-"`
	CallerNumber string `json:"-"`
}

// NewFields collects what r says, tok being the token that is used. The Request
// itself is not given to templates: what else it holds is none of theirs.
func NewFields(r *push.Request, tok push.Token, now time.Time) Fields {
	f := Fields{
		Provider: r.Params.Provider, Param: r.Params.Param, PRID: tok.PRID, Token: tok.PRID, Use: tok.Use.String(),
		Kind: r.Kind.String(), Method: r.Method, AOR: r.AOR, CallID: r.CallID, PushID: r.PushID,
		TTL: int64(push.TTL(r, now) / time.Second), Data: r.Data,
		CallerName: r.Data["caller_name"], CallerNumber: r.Data["caller_number"],
	}
	if !r.Deadline.IsZero() {
		f.Deadline = r.Deadline.Unix()
		f.ExpiresAt = f.Deadline
	}
	return f
}

// Samples are requests to try a template with when it is loaded: every kind,
// with and without what may be missing, and values that break a template which
// puts them outside of quotes.
func Samples(provider string) []*push.Request {
	const nasty = "a\"b\\c\n/../?x=1&y#z{}é"
	now := time.Now()
	var all []*push.Request
	for kind := push.Call; kind <= push.Cancel; kind++ {
		plain := &push.Request{
			AOR: "sip:alice@example.com", Params: push.Params{Provider: provider, Param: "TEAM567890.com.example.app"},
			Tokens: []push.Token{{PRID: "00"}}, Kind: kind, PushID: "ABC", Deadline: now.Add(20 * time.Second),
		}
		odd := *plain
		odd.Method, odd.CallID, odd.AOR, odd.PushID = nasty, nasty, nasty, nasty
		odd.Params.Param = nasty
		odd.Deadline = time.Time{}
		odd.Data = map[string]string{
			"caller_name": nasty, "caller_number": nasty, "pn-call-str": nasty, "pn-msg-str": nasty, "pn-msg-snd": nasty, "pn-call-snd": nasty,
		}
		voip := *plain
		voip.Tokens = []push.Token{{PRID: "00", Use: push.VoIP}, {PRID: "01", Use: push.Remote}}
		all = append(all, plain, &odd, &voip)
	}
	return all
}
