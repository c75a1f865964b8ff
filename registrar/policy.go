package registrar

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"reveille/push"
	"reveille/usrloc"
)

// A Policy is everything about REGISTER that an operator may decide. Start from
// DefaultPolicy; a zero field means zero, not a default.
type Policy struct {
	// Domains are the hosts served, as they appear in a To URI: names or IP
	// addresses (IPv6 in brackets), in any case. At least one.
	Domains []string

	// DefaultExpires is granted where a REGISTER names no lifetime; it is
	// bounded like a requested one.
	DefaultExpires time.Duration
	// MinExpires and MaxExpires bound what is granted to contacts without push;
	// MinExpires bounds the others too. MinExpires is at most an hour, for RFC
	// 3261 §10.3 allows no 423 above it; 0 sets no bound.
	MinExpires, MaxExpires time.Duration
	// ShortExpires says what becomes of a lifetime below MinExpires.
	ShortExpires ShortExpires
	// JitterTime and JitterPercent shorten what is granted by up to the larger
	// of both, at random, so that devices which registered together do not come
	// back together. Nothing is shortened below its minimum. At most 50 percent.
	JitterTime    time.Duration
	JitterPercent int

	// DefaultQ is the preference of a contact that names none; usrloc.QUnset
	// leaves it open.
	DefaultQ usrloc.Q

	// MaxContacts bounds the bindings of one AOR, 1 to 100. A REGISTER that
	// adds none is accepted even if there are more already.
	MaxContacts int
	// Overflow says what becomes of one contact too many.
	Overflow Overflow
	// OverflowStatus refuses one contact too many: 403, or 503 with RetryAfter.
	OverflowStatus int

	// MaxUser, MaxDomain and MaxAOR bound the parts of the AOR, MaxContact a
	// Contact URI together with its parameters, in bytes. A Web Push URL needs
	// about 500. Longer ones are answered 400.
	MaxUser, MaxDomain, MaxAOR, MaxContact int

	// Match chooses the binding that a contact replaces if it has neither an
	// instance nor push parameters.
	Match Match
	// MatchParam is the Contact URI parameter that MatchParameter compares.
	MatchParam string

	// StaleStatus refuses a CSeq that is not higher than the stored one with
	// the same Call-ID: 500, or 400 as some registrars have it. RFC 3261 §10.3
	// step 7 names no code.
	StaleStatus int
	// RetryAfter is the Retry-After of every 503; 0 sends none.
	RetryAfter time.Duration

	// Path says what becomes of Path header fields (RFC 3327).
	Path PathMode

	// Push is the policy for RFC 8599.
	Push PushPolicy
}

// PushPolicy is the part of a Policy that is about RFC 8599.
type PushPolicy struct {
	// Waking says which devices can be woken; nil means none.
	Waking Waking
	// PURR makes the tokens of sip.pnspurr (RFC 8599 §6.2.1); nil sends none.
	PURR PURR
	// MaxExpires bounds what is granted to a contact that can be woken.
	MaxExpires time.Duration
	// MinExpires is the shortest lifetime with which a contact can be woken:
	// more than Lead, at most an hour.
	MinExpires time.Duration
	// TooShort says what becomes of a lifetime below MinExpires.
	TooShort TooShort
	// Lead is how long before its end a binding is refreshed by a push. RFC
	// 8599 §5.5 recommends at least 120 s.
	Lead time.Duration
	// PNSReg is what sip.pnsreg tells devices that wake themselves: how long
	// before the end they refresh. More than 120 s and more than Lead, so that
	// our own push comes only when theirs failed; 0 sends none, and then they
	// are pushed to like all others.
	PNSReg time.Duration
	// Unsupported says what becomes of a contact that names a push service we
	// cannot use, or leaves out what that service needs.
	Unsupported Unsupported
}

// ShortExpires says what becomes of a lifetime below MinExpires.
type ShortExpires uint8

const (
	// Raise grants the minimum.
	Raise ShortExpires = iota
	// Reject answers 423 with Min-Expires (RFC 3261 §10.3 step 7).
	Reject
)

// Overflow says what becomes of one contact too many.
type Overflow uint8

const (
	// RejectNew refuses the REGISTER as a whole.
	RejectNew Overflow = iota
	// ReplaceOldest removes the bindings that were refreshed longest ago.
	ReplaceOldest
)

// Match is how contacts without instance and push parameters are compared.
type Match uint8

const (
	// MatchURI compares Contact URIs by RFC 3261 §19.1.4.
	MatchURI Match = iota
	// MatchURICallID also wants the same Call-ID.
	MatchURICallID
	// MatchParameter compares the URI parameter MatchParam; contacts without it
	// are compared by their URIs.
	MatchParameter
)

// PathMode says what becomes of Path header fields (RFC 3327 §5.3).
type PathMode uint8

const (
	// PathLazy stores Path and shows it in the 200 to a phone that supports it.
	PathLazy PathMode = iota
	// PathStrict answers 420 to a Path from a phone that does not support it.
	PathStrict
	// PathOff ignores Path.
	PathOff
)

// TooShort says what becomes of a contact that wants to be woken and asks for
// a lifetime too short for it (RFC 8599 §5.6.1.1 leaves both open).
type TooShort uint8

const (
	// TooShortReject answers 423.
	TooShortReject TooShort = iota
	// TooShortWithoutPush registers the contact as one that cannot be woken.
	TooShortWithoutPush
)

// Unsupported says what becomes of a push service that we cannot use.
type Unsupported uint8

const (
	// AcceptWithoutPush registers the contact as one that cannot be woken.
	AcceptWithoutPush Unsupported = iota
	// RejectUnsupported answers 555. It says that no other proxy between the
	// phone and us supports push (RFC 8599 §5.6.1.2).
	RejectUnsupported
)

// Waking says which push services can be used; *push.Dispatcher implements it.
// It answers from memory and is safe for concurrent use.
type Waking interface {
	// Supports reports whether a credential is configured that may push to p.
	Supports(p push.Params) bool
	// Providers lists the pn-provider values of all usable push services, each
	// once, in the order in which they are announced.
	Providers() []string
	// VAPIDKey is the public key for sip.vapid (RFC 8292), "" if the push
	// service does not use it.
	VAPIDKey(p push.Params) string
}

// PURR makes the token that stands for a binding in dialogs (RFC 8599 §6.2);
// *purr.Keyring implements it. Each call appends another one to dst, of the
// characters a to z and 0 to 9.
type PURR interface {
	AppendMint(dst []byte, binding usrloc.BindingID) []byte
}

// DefaultPolicy returns the policy of a registrar that serves domains and
// cannot wake anybody.
func DefaultPolicy(domains ...string) Policy {
	return Policy{
		Domains:        domains,
		DefaultExpires: time.Hour,
		MinExpires:     time.Minute,
		MaxExpires:     time.Hour,
		DefaultQ:       usrloc.QUnset,
		MaxContacts:    10,
		OverflowStatus: 403,
		MaxUser:        64,
		MaxDomain:      64,
		MaxAOR:         256,
		MaxContact:     2048,
		StaleStatus:    500,
		RetryAfter:     30 * time.Second,
		Push: PushPolicy{
			MaxExpires: 30 * 24 * time.Hour,
			// As long asleep as the refresh may take, at least: a shorter
			// lifetime would mean a push right after each REGISTER.
			MinExpires: 240 * time.Second,
			Lead:       120 * time.Second,
			PNSReg:     130 * time.Second,
		},
	}
}

// maxLifetime is 2^31-1 seconds: what every phone can count.
const maxLifetime = (1<<31 - 1) * time.Second

// Validate reports everything that is wrong with p: New and SetPolicy refuse it.
func (p *Policy) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("registrar policy: "+format, args...))
		}
	}
	check(len(p.Domains) > 0, "no domains")
	check(p.DefaultExpires >= time.Second, "default expires %v is below 1s", p.DefaultExpires)
	check(p.MinExpires >= 0 && p.MinExpires <= time.Hour, "min expires %v is not within 0 and 1h", p.MinExpires)
	check(p.MaxExpires >= max(p.MinExpires, time.Second) && p.MaxExpires <= maxLifetime, "max expires %v is below the minimum or too long", p.MaxExpires)
	check(p.JitterTime >= 0, "jitter %v is negative", p.JitterTime)
	check(p.JitterPercent >= 0 && p.JitterPercent <= 50, "jitter of %d percent is not within 0 and 50", p.JitterPercent)
	check(p.DefaultQ >= usrloc.QUnset && p.DefaultQ <= 1000, "default q %d is not within 0 and 1000", p.DefaultQ)
	check(p.MaxContacts >= 1 && p.MaxContacts <= 100, "max contacts %d is not within 1 and 100", p.MaxContacts)
	check(p.OverflowStatus == 403 || p.OverflowStatus == 503, "overflow status %d is neither 403 nor 503", p.OverflowStatus)
	check(min(p.MaxUser, p.MaxDomain, p.MaxAOR, p.MaxContact) > 0, "a length limit is not positive")
	check(p.Match != MatchParameter || p.MatchParam != "", "match by parameter without its name")
	check(p.StaleStatus == 500 || p.StaleStatus == 400, "stale status %d is neither 500 nor 400", p.StaleStatus)
	check(p.RetryAfter >= 0, "retry after %v is negative", p.RetryAfter)
	if p.Push.Waking != nil {
		q := &p.Push
		check(q.Lead > 0, "push lead %v is not positive", q.Lead)
		check(q.MinExpires > q.Lead && q.MinExpires <= time.Hour, "push min expires %v is not within the lead %v and 1h", q.MinExpires, q.Lead)
		check(q.MaxExpires >= q.MinExpires && q.MaxExpires <= maxLifetime, "push max expires %v is below the minimum or too long", q.MaxExpires)
		check(q.MaxExpires >= p.MinExpires, "push max expires %v is below min expires", q.MaxExpires)
		// RFC 8599 §5.6.1.1: more than 120 s.
		check(q.PNSReg == 0 || q.PNSReg > max(q.Lead, 120*time.Second), "pnsreg %v is not above the lead %v and 120s", q.PNSReg, q.Lead)
	}
	return errors.Join(errs...)
}

// domainSet is Domains for look-ups.
func (p *Policy) domainSet() map[string]struct{} {
	set := make(map[string]struct{}, len(p.Domains))
	for _, d := range p.Domains {
		set[strings.ToLower(d)] = struct{}{}
	}
	return set
}
