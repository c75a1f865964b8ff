package configs

import "time"

// Path is the policy for Path header fields (RFC 3327).
type Path struct {
	Mode PathMode `yaml:"mode"`
	// UseReceived keeps where the nearest proxy says that it saw the phone.
	UseReceived bool `yaml:"use_received"`
}

// GRUU is the policy for globally routable URIs (RFC 5627).
type GRUU struct {
	Enabled bool `yaml:"enabled"`
}

// Outbound is the policy for client-initiated connections (RFC 5626).
type Outbound struct {
	Mode OutboundMode `yaml:"mode"`
	// FlowTimer is the Flow-Timer of flows on connections; 0 sends none.
	FlowTimer time.Duration `yaml:"flow_timer" range:"0s..24h"`
}

// RegisterReply says what the 200 to a REGISTER holds.
type RegisterReply struct {
	Contacts ReplyContacts `yaml:"contacts"`
	// ReceivedParam names a Contact parameter that says from where the contact was
	// registered; empty sends none.
	ReceivedParam string `yaml:"received_param"`
}

// AORSyntax says when two addresses are the same user.
type AORSyntax struct {
	// CaseSensitive: Alice and alice are two users (RFC 3261 §19.1.4).
	CaseSensitive bool `yaml:"case_sensitive"`
}

// RegistrarRule replaces values for some phones; the first rule that matches
// counts. What is 0 in it stays as it is.
type RegistrarRule struct {
	// Domain is one of the domains, UserAgent a regular expression (RE2) for the
	// User-Agent; empty matches all.
	Domain    string `yaml:"domain"`
	UserAgent string `yaml:"user_agent"`

	Default     time.Duration `yaml:"default" range:"0s..365d"`
	Min         time.Duration `yaml:"min" range:"0s..1h"`
	Max         time.Duration `yaml:"max" range:"0s..365d"`
	MaxContacts int           `yaml:"max_contacts" range:"0..100"`
	// Path replaces Path.Mode, unless it is empty.
	Path PathMode `yaml:"path"`
}

// Qualify says how phones that do not sleep are asked whether they are there, by
// OPTIONS (RFC 3261 §11).
type Qualify struct {
	// Interval is the time in which every phone is asked once; 0 asks nobody.
	Interval time.Duration `yaml:"interval" range:"0s..24h"`
	// Timeout is how long an answer is waited for.
	Timeout time.Duration `yaml:"timeout" range:"100ms..30s"`
	// Only2xx: any other answer says that the phone cannot be reached.
	Only2xx bool `yaml:"2xx_only"`
	// Rate bounds the OPTIONS of one second.
	Rate int `yaml:"rate" range:"1..10000"`
}

// PathMode says what becomes of Path.
type PathMode string

// PathOff ignores it, PathLazy stores it, PathStrict refuses it from phones that
// do not support it.
const (
	PathOff    PathMode = "off"
	PathLazy   PathMode = "lazy"
	PathStrict PathMode = "strict"
)

func (PathMode) values() []string {
	return []string{string(PathOff), string(PathLazy), string(PathStrict)}
}

// OutboundMode says who registers flows.
type OutboundMode string

// OutboundOn lets every phone that can, OutboundOff ignores reg-id,
// OutboundRequired refuses all other phones.
const (
	OutboundOn       OutboundMode = "on"
	OutboundOff      OutboundMode = "off"
	OutboundRequired OutboundMode = "required"
)

func (OutboundMode) values() []string {
	return []string{string(OutboundOn), string(OutboundOff), string(OutboundRequired)}
}

// JitterMode is the direction in which lifetimes are changed.
type JitterMode string

// JitterMinus only shortens, JitterPlusMinus also lengthens what the phone left
// open.
const (
	JitterMinus     JitterMode = "minus"
	JitterPlusMinus JitterMode = "plus_minus"
)

func (JitterMode) values() []string { return []string{string(JitterMinus), string(JitterPlusMinus)} }

// JitterTo says which lifetimes are changed.
type JitterTo string

// JitterAll means all of them, JitterDefault those that the phone left open.
const (
	JitterAll     JitterTo = "all"
	JitterDefault JitterTo = "default"
)

func (JitterTo) values() []string { return []string{string(JitterAll), string(JitterDefault)} }

// ReplyContacts says which contacts the 200 lists.
type ReplyContacts string

// ReplyAll lists all contacts of the user, ReplyRequest those of the request.
const (
	ReplyAll     ReplyContacts = "all"
	ReplyRequest ReplyContacts = "request"
)

func (ReplyContacts) values() []string { return []string{string(ReplyAll), string(ReplyRequest)} }

// StaleStatus is the SIP status that refuses a CSeq out of order.
type StaleStatus int

func (StaleStatus) values() []string { return []string{"500", "400"} }

// TooShort says what becomes of a phone that wants to be woken and asks for a
// lifetime too short for it.
type TooShort string

// TooShortReject answers 423, TooShortAccept registers the contact without push.
const (
	TooShortReject TooShort = "reject"
	TooShortAccept TooShort = "accept"
)

func (TooShort) values() []string { return []string{string(TooShortReject), string(TooShortAccept)} }
