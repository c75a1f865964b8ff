package pjsip

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// A listener is a transport that has a counterpart.
type listener struct {
	name, transport string
	addr            netip.AddrPort
	advertise       string // "" for addr
}

// listen takes over the transports, and follows the endpoints that name one.
func (p *planner) listen() {
	taken := map[string]bool{}
	for _, s := range p.model.byType["transport"] {
		l, ok := p.listener(s)
		if !ok {
			continue
		}
		l.name = uniqueName(s.Name, taken)
		p.listeners = append(p.listeners, l)
	}
	for _, s := range p.model.byType["endpoint"] {
		if len(p.model.refer(s, "transport", "transport", &p.notes)) > 0 {
			o, _ := s.Last("transport")
			p.notes.option(o, "has no counterpart: a user may come by every listener, and is called where it came from", "")
		}
	}
}

func (p *planner) listener(s *Section) (l listener, ok bool) {
	l.transport = strings.ToLower(s.Value("protocol"))
	switch l.transport {
	case "":
		l.transport = "udp"
	case "udp", "tcp":
	case "flow":
		p.notes.section(s, "has no counterpart: a connection that exists is always used again", "")
		return l, false
	default:
		p.notes.section(s, fmt.Sprintf("there is no listener for %s", l.transport), "")
		return l, false
	}
	bind, ok := s.Last("bind")
	if !ok {
		p.notes.section(s, "has no bind address", "")
		return l, false
	}
	if l.addr, ok = address(bind.Value, 5060); !ok {
		p.notes.option(bind, "is no address with or without a port", "")
		return l, false
	}
	for _, other := range p.listeners {
		if other.transport == l.transport && other.addr == l.addr {
			p.notes.option(bind, "is the address of another transport of that protocol", "")
			return l, false
		}
	}
	if o, ok := s.Last("external_signaling_address"); ok && o.Value != "" {
		l.advertise = o.Value
		if !hostname.MatchString(o.Value) {
			if a, err := netip.ParseAddr(strings.Trim(o.Value, "[]")); err != nil {
				p.notes.option(o, "is neither a name nor an address", "")
				l.advertise = ""
			} else {
				l.advertise = host(a)
			}
		}
	}
	if o, ok := s.Last("external_signaling_port"); ok && l.advertise != "" {
		if port, err := strconv.ParseUint(o.Value, 10, 16); err == nil && port > 0 {
			l.advertise = net.JoinHostPort(strings.Trim(l.advertise, "[]"), strconv.FormatUint(port, 10))
		} else if o.Value != "0" {
			p.notes.option(o, "is no port", "")
		}
	}
	return l, true
}

// address reads an address to bind to, with a port or without.
func address(s string, port uint16) (netip.AddrPort, bool) {
	if a, err := netip.ParseAddrPort(s); err == nil {
		return a, true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return netip.AddrPortFrom(a, port), err == nil
}

// host writes an address as the host of a URI.
func host(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.WithZone("").String() + "]"
	}
	return a.String()
}

// notInNames matches what the names of listeners and routes may not hold.
var notInNames = regexp.MustCompile(`[^a-zA-Z0-9_-]+`)

// uniqueName makes the name of a section fit for a listener or route. taken
// holds the names in use, and gets the new one.
func uniqueName(s string, taken map[string]bool) string {
	base := strings.Trim(notInNames.ReplaceAllString(s, "-"), "-")
	if base == "" {
		base = "unnamed"
	}
	base = base[:min(len(base), 28)]
	name := base
	for i := 2; taken[name]; i++ {
		name = fmt.Sprintf("%s-%d", base, i)
	}
	taken[name] = true
	return name
}
