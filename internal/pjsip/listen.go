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
	tls             *security
	// sketch is set for what has to be completed by hand: it is printed as a
	// comment.
	sketch bool
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
	case "udp", "tcp", "tls":
	case "ws", "wss":
		return p.webListener(s, l), true
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
	port := uint16(5060)
	if l.transport == "tls" {
		port = 5061
	}
	if l.addr, ok = address(bind.Value, port); !ok {
		p.notes.option(bind, "is no address with or without a port", "")
		return l, false
	}
	for _, other := range p.listeners {
		if !other.sketch && other.transport == l.transport && other.addr == l.addr {
			p.notes.option(bind, "is the address of another transport of that protocol", "")
			return l, false
		}
	}
	l.advertise = p.advertise(s)
	if l.transport == "tls" {
		p.secure(s, &l)
	}
	return l, true
}

// webListener is for WebSocket. Where Asterisk listens for it, and with which
// certificate, stands in http.conf.
func (p *planner) webListener(s *Section, l listener) listener {
	l.sketch, l.advertise = true, p.advertise(s)
	l.addr = netip.AddrPortFrom(netip.IPv4Unspecified(), 8088)
	if l.transport == "wss" {
		l.addr = netip.AddrPortFrom(netip.IPv4Unspecified(), 8089)
		l.tls = &security{certFile: "/etc/asterisk/keys/asterisk.pem"}
	}
	p.notes.section(s, "Asterisk's http.conf says where it listens for WebSocket", "complete the listener that stands as a comment")
	return l
}

// advertise is what phones are told instead of the address that is bound, "" for
// that.
func (p *planner) advertise(s *Section) string {
	o, ok := s.Last("external_signaling_address")
	if !ok || o.Value == "" {
		return ""
	}
	told := o.Value
	if !hostname.MatchString(told) {
		a, err := netip.ParseAddr(strings.Trim(told, "[]"))
		if err != nil {
			p.notes.option(o, "is neither a name nor an address", "")
			return ""
		}
		told = host(a)
	}
	if o, ok := s.Last("external_signaling_port"); ok && o.Value != "0" {
		port, err := strconv.ParseUint(o.Value, 10, 16)
		if err != nil {
			p.notes.option(o, "is no port", "")
			return told
		}
		told = net.JoinHostPort(strings.Trim(told, "[]"), strconv.FormatUint(port, 10))
	}
	return told
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
