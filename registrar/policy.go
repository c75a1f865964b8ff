package registrar

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"reveille/internal/domain"
	"reveille/internal/sipmsg"
	"reveille/push"
	"reveille/usrloc"
)

// A Policy is everything about REGISTER that an operator may decide. Start from
// DefaultPolicy; a zero field means zero, not a default.
type Policy struct {
	// Domains are the hosts served, as they appear in a To URI: names or IP
	// addresses (IPv6 in brackets), in any case. At least one.
	Domains []string
	// Aliases are other hosts by which a domain is addressed; the values are from
	// Domains. A user has the same AOR by whatever host.
	Aliases map[string]string
	// FoldUser says that the case of a user part does not count: all AORs are in
	// lower case. RFC 3261 §19.1.4 has it count.
	FoldUser bool

	// DefaultExpires is granted where a REGISTER names no lifetime; it is
	// bounded like a requested one.
	DefaultExpires time.Duration
	// MinExpires and MaxExpires bound what is granted to contacts without push;
	// MinExpires bounds the others too. MinExpires is at most an hour, for RFC
	// 3261 §10.3 allows no 423 above it; 0 sets no bound.
	MinExpires, MaxExpires time.Duration
	// ShortExpires says what becomes of a lifetime below MinExpires.
	ShortExpires ShortExpires
	// Jitter spreads what is granted. Nothing is shortened below its minimum.
	Jitter Jitter

	// DefaultQ is the preference of a contact that names none; usrloc.QUnset
	// leaves it open.
	DefaultQ usrloc.Q

	// MaxContacts bounds the bindings of one AOR, 1 to 100. A REGISTER that
	// adds none is accepted even if there are more already.
	MaxContacts int
	// Overflow says what becomes of one contact too many.
	Overflow Overflow
	// Reachable reports whether a binding can be reached now, for
	// ReplaceUnavailable.
	Reachable func(*usrloc.Binding) bool
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
	// PathReceived keeps where the proxy that wrote the topmost Path saw the phone
	// (Binding.Received).
	PathReceived bool
	// ServiceRoute are the routes that phones are told to take when they call, SIP
	// URIs with lr, in order (RFC 3608).
	ServiceRoute []string
	// GRUU makes temporary GRUUs; with nil phones get none, nor public ones (RFC
	// 5627).
	GRUU GRUU
	// Outbound is the policy for RFC 5626.
	Outbound OutboundPolicy

	// RequestContactsOnly lists in the 200 only the contacts that the request
	// carried. RFC 3261 §10.3 step 8 wants all.
	RequestContactsOnly bool
	// ReceivedParam names a parameter of the Contacts in the 200 that tells from
	// where each was registered, as a SIP URI; empty for none.
	ReceivedParam string

	// Rules change the policy for some phones; the first that is for a phone
	// counts.
	Rules []Rule

	// Ask has somebody else decide about a REGISTER that adds or prolongs
	// contacts, before the Store is touched; user is User.Name. It calls answer
	// exactly once, inline or later, on any goroutine, and changes nothing of in.
	// Nil asks nobody. A refresh in place (Refresh) is not asked about again: it
	// neither adds a contact nor makes its lifetime longer than it was.
	Ask func(in *Input, user string, answer func(Verdict))

	// Capture names header fields of a REGISTER that are kept with its contacts, each
	// as an attribute by its name in lower case (Binding.Attributes). At most
	// maxCapture.
	Capture []string

	// Push is the policy for RFC 8599.
	Push PushPolicy

	// domains are Domains and Aliases, as SetPolicy reads them; nil before.
	domains *domain.Set
	// mapper is made of Push.Mappings by SetPolicy; nil if there are none.
	mapper *mapper
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
	// Leads are longer ones for the devices of some push services, by pn-provider
	// in lower case: see Policy.lead.
	Leads map[string]time.Duration
	// NoBackground says that Apple's devices are woken for calls alone: iOS may
	// delay or drop pushes in the background. Nothing refreshes their bindings.
	NoBackground bool
	// Retain is for how long after its end the binding of a device that can be woken
	// is kept as a dormant one: nobody is told of it, but its device may still be
	// woken. RFC 8599 §5.5 forbids that; 0 keeps none.
	Retain time.Duration
	// PNSReg is what sip.pnsreg tells devices that wake themselves: how long
	// before the end they refresh. More than 120 s and more than Lead, so that
	// our own push comes only when theirs failed; 0 sends none, and then they
	// are pushed to like all others.
	PNSReg time.Duration
	// Unsupported says what becomes of a contact that names a push service we
	// cannot use, or leaves out what that service needs.
	Unsupported Unsupported
	// Mappings are for apps that are older than RFC 8599; the first that fits a contact
	// without pn-provider counts. Such phones are registered without push if their
	// service is of no use.
	Mappings []Mapping
}

// ShortExpires says what becomes of a lifetime below MinExpires.
type ShortExpires uint8

const (
	// Raise grants the minimum.
	Raise ShortExpires = iota
	// Reject answers 423 with Min-Expires (RFC 3261 §10.3 step 7).
	Reject
)

// Overflow says what becomes of one contact too many. Those that an operator added
// are never replaced.
type Overflow uint8

const (
	// RejectNew refuses the REGISTER as a whole.
	RejectNew Overflow = iota
	// ReplaceOldest removes the bindings that were refreshed longest ago.
	ReplaceOldest
	// ReplaceUnavailable removes bindings that cannot be reached, those that were
	// refreshed longest ago first, and refuses if that is not enough.
	ReplaceUnavailable
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
		Outbound:       OutboundPolicy{FlowTimer: 2 * time.Minute},
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
	check(p.DefaultExpires >= time.Second, "default expires %v is below 1s", p.DefaultExpires)
	check(p.MinExpires >= 0 && p.MinExpires <= time.Hour, "min expires %v is not within 0 and 1h", p.MinExpires)
	check(p.MaxExpires >= max(p.MinExpires, time.Second) && p.MaxExpires <= maxLifetime, "max expires %v is below the minimum or too long", p.MaxExpires)
	check(p.Jitter.Time >= 0, "jitter %v is negative", p.Jitter.Time)
	check(p.Jitter.Percent >= 0 && p.Jitter.Percent <= 50, "jitter of %d percent is not within 0 and 50", p.Jitter.Percent)
	check(p.DefaultQ >= usrloc.QUnset && p.DefaultQ <= 1000, "default q %d is not within 0 and 1000", p.DefaultQ)
	check(p.MaxContacts >= 1 && p.MaxContacts <= 100, "max contacts %d is not within 1 and 100", p.MaxContacts)
	check(p.OverflowStatus == 403 || p.OverflowStatus == 503, "overflow status %d is neither 403 nor 503", p.OverflowStatus)
	check(min(p.MaxUser, p.MaxDomain, p.MaxAOR, p.MaxContact) > 0, "a length limit is not positive")
	check(p.Match != MatchParameter || p.MatchParam != "", "match by parameter without its name")
	check(p.StaleStatus == 500 || p.StaleStatus == 400, "stale status %d is neither 500 nor 400", p.StaleStatus)
	check(p.RetryAfter >= 0, "retry after %v is negative", p.RetryAfter)
	check(p.Overflow != ReplaceUnavailable || p.Reachable != nil, "replace unavailable contacts without knowing which are")
	for _, uri := range p.ServiceRoute {
		check(isServiceRoute(uri), "service route %q is no SIP URI with lr", uri)
	}
	check(len(p.Capture) <= maxCapture, "%d header fields to capture are more than %d", len(p.Capture), maxCapture)
	check(p.ReceivedParam == "" || isToken(p.ReceivedParam), "received parameter %q is no name", p.ReceivedParam)
	check(p.Outbound.FlowTimer >= 0 && p.Outbound.FlowTimer <= maxLifetime, "flow timer %v is negative or too long", p.Outbound.FlowTimer)
	// RFC 5626 §6.
	check(p.Outbound.Mode == OutboundOff || p.Path != PathOff, "outbound without Path")
	if p.Push.Waking != nil {
		q := &p.Push
		check(q.Lead > 0, "push lead %v is not positive", q.Lead)
		check(q.MinExpires > q.Lead && q.MinExpires <= time.Hour, "push min expires %v is not within the lead %v and 1h", q.MinExpires, q.Lead)
		check(q.MaxExpires >= q.MinExpires && q.MaxExpires <= maxLifetime, "push max expires %v is below the minimum or too long", q.MaxExpires)
		for provider, lead := range q.Leads {
			check(lead > 0 && lead <= maxLifetime, "push lead %v of %s is not positive or too long", lead, provider)
		}
		_, err := newMapper(q.Mappings)
		check(err == nil, "%v", err)
		check(q.Retain >= 0 && q.Retain <= maxLifetime, "push retain %v is negative or too long", q.Retain)
		check(q.MaxExpires >= p.MinExpires, "push max expires %v is below min expires", q.MaxExpires)
		// RFC 8599 §5.6.1.1: more than 120 s.
		check(q.PNSReg == 0 || q.PNSReg > max(q.Lead, 120*time.Second), "pnsreg %v is not above the lead %v and 120s", q.PNSReg, q.Lead)
	}
	if _, err := p.domainSet(); err != nil {
		errs = append(errs, fmt.Errorf("registrar policy: %w", err))
	}
	return errors.Join(append(errs, validateRules(p)...)...)
}

// domainSet is Domains and Aliases.
func (p *Policy) domainSet() (*domain.Set, error) {
	list := make([]domain.Domain, len(p.Domains))
	index := map[string]int{}
	for i, name := range p.Domains {
		list[i].Name, index[name] = name, i
	}
	for _, alias := range slices.Sorted(maps.Keys(p.Aliases)) {
		i, ok := index[p.Aliases[alias]]
		if !ok {
			return nil, fmt.Errorf("alias %s of %q, which is no domain", alias, p.Aliases[alias])
		}
		list[i].Aliases = append(list[i].Aliases, alias)
	}
	return domain.New(list, p.FoldUser)
}

// isServiceRoute reports whether s can be the URI of a Service-Route. RFC 3608
// §5: it has lr.
func isServiceRoute(s string) bool {
	u, err := sipmsg.ParseURI(s)
	if err != nil || !u.IsSIP() || u.Headers != "" || !clean(s) || strings.ContainsAny(s, "<>\" ") {
		return false
	}
	_, ok := u.Param("lr")
	return ok
}

// isToken reports whether s can be the name of a parameter (RFC 3261 §25.1).
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-.!%*_+`'~", rune(c)) {
			return false
		}
	}
	return s != ""
}
