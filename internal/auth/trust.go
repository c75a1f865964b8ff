package auth

import "net/netip"

// peers are the networks whose requests are believed without credentials: edge
// proxies, trunks, gateways. The address is the one that our socket saw. Over
// UDP it can be forged where the network does not prevent that; the operator
// who lists a prefix vouches for the way to it.
type peers []netip.Prefix

// newPeers masks the prefixes and turns mapped IPv4 ones into IPv4.
func newPeers(prefixes []netip.Prefix) peers {
	ps := make(peers, 0, len(prefixes))
	for _, p := range prefixes {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		ps = append(ps, p.Masked())
	}
	return ps
}

// contains reports whether addr belongs to a peer. Peers are few: they are
// looked through one by one.
func (ps peers) contains(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, p := range ps {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
