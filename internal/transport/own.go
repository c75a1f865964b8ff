package transport

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"reveille/flow"
)

// interfacePrefixes returns the addresses of the machine's interfaces.
func interfacePrefixes() ([]netip.Prefix, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list interface addresses: %w", err)
	}
	var out []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, netip.PrefixFrom(p.Addr().Unmap(), p.Bits()))
		}
	}
	return out, nil
}

// Advertised returns what Via, Record-Route, Path and Service-Route say of us
// in messages that leave by f: the advertised host and port of its listener,
// or the bound ones. An IPv6 address is in brackets. For a listener that binds
// all addresses and advertises none it is the interface address nearest to the
// peer. The host is empty if no listener speaks f's transport.
func (t *Transport) Advertised(f flow.Flow) (host string, port uint16) {
	l := t.named(f.Listener)
	if l == nil || l.Transport != f.Transport {
		if l = t.choose(f.Transport, f.Remote.Addr()); l == nil {
			return "", 0
		}
	}
	host, port = l.advHost, l.advPort
	if host == "" {
		host = hostOf(nearest(*t.locals.Load(), l, f.Remote.Addr()))
	}
	return host, port
}

// IsOwn reports whether host and port name one of our listeners: its bound
// address, its advertised one, or, if it binds all addresses, one of an
// interface. Port 0 means the transport's default port, a zero tp any
// transport. host may be an IP address, in brackets or not, or a name in any
// case. Nothing is resolved.
func (t *Transport) IsOwn(host string, port uint16, tp flow.Transport) bool {
	addr, name := parseHost(host)
	for _, l := range t.listeners() {
		if tp != 0 && l.Transport != tp {
			continue
		}
		p := port
		if p == 0 {
			p = DefaultPort(l.Transport)
		}
		if p == l.advPort && l.advHost != "" && (addr.IsValid() && addr == l.advAddr || !addr.IsValid() && name == l.advHost) {
			return true
		}
		if p == l.Addr.Port() && addr.IsValid() && l.binds(addr, *t.locals.Load()) {
			return true
		}
	}
	return false
}

// DefaultPort returns the port that a URI or Via without one means for tp
// (RFC 3261 §19.1.2, RFC 7118 §5.1).
func DefaultPort(tp flow.Transport) uint16 {
	switch tp {
	case flow.TLS:
		return 5061
	case flow.WS:
		return 80
	case flow.WSS:
		return 443
	default:
		return 5060
	}
}

// choose returns the listener by which we reach remote when nothing but its
// address is known: that of the first rule that fits; else the one bound to
// the interface address nearest to remote; else the first of its family. It is
// nil if none speaks tp in remote's address family.
func (t *Transport) choose(tp flow.Transport, remote netip.Addr) *listener {
	remote = remote.Unmap()
	for _, r := range t.opts.Rules {
		if l := t.named(r.Listener); l.Transport == tp && l.reaches(remote) && r.Prefix.Contains(remote.WithZone("")) {
			return l
		}
	}
	var best *listener
	bestBits := -1
	for _, l := range t.listeners() {
		if l.Transport != tp || !l.reaches(remote) {
			continue
		}
		if bits := l.nearness(remote, *t.locals.Load()); bits > bestBits {
			best, bestBits = l, bits
		}
	}
	return best
}

// reaches reports whether a socket of l can send to remote at all.
func (l *listener) reaches(remote netip.Addr) bool {
	if !remote.IsValid() {
		return false
	}
	if !l.bind.addr.IsValid() {
		return true
	}
	return l.bind.addr.Is4() == remote.Is4() && (!l.bind.addr.IsLoopback() || remote.IsLoopback())
}

// nearness is the length of the prefix that l's own address shares with remote
// on an interface; 0 if remote is beyond a router or l binds all addresses.
func (l *listener) nearness(remote netip.Addr, locals []netip.Prefix) int {
	remote = remote.WithZone("")
	bits := 0
	for _, p := range locals {
		if p.Addr() == l.bind.addr.WithZone("") && p.Contains(remote) {
			bits = max(bits, p.Bits())
		}
	}
	return bits
}

// binds reports whether datagrams or connections to addr arrive at l.
func (l *listener) binds(addr netip.Addr, locals []netip.Prefix) bool {
	if !l.bind.wildcard() {
		return addr == l.bind.addr
	}
	if l.bind.addr.IsValid() && l.bind.addr.Is4() != addr.Is4() {
		return false
	}
	if addr.IsLoopback() {
		return true
	}
	for _, p := range locals {
		if p.Addr().WithZone("") == addr.WithZone("") {
			return true
		}
	}
	return false
}

// nearest returns the address that l, which binds all addresses, shows to
// remote: one on remote's own network, else the first that is routed, else the
// first of the family, else the unspecified address that it is bound to.
func nearest(locals []netip.Prefix, l *listener, remote netip.Addr) netip.Addr {
	remote = remote.Unmap().WithZone("")
	best, score := l.Addr.Addr(), -1
	for _, p := range locals {
		a := p.Addr()
		if l.bind.addr.IsValid() && a.Is4() != l.bind.addr.Is4() || remote.IsValid() && a.Is4() != remote.Is4() {
			continue
		}
		s := 0
		switch {
		case remote.IsValid() && p.Contains(remote):
			s = 2 + p.Bits()
		case a.IsGlobalUnicast():
			s = 1
		}
		if s > score {
			best, score = a, s
		}
	}
	return best
}

// parseHost splits a URI's or Via's host into an address or, if it is none, a
// name in lower case without a trailing dot.
func parseHost(s string) (addr netip.Addr, name string) {
	literal := s
	if len(s) > 1 && s[0] == '[' && s[len(s)-1] == ']' {
		literal = s[1 : len(s)-1]
	}
	if addr, err := netip.ParseAddr(literal); err == nil {
		return addr.Unmap(), ""
	}
	return netip.Addr{}, strings.ToLower(strings.TrimSuffix(s, "."))
}

// hostOf returns addr as a URI's or Via's host: IPv6 in brackets, no zone.
func hostOf(addr netip.Addr) string {
	if addr = addr.WithZone(""); addr.Is6() {
		return "[" + addr.String() + "]"
	}
	return addr.String()
}

// private reports whether addr is not reachable from the Internet (RFC 1918,
// RFC 4193, RFC 6598, link-local). Loopback is a deliberate choice and not
// meant.
func private(addr netip.Addr) bool {
	return addr.IsPrivate() || addr.IsLinkLocalUnicast() || sharedSpace(addr)
}

// sharedSpace reports whether addr is in 100.64.0.0/10, which carriers use
// inside their NATs (RFC 6598).
func sharedSpace(addr netip.Addr) bool {
	return addr.Is4() && addr.As4()[0] == 100 && addr.As4()[1]&0xc0 == 64
}
