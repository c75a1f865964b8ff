package guard

import (
	"net/netip"
)

// A source is who is counted as one: an IPv4 address, or the first 64 bits of an
// IPv6 address, all of which one subscriber has. IPv4 addresses are kept in their
// mapped form.
type source [16]byte

func sourceOf(a netip.Addr) source {
	s := source(a.As16())
	if a.Is6() && !a.Is4In6() {
		clear(s[8:])
	}
	return s
}

// prefix returns s as a network: a /32 or a /64.
func (s source) prefix() netip.Prefix {
	a := netip.AddrFrom16(s)
	if a.Is4In6() {
		return netip.PrefixFrom(a.Unmap(), 32)
	}
	return netip.PrefixFrom(a, 64)
}

// String returns an IPv4 address as such, and an IPv6 network with its length.
func (s source) String() string {
	p := s.prefix()
	if p.Addr().Is4() {
		return p.Addr().String()
	}
	return p.String()
}

// networks are looked through one by one: there are few.
type networks []netip.Prefix

// newNetworks masks prefixes and turns mapped IPv4 ones into IPv4.
func newNetworks(prefixes []netip.Prefix) networks {
	ns := make(networks, 0, len(prefixes))
	for _, p := range prefixes {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		ns = append(ns, p.Masked())
	}
	return ns
}

func (ns networks) contain(a netip.Addr) bool {
	if len(ns) == 0 {
		return false
	}
	a = a.Unmap().WithZone("")
	for _, p := range ns {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
