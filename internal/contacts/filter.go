package contacts

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// A Query is what an operator knows of bindings, as it was written. What is empty is
// not asked for; of the rest all must be true.
type Query struct {
	// AOR is the user, empty for all.
	AOR string
	// Contact is a Contact URI, compared by RFC 3261 §19.1.4. One without push
	// parameters stands for those with any.
	Contact string
	CallID  string
	// IP and Port are where the phone was seen, or else what its contact names. With
	// several addresses one has to be right, with its port if there are ports: as many
	// as addresses then.
	IP   []string
	Port []int
	// NextHop is an address or a name that requests for the phone go to next: that of
	// its topmost Path value, or else where it was seen, or else that of its contact.
	// Names are looked up on both sides.
	NextHop string
	// Instance is +sip.instance, with or without quotes and angle brackets.
	Instance string
	// Provider, in any case, and PRID are push parameters.
	Provider, PRID string
	// UA is a regular expression for the User-Agent (RE2).
	UA string
}

// Bounds of a Query.
const (
	maxText = 4096 // bytes of a value; Web Push URLs are long
	maxIPs  = 64   // addresses
)

// An InputError says which part of what was asked cannot be used, and why.
type InputError struct {
	// Field is its name in the call.
	Field string
	Err   error
}

// Error implements error.
func (e *InputError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *InputError) Unwrap() error { return e.Err }

func wrong(field, format string, args ...any) error {
	return &InputError{Field: field, Err: fmt.Errorf(format, args...)}
}

// A Filter tells which bindings are meant. The zero Filter means all.
type Filter struct {
	contact        *sipmsg.URI
	rawContact     string
	callID         string
	at             []netip.AddrPort // port 0: any
	nextHop        string
	instance       string
	provider, prid string
	ua             *regexp.Regexp
}

// ParseFilter reads all of q but the user. The error is an *InputError.
func ParseFilter(q Query) (f Filter, err error) {
	for field, s := range map[string]string{"contact": q.Contact, "call_id": q.CallID, "next_hop": q.NextHop, "instance": q.Instance, "provider": q.Provider, "prid": q.PRID, "ua": q.UA} {
		if len(s) > maxText {
			return f, wrong(field, "more than %d bytes", maxText)
		}
	}
	f = Filter{callID: q.CallID, provider: q.Provider, prid: q.PRID, instance: bareInstance(q.Instance)}
	if q.Instance != "" && f.instance == "" {
		return f, wrong("instance", "%q names none", q.Instance)
	}
	if q.Contact != "" {
		f.rawContact = strings.TrimSuffix(strings.TrimPrefix(q.Contact, "<"), ">")
		u, err := sipmsg.ParseURI(f.rawContact)
		if err != nil {
			return f, wrong("contact", "it is no URI: %w", err)
		}
		f.contact = &u
	}
	if f.at, err = addresses(q.IP, q.Port); err != nil {
		return f, err
	}
	if q.NextHop != "" {
		if f.nextHop, err = hostName(q.NextHop); err != nil {
			return f, err
		}
	}
	if q.UA != "" {
		if f.ua, err = regexp.Compile(q.UA); err != nil {
			return f, wrong("ua", "it is no regular expression: %w", err)
		}
	}
	return f, nil
}

// addresses reads addresses and their ports.
func addresses(ips []string, ports []int) ([]netip.AddrPort, error) {
	switch {
	case len(ips) > maxIPs:
		return nil, wrong("ip", "more than %d addresses", maxIPs)
	case len(ports) > 0 && len(ips) != len(ports):
		return nil, wrong("port", "%d ports for %d addresses: write as many of both, or no ports", len(ports), len(ips))
	}
	var list []netip.AddrPort
	for i, s := range ips {
		addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
		if err != nil {
			return nil, wrong("ip", "%q is no address", s)
		}
		port := 0
		if len(ports) > 0 {
			if port = ports[i]; port < 1 || port > 65535 {
				return nil, wrong("port", "%d is not within 1 and 65535", port)
			}
		}
		list = append(list, netip.AddrPortFrom(addr.Unmap().WithZone(""), uint16(port)))
	}
	return list, nil
}

// hostName reads a host: an address, or a name.
func hostName(s string) (string, error) {
	u, err := sipmsg.ParseURI("sip:" + s)
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Unmap().WithZone("").String(), nil
	}
	if err != nil || u.Host == "" || u.Host != s {
		return "", wrong("next_hop", "%q is neither an address nor a name", s)
	}
	return hostOf(u), nil
}

// bareInstance is an instance without what stands around it in a REGISTER.
func bareInstance(s string) string {
	return strings.TrimSuffix(strings.TrimPrefix(strings.Trim(s, `"`), "<"), ">")
}

// IsZero reports whether f means all bindings.
func (f *Filter) IsZero() bool {
	return f.contact == nil && f.callID == "" && len(f.at) == 0 && f.nextHop == "" && f.instance == "" && f.provider == "" && f.prid == "" && f.ua == nil
}

// Names tell the addresses of hosts that are written as names; nil stands for
// none that is known.
type Names func(host string) []netip.Addr

// Match reports whether b is one of those that f means. names knows the names that
// NamesOf returned; it may be nil if there are none.
func (f *Filter) Match(b *usrloc.Binding, names Names) bool {
	return (f.callID == "" || f.callID == b.CallID) &&
		(f.instance == "" || usrloc.SameInstance(f.instance, b.Instance)) &&
		(f.provider == "" || strings.EqualFold(f.provider, b.Push.Provider)) &&
		(f.prid == "" || f.prid == b.Push.PRID) &&
		(f.ua == nil || f.ua.MatchString(b.UserAgent)) &&
		(len(f.at) == 0 || f.matchAddress(b)) &&
		(f.nextHop == "" || f.matchHop(nextHop(b), names)) &&
		(f.contact == nil || f.matchContact(b))
}

func (f *Filter) matchAddress(b *usrloc.Binding) bool {
	at, ok := address(b)
	return ok && slices.ContainsFunc(f.at, func(want netip.AddrPort) bool {
		return want.Addr() == at.Addr() && (want.Port() == 0 || want.Port() == at.Port())
	})
}

func (f *Filter) matchHop(host string, names Names) bool {
	if host == "" || host == f.nextHop {
		return host != ""
	}
	there := lookUp(host, names)
	return slices.ContainsFunc(lookUp(f.nextHop, names), func(a netip.Addr) bool { return slices.Contains(there, a) })
}

// lookUp returns the addresses of a host.
func lookUp(host string, names Names) []netip.Addr {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}
	}
	if names == nil {
		return nil
	}
	return names(host)
}

func (f *Filter) matchContact(b *usrloc.Binding) bool {
	if f.rawContact == b.Contact {
		return true
	}
	// RFC 3261 §19.1.4: a parameter that only one of them has does not count, so one
	// as it is shown, without its push parameters, is found.
	stored, err := sipmsg.ParseURI(b.Contact)
	return err == nil && stored.Equal(*f.contact)
}

// NamesOf returns the names, each once, that Match needs the addresses of to compare
// these bindings.
func (f *Filter) NamesOf(bindings []usrloc.Binding) (list []string) {
	add := func(host string) {
		if _, err := netip.ParseAddr(host); err != nil && host != "" && !slices.Contains(list, host) {
			list = append(list, host)
		}
	}
	if f.nextHop == "" {
		return nil
	}
	add(f.nextHop)
	for i := range bindings {
		add(nextHop(&bindings[i]))
	}
	return list
}

var errNothing = errors.New("name what is meant: nothing stands for everybody here")
