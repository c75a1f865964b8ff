package configs

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

// NextHop is one of several places that a route leads to.
type NextHop struct {
	// URI is a SIP or SIPS URI.
	URI string `yaml:"uri"`
	// The lowest Priority is tried first; equal ones share the calls by Weight.
	Priority int `yaml:"priority" range:"0..65535"`
	Weight   int `yaml:"weight" range:"0..65535"`
}

func (n *NextHop) setDefaults() { n.Weight = 1 }

// HopCheck says how next hops are asked by OPTIONS.
type HopCheck struct {
	// Interval is the time between two questions; 0: nobody is asked. Timeout is how long
	// the answer may take.
	Interval time.Duration `yaml:"interval" range:"0s..1h"`
	Timeout  time.Duration `yaml:"timeout" range:"100ms..30s"`
	// Down failures in a row say that a next hop is down, Up answers that it is up again.
	Down int `yaml:"down" range:"1..100"`
	Up   int `yaml:"up" range:"1..100"`
	// Answers are status codes such as 200, or classes such as 2xx, that say that it is
	// up; none: all but 408, 503 and 504.
	Answers []string `yaml:"answers"`
}

func (r *Route) setDefaults() { r.Check = HopCheck{Timeout: 2 * time.Second, Down: 2, Up: 2} }

// answerSyntax is a final status code, or a class of such.
var answerSyntax = regexp.MustCompile(`^[2-6](xx|[0-9]{2})$`)

func (l *loader) checkHopCheck(at string, c *HopCheck) {
	if c.Interval > 0 && c.Timeout >= c.Interval {
		l.errorAt(at+".timeout", "is not shorter than interval", "nobody is asked again while an answer is waited for")
	}
	for i, a := range c.Answers {
		if !answerSyntax.MatchString(a) {
			l.errorAt(fmt.Sprintf("%s.answers[%d]", at, i), fmt.Sprintf("%q is no final status", a), "write 200 or 2xx")
		}
	}
}

// checkTrustedRoutes looks at the routes that auth.trusted names.
func (l *loader) checkTrustedRoutes(cfg *Config) {
	var routes []string
	for _, r := range cfg.Proxy.Routes {
		routes = append(routes, r.Name)
	}
	for i, t := range cfg.Auth.Trusted {
		if t.Route != "" && !slices.Contains(routes, t.Route) {
			l.errorAt(fmt.Sprintf("auth.trusted[%d].route", i), fmt.Sprintf("%q is none of proxy.routes", t.Route), suggest(t.Route, routes))
		}
	}
}

// Hops returns where the route leads, however it is written.
func (r *Route) Hops() []NextHop {
	if len(r.NextHops) == 0 {
		return []NextHop{{URI: r.To}}
	}
	return r.NextHops
}

// DNS says how names are looked up.
type DNS struct {
	// Servers are IP addresses, maybe with a port; none: those of the machine.
	Servers []string `yaml:"servers"`
	// Timeout is for one question to one server.
	Timeout time.Duration `yaml:"timeout" range:"100ms..30s"`
}

// Addrs returns the servers with their ports.
func (d *DNS) Addrs() ([]netip.AddrPort, error) {
	var list []netip.AddrPort
	for _, s := range d.Servers {
		a, err := dnsServer(s)
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, nil
}

// dnsServer reads an address with or without a port.
func dnsServer(s string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPortFrom(a, 53), nil
	}
	return netip.ParseAddrPort(s)
}

func (l *loader) checkDNS(d *DNS) {
	for i, s := range d.Servers {
		if a, err := dnsServer(s); err != nil || a.Port() == 0 {
			l.errorAt(fmt.Sprintf("dns.servers[%d]", i), fmt.Sprintf("%q is no address of a server", s), "write 192.0.2.53 or 192.0.2.53:53")
		}
	}
}

// nextHopSyntax is a next hop: host, port and parameters. Its first group is the host.
var nextHopSyntax = regexp.MustCompile(`^sips?:(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9._-]+)(:\d{1,5})?(;[^\s<>"?]+)?$`)

// checkNextHops looks at where a route leads.
func (l *loader) checkNextHops(at string, r *Route) {
	const hint = "write sip:192.0.2.10:5060;transport=tcp"
	switch {
	case r.To == "" && len(r.NextHops) == 0:
		l.required(at+".to", "write the next hop, e.g. sip:192.0.2.10:5060;transport=tcp")
		return
	case r.To != "" && len(r.NextHops) > 0:
		l.errorAt(at+".to", "excludes next_hops", "remove one of them")
	}
	l.checkHopCheck(at+".check", &r.Check)
	for i, n := range r.Hops() {
		where := at + ".to"
		if len(r.NextHops) > 0 {
			where = fmt.Sprintf("%s.next_hops[%d].uri", at, i)
		}
		if m := nextHopSyntax.FindStringSubmatch(n.URI); m == nil || !validNextHost(m[1]) {
			l.errorAt(where, fmt.Sprintf("%q is no SIP URI of a next hop", n.URI), hint)
		}
	}
}

// numericHost is what looks like an IPv4 address, and is one or a mistake.
var numericHost = regexp.MustCompile(`^[0-9.]+$`)

// validNextHost reports whether a host is an IP address, or a name that may be in the
// DNS.
func validNextHost(host string) bool {
	if host[0] == '[' || numericHost.MatchString(host) {
		_, err := netip.ParseAddr(strings.Trim(host, "[]"))
		return err == nil
	}
	return validHost(host)
}
