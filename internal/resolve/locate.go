package resolve

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"reveille/flow"
)

// What one look-up takes from the DNS at most. The owner of a name must not be able to
// keep us busy with it.
const (
	maxHops      = 16
	maxQuestions = 40
)

// errQuestions is given by a search that has used up its questions.
var errQuestions = errors.New("too many questions")

// A search is the way from one Target to its hops.
type search struct {
	target Target
	// ask returns the records of a name, none if there are none.
	ask func(name string, kind uint16) ([]dns.RR, error)
	// supports reports whether a transport can be sent by.
	supports func(flow.Transport) bool
	// random returns a number in [0, n).
	random func(n int) int

	asked int
	hops  []Hop
	// failure is the first question that was not answered.
	failure error
}

// locate returns the hops of the target in the order in which they are tried. Hops
// that were found count, although other questions failed. The error wraps
// ErrUnreachable, ErrNotFound or what ask said.
func (s *search) locate() ([]Hop, error) {
	t := s.target
	switch h, numeric := t.Hop(); {
	case t.Host == "" || invented(t.Host) || !numeric && !validName(t.Host):
		return nil, fmt.Errorf("%s: %w", t, ErrUnreachable)
	case numeric:
		return []Hop{h}, nil
	}
	switch {
	case local(t.Host):
		tp := t.plainTransport()
		for _, a := range []netip.Addr{netip.IPv6Loopback(), netip.AddrFrom4([4]byte{127, 0, 0, 1})} {
			s.add(tp, a, t.portFor(tp))
		}
	case t.Port != 0:
		// RFC 3263 §4.1, §4.2: a port means that the name is a host's.
		s.addresses(t.plainTransport(), t.Host, t.Port)
	case t.Transport != 0:
		s.byService(t.Transport)
	default:
		s.byNAPTR()
	}
	switch {
	case len(s.hops) > 0:
		return s.hops, nil
	case s.failure != nil:
		return nil, fmt.Errorf("%s: %w", t, s.failure)
	}
	return nil, fmt.Errorf("%s: %w", t, ErrNotFound)
}

// question asks for the records of a name. What failed is noted, for other questions
// may have answers.
func (s *search) question(name string, kind uint16) []dns.RR {
	err := errQuestions
	if s.asked < maxQuestions {
		s.asked++
		var records []dns.RR
		if records, err = s.ask(name, kind); err == nil {
			return records
		}
	}
	if s.failure == nil {
		s.failure = err
	}
	return nil
}

// byNAPTR asks the domain which transports it prefers (RFC 3263 §4.1).
func (s *search) byNAPTR() {
	rules := s.rules(s.question(s.target.Host, dns.TypeNAPTR))
	for i, r := range rules {
		if r.Order != rules[0].Order {
			// RFC 3403 §4.1: once a rule applies, none of a higher order does.
			break
		}
		tp, _ := serviceTransport(r.Service)
		s.servers(tp, s.question(fold(r.Replacement), dns.TypeSRV))
		if len(s.hops) >= maxHops || i+1 >= maxHops {
			break
		}
	}
	if len(rules) > 0 || s.unanswered() {
		return
	}
	// No NAPTR: each transport is asked for (§4.1).
	found := false
	for _, tp := range []flow.Transport{flow.UDP, flow.TCP, flow.TLS} {
		if s.usable(tp) {
			found = s.servers(tp, s.question(service(tp)+s.target.Host, dns.TypeSRV)) || found
		}
	}
	if !found && !s.unanswered() {
		// No SRV either: a host of that name (§4.1, §4.2).
		tp := s.target.plainTransport()
		s.addresses(tp, s.target.Host, s.target.portFor(tp))
	}
}

// unanswered reports whether a question failed and nothing was found: a server that
// is silent about NAPTR or SRV has not said that there are none.
func (s *search) unanswered() bool { return s.failure != nil && len(s.hops) == 0 }

// byService asks for the servers of a known transport (RFC 3263 §4.2).
func (s *search) byService(tp flow.Transport) {
	if !s.servers(tp, s.question(service(tp)+s.target.Host, dns.TypeSRV)) && !s.unanswered() {
		s.addresses(tp, s.target.Host, s.target.portFor(tp))
	}
}

// rules returns the NAPTR records that lead to a transport we may use, the preferred
// first.
func (s *search) rules(records []dns.RR) []*dns.NAPTR {
	var list []*dns.NAPTR
	for _, rr := range records {
		r, ok := rr.(*dns.NAPTR)
		if !ok || !strings.EqualFold(r.Flags, "s") || fold(r.Replacement) == "" {
			// RFC 3263 §4.1: SIP has no other flag, and no regular expressions.
			continue
		}
		if tp, known := serviceTransport(r.Service); known && s.usable(tp) {
			list = append(list, r)
		}
	}
	slices.SortStableFunc(list, func(a, b *dns.NAPTR) int {
		if a.Order != b.Order {
			return int(a.Order) - int(b.Order)
		}
		return int(a.Preference) - int(b.Preference)
	})
	return list
}

// usable reports whether the target may be reached by a transport, and we have it.
func (s *search) usable(tp flow.Transport) bool {
	// RFC 3263 §4.1: for sips, all but TLS is discarded.
	return (tp == flow.TLS || !s.target.Secure) && s.supports(tp)
}

// servers adds the servers of SRV records. It reports whether there were any: then
// the domain has no server beside them, although none can be used.
func (s *search) servers(tp flow.Transport, records []dns.RR) bool {
	var list []*dns.SRV
	for _, rr := range records {
		if r, ok := rr.(*dns.SRV); ok {
			list = append(list, r)
		}
	}
	Shuffle(list, func(r *dns.SRV) (uint16, uint16) { return r.Priority, r.Weight }, s.random)
	for _, r := range list {
		// RFC 2782: the target "." says that there is no such service here.
		if host := fold(r.Target); host != "" && r.Port != 0 && len(s.hops) < maxHops {
			s.addresses(tp, host, r.Port)
		}
	}
	return len(list) > 0
}

// addresses adds the addresses of a host, IPv6 first (RFC 6724 §2.1, as RFC 7984 has
// it).
func (s *search) addresses(tp flow.Transport, host string, port uint16) {
	for _, kind := range []uint16{dns.TypeAAAA, dns.TypeA} {
		for _, rr := range s.question(host, kind) {
			var ip []byte
			switch r := rr.(type) {
			case *dns.A:
				ip = r.A.To4()
			case *dns.AAAA:
				ip = r.AAAA
			}
			if a, ok := netip.AddrFromSlice(ip); ok {
				s.add(tp, a.Unmap(), port)
			}
		}
	}
}

// add adds one hop, unless it is there already.
func (s *search) add(tp flow.Transport, a netip.Addr, port uint16) {
	h := Hop{Transport: tp, Addr: netip.AddrPortFrom(a, port), Name: s.target.Host}
	if a.IsUnspecified() || a.IsMulticast() || len(s.hops) >= maxHops || slices.Contains(s.hops, h) {
		// What is no host's address is nobody's.
		return
	}
	s.hops = append(s.hops, h)
}

// serviceTransport is the transport of a NAPTR service (RFC 3263 §4.1); known is false
// for those that cannot be dialled, such as SIP+D2W (RFC 7118 §5.4).
func serviceTransport(s string) (tp flow.Transport, known bool) {
	switch strings.ToUpper(s) {
	case "SIP+D2U":
		return flow.UDP, true
	case "SIP+D2T":
		return flow.TCP, true
	case "SIPS+D2T":
		return flow.TLS, true
	}
	return 0, false
}

// service is what stands before the domain in the name of its SRV records.
func service(tp flow.Transport) string {
	switch tp {
	case flow.TCP:
		return "_sip._tcp."
	case flow.TLS:
		return "_sips._tcp."
	default:
		return "_sip._udp."
	}
}

// fold is the form in which names are compared; that of the root is empty.
func fold(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// validName reports whether a name can be asked for.
func validName(name string) bool {
	if _, ok := dns.IsDomainName(name); !ok {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' })
}
