// Package event holds the typed events of the server and the Sink that takes
// them. The log line of an outcome is one Sink, the feed of webhooks and streams
// another. Events carry plain values, so that the package stands on the lowest
// floor. A push token, and the keys that go with one, are in one event alone, as
// Secrets.
//
// What other programs get is in schema.go: it changes by additions only.
package event

import (
	"log/slog"
	"time"

	"reveille/flow"
)

// An Event is one of the structs of this package.
type Event interface {
	// Type is the event's stable name in the JSON form and in metrics, such as
	// "binding.registered".
	Type() string
	// data is what the JSON form carries.
	data(Detail) any
	// level and line are the event's log line; an attribute without a value is
	// left out.
	level() slog.Level
	line() (string, []slog.Attr)
}

// A Sink takes events. Emit must not block and may be called from any
// goroutine; it may be called under no lock of the caller's.
type Sink interface {
	Emit(Event)
}

// Fan is a Sink that hands each event to several.
type Fan []Sink

// Emit implements Sink.
func (f Fan) Emit(e Event) {
	for _, s := range f {
		s.Emit(e)
	}
}

// Discard is a Sink that drops everything.
type Discard struct{}

// Emit implements Sink.
func (Discard) Emit(Event) {}

// Registration is a change of a binding, or a REGISTER that was refused.
type Registration struct {
	// Action is "created", "updated", "refreshed", "removed", "expired", "dormant" (it
	// ended, and its device may still be woken) or "refused".
	Action string
	// Cause is usrloc's name of the cause: "register", "expiry", "operator", "dead_token", …
	Cause string
	AOR   string
	// Binding is the binding's identity in hexadecimal; empty if refused.
	Binding  string
	Contact  string // without pn-* parameters
	Received string // where a proxy saw the phone, a SIP URI
	Path     []string
	// Q is the preference in thousandths, negative if the phone named none.
	Q                  int
	UserAgent, Methods string
	Instance           string
	RegID              uint32
	// Attributes are those of usrloc.Binding. Shared, not to be changed.
	Attributes map[string]string
	// Provider and Param are pn-provider and pn-param, empty without push. Wakeable
	// says that there is a token.
	Provider, Param string
	Wakeable        bool
	CallID          string
	CSeq            uint32
	Flow            flow.Flow
	Created         time.Time
	Expires         time.Time
	// Latency is how long the phone took for its last answer to OPTIONS, 0 if
	// unknown.
	Latency time.Duration
	// MovedTo is the user who has the phone's push token now, if that is the cause.
	MovedTo string
	// Status and Reason are the answer if the REGISTER was refused.
	Status int
	Reason string
}

// RefreshDue says that a device must be woken to refresh its binding.
type RefreshDue struct {
	AOR, Binding, Provider, Param string
	Expires                       time.Time
}

// PushRequested says that a push was handed to the dispatcher.
type PushRequested struct {
	PushID, AOR, Binding, Provider, Param, PushKind string
	Method, CallID                                  string
	Deadline                                        time.Time
	// Request is that of the Call which waits, 0 if none does.
	Request uint64
	// Usual is how long the phone takes to wake, Spread the mean deviation from that;
	// 0 if nothing is known of it.
	Usual, Spread time.Duration
}

// PushSend asks whoever hears it to push: the app's credential is "event". It comes
// once for each push, after what the dispatcher does for all apps: requests for
// one device are one push, and queues and limits hold.
type PushSend struct {
	PushID, AOR, Binding, App, Provider, Param, PushKind string
	Method, CallID                                       string
	Token                                                Secret
	// P256DH and Auth are the keys of a Web Push subscription, empty if the phone gave
	// none.
	P256DH, Auth Secret
	// Extra are the further fields of payloads, if any are configured.
	Extra    map[string]string
	Deadline time.Time
}

// PushReported says what a push system of the operator's own reported of a push.
type PushReported struct {
	// PushID is empty if the report was about a binding or a user.
	PushID, AOR, Binding string
	// Result is "delivered", "gone" or "failed"; Reason is the reporter's word.
	Result, Reason string
}

// PushOutcome says what became of a push.
type PushOutcome struct {
	PushID, AOR, Binding, Provider, PushKind string
	// SentAs is the PushID of the push that was sent for this one, if both were one
	// wake; else empty.
	SentAs           string
	Class, Reason    string
	Status, Attempts int
	Latency          time.Duration
	Err              error
	// Request and CallID are as in PushRequested.
	Request uint64
	CallID  string
	// Proven: the push service took a push with the same credential lately.
	Proven bool
	// Expired is when the credential of the app ExpiredApp ended, if that may be why.
	ExpiredApp string
	Expired    time.Time
	// Tries are the attempts, the first of them first; of many the last are left out.
	Tries []Try
}

// A Try is one attempt at a push service.
type Try struct {
	Began  time.Time
	Took   time.Duration
	Class  string
	Reason string
	Status int
}

// Call is a step in the life of a request that the proxy handles.
type Call struct {
	// Step is "received", "silent", "parked", "ringback", "woken", "released",
	// "forwarded", "ringing", "answered", "timed_out", "branch_ended", "diverted",
	// "cancelled", "failed" or "refused". A request that waited for its phone is released
	// where others are forwarded. One that is refused got no further than a Rule.
	Step           string
	Method, CallID string
	From, To       string // AORs or URIs without parameters
	AOR, Binding   string // the device concerned, if one is
	PushID         string
	Flow           flow.Flow
	// Status is the SIP status of the step, 0 if none.
	Status int
	Reason string
	// Elapsed is the time since the request arrived; for "woken" the time since
	// the push was requested.
	Elapsed time.Duration
	// Request tells the requests of this node apart: a later one has a greater number,
	// and one that came again after its answer has another.
	Request uint64
	// Asleep: the request has met a phone that has to be woken, or cannot be.
	Asleep bool
	// Phone: Status and Reason are the answer of a phone or next hop, in place of a word
	// of this server.
	Phone bool
	// Rule is which one refused the request, in "refused".
	Rule Rule
	// Lookup is what the look-up of the user's phones came to, in "received", "parked",
	// "silent" and "failed"; Phones is how many there were.
	Lookup string
	Phones int
	// Sleeper tells of the phone in "parked", "silent" and "branch_ended"; else nil.
	Sleeper *Sleeper
}

// A Sleeper is a phone of a request that met one that has to be woken.
type Sleeper struct {
	Instance, Provider, Param, UserAgent string
	// Deadline is until when the request waits for it; zero if it does not.
	Deadline time.Time
	// Lacks is why nothing wakes it: "NoToken", "DeadToken", "NoApp" or
	// "BadParameters"; empty if a push may.
	Lacks string
}

// FlowClosed says that a connection ended.
type FlowClosed struct {
	Flow flow.Flow
	Err  error
}

// AuthFailed is a failed authentication, in the one stable form that fail2ban
// reads.
type AuthFailed struct {
	Method, User, Realm string
	Flow                flow.Flow
	Reason              string
}

// A Secret is a push token or a key that goes with one. It is shown to nobody but those whom the operator
// named.
type Secret string

// redacted stands for a Secret.
const redacted = "<redacted>"

// String hides the secret from fmt.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// LogValue hides the secret from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the secret from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
