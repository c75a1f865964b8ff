package pjsip

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// hostname is a domain name of RFC 1123 without a final dot; an IPv4 address is
// one, too.
var hostname = regexp.MustCompile(`^([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?)(\.[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?)*$`)

// findDomains finds the domains: those given, those behind an @ in the names of AORs,
// those of transports and of domain aliases, and, if there is none yet, the
// addresses that phones may have been told instead of a name.
func (p *planner) findDomains(given []string) {
	for _, d := range given {
		p.domain(d)
	}
	for _, s := range p.model.byType["aor"] {
		if _, d, ok := strings.Cut(s.Name, "@"); ok {
			p.domain(d)
		}
	}
	for _, s := range p.model.byType["transport"] {
		if o, ok := s.Last("domain"); ok && !p.domain(o.Value) {
			p.notes.option(o, "is no domain", "")
		}
	}
	p.aliases()
	if len(p.domains) > 0 {
		return
	}
	p.guessed = true
	for _, l := range p.listeners {
		if l.advertise != "" {
			p.domain(hostOf(l.advertise))
		}
		if a := l.addr.Addr(); !a.IsUnspecified() && !l.sketch {
			p.domain(host(a))
		}
	}
	if len(p.domains) == 0 {
		p.domain("localhost")
	}
	p.notes.add(Note{
		Place: Place{File: p.name}, What: "does not say which domain the users belong to; Asterisk takes any",
		Hint: "name it with --domain, or change domains in the configuration",
	})
}

// alias is another name of a domain.
type alias struct{ name, domain string }

// aliases takes over the domain aliases. What others are aliases of are domains,
// and a domain is no alias.
func (p *planner) aliases() {
	var sections []*Section
	for _, s := range p.model.byType["domain_alias"] {
		o, ok := s.Last("domain")
		switch {
		case !ok:
			p.notes.section(s, "names no domain that it is an alias of", "")
		case !p.domain(o.Value):
			p.notes.option(o, "is no domain", "")
		default:
			sections = append(sections, s)
		}
	}
	taken := slices.Clone(p.domains)
	for _, s := range sections {
		name, ok := canonical(s.Name)
		switch {
		case !ok:
			p.notes.section(s, "the name of the section is no domain", "")
		case slices.Contains(taken, name):
			p.notes.section(s, "is a domain or an alias already", "")
		default:
			domain, _ := canonical(s.Value("domain"))
			taken = append(taken, name)
			p.domainAliases = append(p.domainAliases, alias{name, domain})
		}
	}
}

// domain adds a domain; false means that it is none.
func (p *planner) domain(d string) bool {
	d, ok := canonical(d)
	if ok && !slices.Contains(p.domains, d) {
		p.domains = append(p.domains, d)
	}
	return ok
}

// canonical writes a domain as the configuration does: a name or an IPv4 address
// in lower case, or an IPv6 address in brackets.
func canonical(d string) (string, bool) {
	d = strings.ToLower(d)
	if hostname.MatchString(d) && len(d) <= 253 {
		return d, true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(d, "["), "]"))
	if err != nil || !a.Is6() {
		return "", false
	}
	return host(a), true
}

// hostOf returns what stands before the port of host or host:port.
func hostOf(s string) string {
	if a, err := netip.ParseAddrPort(s); err == nil {
		return host(a.Addr())
	}
	if strings.HasPrefix(s, "[") {
		return s
	}
	h, _, _ := strings.Cut(s, ":")
	return h
}
