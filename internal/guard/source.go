package guard

import (
	"encoding/binary"
	"net/netip"
)

// A source is who is counted as one: an IPv4 address, or the first 64 bits of an
// IPv6 address, all of which one subscriber has. IPv4 addresses are kept in their
// mapped form.
type source [16]byte

func sourceOf(a netip.Addr) source {
	s := source(a.As16())
	if !a.Is4() && !a.Is4In6() {
		clear(s[8:])
	}
	return s
}

// key is what is counted: the datagrams of a source, whose address may be forged,
// by themselves, so that they take nothing from its connections.
func (s source) key(datagrams bool) (k [len(source{}) + 1]byte) {
	copy(k[:], s[:])
	if datagrams {
		k[len(s)] = 1
	}
	return k
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

// networks are looked through one by one: there are few. IPv4 ones are kept as
// numbers, for every message is compared with them.
type networks struct {
	v4 []network4
	v6 []netip.Prefix
}

type network4 struct{ addr, mask uint32 }

func newNetworks(prefixes []netip.Prefix) (ns networks) {
	for _, p := range prefixes {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		if p = p.Masked(); p.Addr().Is4() {
			ns.v4 = append(ns.v4, network4{number(p.Addr()), ^uint32(0) << (32 - p.Bits())})
		} else {
			ns.v6 = append(ns.v6, p)
		}
	}
	return ns
}

// number is an IPv4 address, or the one that is mapped.
func number(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func (ns *networks) contain(a netip.Addr) bool {
	if a.Is4() || a.Is4In6() {
		n := number(a)
		for _, x := range ns.v4 {
			if n&x.mask == x.addr {
				return true
			}
		}
		return false
	}
	a = a.WithZone("")
	for _, p := range ns.v6 {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
