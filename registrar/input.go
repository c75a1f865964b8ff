package registrar

import (
	"strconv"
	"time"

	"reveille/flow"
	"reveille/usrloc"
)

// An Input is what a REGISTER asks for, free of any message model. Strings may
// point into the message: Apply keeps those that become part of a binding.
type Input struct {
	// AOR is whose bindings are meant, from To, in canonical form.
	AOR usrloc.AOR
	// CallID and CSeq are those of the request.
	CallID string
	CSeq   uint32
	// Now is when the request arrived.
	Now time.Time
	// Flow is where it arrived.
	Flow flow.Flow
	// MaxContacts bounds the contacts of AOR in place of the Policy's; 0 leaves it.
	MaxContacts int
	// UserAgent is its User-Agent, "" if absent.
	UserAgent string
	// Attributes are kept with the contacts (Binding.Attributes); nil leaves those
	// that they have.
	Attributes *string
	// Methods are those of its Allow.
	Methods usrloc.Methods
	// Supported are the extensions that the phone supports.
	Supported Extensions
	// Relayed says that the request came by a proxy: it has more than one Via.
	Relayed bool
	// Path holds the Path values, topmost first. PathOutbound says that the proxy
	// next to the phone keeps the flow to it (RFC 5626 §5.1); PathReceived is where
	// the topmost one saw the phone, a SIP URI, "" if it does not say.
	Path         []string
	PathOutbound bool
	PathReceived string
	// Star says that the Contact header field is "*"; Contacts is empty then.
	Star bool
	// Contacts are the Contact values in order; none (and no Star) is a fetch.
	Contacts []Contact
	// Expires is the Expires header field.
	Expires Expires
	// PushIndicated says that the request carries Feature-Caps with +sip.pns: a
	// proxy nearer to the phone takes care of waking it.
	PushIndicated bool
	// Random is uniform in [0, 1); it spreads granted lifetimes.
	Random float64
}

// A Contact is one value of the Contact header field.
type Contact struct {
	// URI is as written, without angle brackets.
	URI string
	// Params are the header parameters as written, starting with ';', without q
	// and expires; "" if there are none.
	Params string
	// Q is the q parameter, usrloc.QUnset if absent or malformed.
	Q usrloc.Q
	// Expires is the expires parameter.
	Expires Expires
	// Instance is +sip.instance without quotes and angle brackets; RegID is
	// reg-id, 0 if absent or malformed (RFC 5626 §4.1).
	Instance string
	RegID    uint32
	// PushAsked says that the URI has pn-provider, with or without a value.
	PushAsked bool
	// PushMapped says that Push was read by a Mapping: the phone does not know RFC
	// 8599.
	PushMapped bool
	// Push holds pn-provider, pn-param and pn-prid, percent-decoded once, and
	// whether Params carry +sip.pnsreg. Absent ones are "".
	Push usrloc.Push
	// ID is the identity of the binding if this contact makes a new one.
	ID usrloc.BindingID
}

// Expires is a lifetime as a phone asked for it. The zero value is "not asked".
type Expires struct {
	Present bool
	Seconds uint32
}

// ParseExpires reads the value of an expires parameter or of an Expires header
// field that is present. RFC 3261 §10.2.1.1 and §20.10: a value that is no
// number below 2^32 counts as 3600.
func ParseExpires(value string) Expires {
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		return Expires{Present: true, Seconds: 3600}
	}
	return Expires{Present: true, Seconds: uint32(n)}
}

// A Result is what Apply did, as far as the answer must know.
type Result struct {
	// Carried names the bindings that the request's contacts became. Only they
	// are listed with their push tokens.
	Carried []usrloc.BindingID
	// Caps are the push services to announce, one Feature-Caps line each.
	Caps []Cap
	// Path is to be echoed (RFC 3327 §5.3); nil if the phone does not support
	// it.
	Path []string
	// GRUU: GRUUs are listed. Outbound: a flow was registered, and the phone wants
	// to know (RFC 5626 §6); FlowTimer is the Flow-Timer in seconds, 0 for none.
	GRUU, Outbound bool
	FlowTimer      uint32
	// Fetch says that the request only asked, Retransmission that it was
	// applied before: the Record was not changed.
	Fetch, Retransmission bool
	// CallsOnly names the bindings that nothing refreshes, because their devices
	// may be woken for calls alone, and that will end soon (lastingExpires).
	CallsOnly []usrloc.BindingID
}

// A Cap announces one push service (RFC 8599 §5.4).
type Cap struct {
	// Provider is the value of sip.pns.
	Provider string
	// VAPID is the value of sip.vapid, "" for none.
	VAPID string
	// PNSReg is the value of sip.pnsreg in seconds, 0 for none.
	PNSReg uint32
	// Binding is whose PURR to add, zero for none.
	Binding usrloc.BindingID
}

// A Refusal is why a REGISTER is not accepted. Nothing was changed.
type Refusal struct {
	// Code and Reason are the status line's.
	Code   int
	Reason string
	// MinExpires is the Min-Expires of a 423, in seconds.
	MinExpires uint32
	// RetryAfter is the Retry-After of a 503; 0 for none.
	RetryAfter time.Duration
	// Unsupported are the option tags of a 420.
	Unsupported []string
	// Require is the option tag of a 421.
	Require string
	// Err is the cause for the log; it may be nil.
	Err error
}

// Error implements error.
func (r *Refusal) Error() string {
	s := strconv.Itoa(r.Code) + " " + r.Reason
	if r.Err != nil {
		s += ": " + r.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Err }

func refuse(code int, reason string) *Refusal { return &Refusal{Code: code, Reason: reason} }
