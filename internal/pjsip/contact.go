package pjsip

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// An addressee is a user of whom something is said that is not so for all.
type addressee struct {
	aor string
	// contacts are devices that never register.
	contacts []string
	lifetimes
}

// A hop is where calls may be led by a route.
type hop struct {
	name, to string
}

// device is a SIP URI that can be a contact: user, host, port and transport.
var device = regexp.MustCompile(`^sip:(?:[A-Za-z0-9_.!~*'()&=+$,?/-]+@)?(\[[0-9a-fA-F:.]+\]|[0-9.]+)(?::(\d{1,5}))?(;transport=(?:udp|tcp|tls))?$`)

// isDevice reports whether uri can be a contact, and whether it has no user.
func isDevice(uri string) (ok, anyone bool) {
	m := device.FindStringSubmatch(uri)
	if m == nil {
		return false, false
	}
	if _, err := netip.ParseAddr(strings.Trim(m[1], "[]")); err != nil {
		return false, false
	}
	if port, err := strconv.Atoi(m[2]); m[2] != "" && (err != nil || port == 0 || port > 65535) {
		return false, false
	}
	return true, !strings.Contains(uri, "@")
}

// contacts takes over the contacts that AORs have for good. One without a user is
// often a gateway, to which the dialplan led calls: for these a route is drafted.
func (p *planner) contacts() {
	taken := map[string]bool{}
	for _, s := range p.model.byType["aor"] {
		var contacts []string
		for _, o := range s.All("contact") {
			for _, uri := range values(o) {
				ok, anyone := isDevice(uri)
				if !ok {
					p.notes.option(o, "is no device by IP address: names are not looked up, and other parameters have no counterpart", "")
					continue
				}
				contacts = append(contacts, uri)
				if anyone {
					p.hops = append(p.hops, hop{name: uniqueName(s.Name, taken), to: uri})
					p.notes.option(o, "calls to this AOR go there; which others do, the dialplan said", "complete the line under proxy.routes")
				}
			}
		}
		if len(contacts) == 0 {
			continue
		}
		aors := p.addresses(s)
		if len(aors) == 0 {
			p.notes.section(s, "the name cannot be the user part of an address", "")
		}
		for _, aor := range aors {
			// [100] and [100@example.com] may be one.
			a := p.addressed(aor)
			a.contacts = append(slices.Clip(a.contacts), contacts...)
		}
	}
}

// addressed returns what is said of a user.
func (p *planner) addressed(aor string) *addressee {
	i := slices.IndexFunc(p.addressees, func(a addressee) bool { return a.aor == aor })
	if i < 0 {
		i = len(p.addressees)
		p.addressees = append(p.addressees, addressee{aor: aor})
	}
	return &p.addressees[i]
}

// addresses are those of an AOR section: in all domains, unless its name says in
// which.
func (p *planner) addresses(s *Section) []string {
	user, domain, full := strings.Cut(s.Name, "@")
	if !aorName.MatchString(user) {
		return nil
	}
	domains := p.domains
	if full {
		domains = []string{strings.ToLower(domain)}
	}
	var aors []string
	for _, d := range domains {
		aors = append(aors, "sip:"+user+"@"+d)
	}
	return aors
}
