package contacts

import (
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/internal/wake"
	"reveille/usrloc"
)

// The states of a Contact.
const (
	// Awake: a request is sent to the phone without a push.
	Awake = "awake"
	// Asleep: the phone has to be woken first.
	Asleep = "asleep"
	// Dormant: the registration has ended, and the phone is woken all the same.
	Dormant = "dormant"
	// Unreachable: there is neither a way to the phone nor one to wake it.
	Unreachable = "unreachable"
)

// Flags of a Contact.
const (
	// Static: an operator added it by hand; no REGISTER made it.
	Static = "static"
	// InMemory: it does not survive a restart, for the store has no disk.
	InMemory = "memory"
	// NAT: the phone was seen at another address than its contact names.
	NAT = "nat"
	// Push: the phone can be woken.
	Push = "push"
)

// A Contact is one binding of a user, for operators and programs. It holds no push
// token, but in Push and in Contact for those who may see them.
type Contact struct {
	ID         string            `json:"id" doc:"Names the binding for as long as the phone keeps coming back (ruid)." example:"0c4e5c3f2a9d4e1f8a7b6c5d4e3f2a1b"`
	AOR        string            `json:"aor" example:"sip:alice@example.com"`
	Domain     string            `json:"domain"`
	AORHash    int               `json:"aor_hash" doc:"The partition of the AOR, 0 to 65535."`
	State      string            `json:"state" enum:"awake,asleep,dormant,unreachable" doc:"awake: requests are sent at once. asleep: a push comes first. dormant: it has expired, and is woken all the same. unreachable: there is no way to it."`
	Contact    string            `json:"contact" doc:"The Contact URI, without its push parameters."`
	Path       []string          `json:"path,omitempty" doc:"The Path values, topmost first."`
	Received   string            `json:"received,omitempty" doc:"Where the phone was seen, as a SIP URI."`
	Expires    time.Time         `json:"expires"`
	ExpiresAt  int64             `json:"expires_unix" doc:"expires in seconds since 1970."`
	ExpiresIn  int64             `json:"expires_in" doc:"Seconds until then; below 0 for a dormant one."`
	CallID     string            `json:"call_id,omitempty" doc:"Of the last REGISTER; none for one that was added by hand."`
	CSeq       uint32            `json:"cseq"`
	Q          *float64          `json:"q,omitempty" doc:"The preference, 0 to 1, if there is one."`
	Flags      []string          `json:"flags" doc:"static: added by hand. memory: gone after a restart."`
	CFlags     []string          `json:"cflags" doc:"nat: seen at another address than its contact names. push: can be woken."`
	UserAgent  string            `json:"user_agent,omitempty"`
	Socket     string            `json:"socket,omitempty" doc:"Where the REGISTER came in." example:"tls:198.51.100.1:5061"`
	Flow       string            `json:"flow,omitempty" doc:"The path on which the phone registered." example:"tls:192.0.2.7:40312@public#17"`
	Node       uint32            `json:"server_id" doc:"The node that holds the flow."`
	Connection uint64            `json:"conn_id" doc:"The number of the connection; 0 for UDP."`
	Created    time.Time         `json:"created" doc:"When the phone first registered."`
	Modified   time.Time         `json:"modified" doc:"When it last did."`
	Methods    []string          `json:"methods,omitempty" doc:"What the phone listed in Allow; none if it listed nothing. * stands for others than those of the RFCs."`
	Instance   string            `json:"instance,omitempty" example:"urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"`
	RegID      uint32            `json:"reg_id,omitempty"`
	Provider   string            `json:"provider,omitempty" doc:"The push service, if the phone can be woken." example:"apns"`
	Retained   time.Time         `json:"retain_until,omitzero" doc:"When a dormant one is forgotten."`
	RefreshAt  time.Time         `json:"refresh_at,omitzero" doc:"When the phone is woken next without a call."`
	Attributes map[string]string `json:"attributes,omitempty" doc:"What hooks and captured header fields say of the phone."`
	Wake       *WakeHabit        `json:"wake,omitempty" doc:"How the phone woke since the server started, if anything is known."`
	Push       *PushParams       `json:"push,omitempty" doc:"The push parameters: for the role admin, if asked for."`
}

// A WakeHabit is what was learned of how a phone wakes, since the server started.
type WakeHabit struct {
	Last         time.Time `json:"last,omitzero" doc:"When it last woke."`
	Average      float64   `json:"average_seconds" doc:"How long after a push it comes."`
	Successes    int       `json:"successes" doc:"Pushes after which it came in time."`
	Failures     int       `json:"failures" doc:"Pushes after which it did not."`
	FailingSince time.Time `json:"failing_since,omitzero" doc:"Set while it does not come."`
}

// PushParams are those of a binding (RFC 8599 §4.1): a secret of the phone.
type PushParams struct {
	Provider   string `json:"provider"`
	Param      string `json:"param,omitempty"`
	PRID       string `json:"prid,omitempty" doc:"Empty if the push service said that it is dead."`
	SelfWaking bool   `json:"self_waking,omitempty" doc:"The phone wakes itself to refresh (+sip.pnsreg)."`
}

// LogValue keeps the token out of logs.
func (t PushParams) LogValue() slog.Value {
	return usrloc.Push{Provider: t.Provider, Param: t.Param, PRID: t.PRID}.LogValue()
}

// UserContacts is an AOR with all its bindings.
type UserContacts struct {
	AOR        string    `json:"aor" example:"sip:alice@example.com"`
	Domain     string    `json:"domain"`
	AORHash    int       `json:"aor_hash" doc:"The partition of the AOR, 0 to 65535."`
	Registered bool      `json:"registered" doc:"At least one contact has not expired."`
	Count      int       `json:"count" doc:"How many contacts there are."`
	Contacts   []Contact `json:"contacts" doc:"In the order in which the phones first registered."`
}

// A UserSummary is a user in a list.
type UserSummary struct {
	AOR         string    `json:"aor" example:"sip:alice@example.com"`
	Domain      string    `json:"domain"`
	AORHash     int       `json:"aor_hash" doc:"The partition of the AOR, 0 to 65535."`
	Registered  bool      `json:"registered" doc:"At least one contact has not expired."`
	Count       int       `json:"count" doc:"How many contacts there are."`
	Awake       int       `json:"awake" doc:"How many of them are awake; the others by their states."`
	Asleep      int       `json:"asleep"`
	Dormant     int       `json:"dormant"`
	Unreachable int       `json:"unreachable"`
	Modified    time.Time `json:"modified" doc:"When one of the phones last registered."`
	Expires     time.Time `json:"expires" doc:"When the last of the contacts expires."`
}

// A view is what is known of bindings besides what the store holds.
type view struct {
	now    time.Time
	memory bool
	// secrets shows push tokens.
	secrets bool
	state   func(*usrloc.Binding, time.Time) string
	wake    func(usrloc.BindingID) *WakeHabit
	socket  func(flow.Flow) string
}

// user shows a Record.
func (v *view) user(rec *usrloc.Record) UserContacts {
	u := UserContacts{AOR: string(rec.AOR), Domain: domainOf(rec.AOR), AORHash: int(usrloc.Partition(rec.AOR)), Count: len(rec.Bindings), Contacts: []Contact{}}
	for i := range rec.Bindings {
		u.Registered = u.Registered || !rec.Bindings[i].Expired(v.now)
		u.Contacts = append(u.Contacts, v.contact(rec.AOR, &rec.Bindings[i]))
	}
	return u
}

// summary shows a Record, which has at least one binding, in a list.
func (v *view) summary(rec *usrloc.Record) UserSummary {
	s := UserSummary{AOR: string(rec.AOR), Domain: domainOf(rec.AOR), AORHash: int(usrloc.Partition(rec.AOR)), Count: len(rec.Bindings)}
	for i := range rec.Bindings {
		b := &rec.Bindings[i]
		s.Registered = s.Registered || !b.Expired(v.now)
		switch v.state(b, v.now) {
		case Awake:
			s.Awake++
		case Asleep:
			s.Asleep++
		case Dormant:
			s.Dormant++
		default:
			s.Unreachable++
		}
		if b.Updated.After(s.Modified) {
			s.Modified = b.Updated
		}
		if b.Expires.After(s.Expires) {
			s.Expires = b.Expires
		}
	}
	return s
}

// contact shows a binding of aor.
func (v *view) contact(aor usrloc.AOR, b *usrloc.Binding) Contact {
	c := Contact{
		ID: b.ID.String(), AOR: string(aor), Domain: domainOf(aor), AORHash: int(usrloc.Partition(aor)), State: v.state(b, v.now),
		Contact: wake.WithoutPush(b.Contact, b.Push.PRID), Received: received(b),
		Expires: b.Expires, ExpiresAt: b.Expires.Unix(), ExpiresIn: int64(b.Expires.Sub(v.now) / time.Second),
		CallID: b.CallID, CSeq: b.CSeq, Flags: []string{}, CFlags: []string{},
		UserAgent: b.UserAgent, Node: b.Flow.Node, Connection: b.Flow.Conn,
		Created: b.Created, Modified: b.Updated, Methods: b.Methods.Names(),
		Instance: b.Instance, RegID: b.RegID, Wake: v.wake(b.ID),
	}
	c.Path = slices.Clone(b.Path)
	if b.Q != usrloc.QUnset {
		q := float64(b.Q) / 1000
		c.Q = &q
	}
	if !b.Flow.IsZero() {
		c.Flow, c.Socket = b.Flow.String(), v.socket(b.Flow)
	}
	if b.Static() {
		c.Flags = append(c.Flags, Static)
	}
	if v.memory {
		c.Flags = append(c.Flags, InMemory)
	}
	if behindNAT(b) {
		c.CFlags = append(c.CFlags, NAT)
	}
	if !b.Push.IsZero() {
		c.CFlags, c.Provider = append(c.CFlags, Push), b.Push.Provider
	}
	if b.Expired(v.now) {
		c.Retained = b.RetainUntil
	}
	if !b.RefreshAt.IsZero() && !b.RefreshAt.Equal(b.Expires) {
		c.RefreshAt = b.RefreshAt
	}
	if b.Attributes != "" && json.Unmarshal([]byte(b.Attributes), &c.Attributes) != nil {
		c.Attributes = nil // Nobody wrote such: then there are none to show.
	}
	if v.secrets {
		c.Contact = b.Contact
		if b.Push != (usrloc.Push{}) {
			c.Push = &PushParams{b.Push.Provider, b.Push.Param, b.Push.PRID, b.Push.SelfWaking}
		}
	}
	return c
}

// domainOf is the host of an AOR.
func domainOf(aor usrloc.AOR) string {
	return string(aor[strings.LastIndexAny(string(aor), "@:")+1:])
}

// behindNAT reports whether the phone was seen elsewhere than its contact says. Of
// one behind an edge proxy only that knows.
func behindNAT(b *usrloc.Binding) bool {
	seen, ok := seenAt(b)
	if !ok || b.Flow.IsZero() {
		return false
	}
	u, err := sipmsg.ParseURI(b.Contact)
	if err != nil {
		return false
	}
	addr, numeric := u.HostAddr()
	return numeric && addr.Unmap() != seen.Addr()
}
