package configs

import (
	"fmt"
	"net/netip"
	"regexp"
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
