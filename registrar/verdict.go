package registrar

import (
	"slices"
	"time"
)

// A Verdict is what Policy.Ask says about a REGISTER.
type Verdict struct {
	// Refusal is the answer to a REGISTER that may not be; nil: it may.
	Refusal *Refusal
	// MaxContacts bounds the contacts of the AOR in place of the Policy's and the
	// User's; 0 leaves them.
	MaxContacts int
	// MaxExpires bounds the lifetimes that are granted, though never below the
	// Policy's minimum; 0 leaves them.
	MaxExpires time.Duration
	// Attributes are kept with the contacts, in place of what is known; nil leaves
	// that.
	Attributes *string
}

// registers reports whether in adds or prolongs a contact. Nobody is asked whether
// a phone may go, or see what is registered.
func (p *Policy) registers(in *Input) bool {
	return slices.ContainsFunc(in.Contacts, func(c Contact) bool {
		return p.requested(c.Expires, in.Expires, c.Push.PRID != "").Seconds > 0
	})
}

// limit returns p under the limits of v, and sets those of in, and what v says of
// its contacts.
func (v Verdict) limit(p *Policy, in *Input) *Policy {
	if v.MaxContacts > 0 {
		in.MaxContacts = v.MaxContacts
	}
	if v.Attributes != nil {
		in.Attributes = v.Attributes
	}
	if v.MaxExpires <= 0 {
		return p
	}
	limited := *p
	limited.MaxExpires = max(min(p.MaxExpires, v.MaxExpires), p.MinExpires, time.Second)
	// A phone that was granted less could not be woken in time, and would be told
	// to ask for more.
	limited.Push.MaxExpires = max(min(p.Push.MaxExpires, v.MaxExpires), p.Push.MinExpires, p.MinExpires)
	return &limited
}
