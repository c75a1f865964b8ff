package pjsip

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// trusted is a network that an identify section names.
type trusted struct {
	network  netip.Prefix
	endpoint string
}

// identify trusts the addresses by which endpoints are known.
func (p *planner) identify() {
	seen := map[netip.Prefix]bool{}
	for _, s := range p.model.byType["identify"] {
		if len(p.model.refer(s, "endpoint", "endpoint", &p.notes)) == 0 {
			if _, named := s.Last("endpoint"); !named {
				p.notes.section(s, "names no endpoint", "")
			}
			continue
		}
		endpoint := s.Value("endpoint")
		before := len(p.trusted)
		for _, o := range s.All("match") {
			for _, v := range values(o) {
				network, ok := p.network(o, v)
				if !ok || seen[network] {
					continue
				}
				if network.Bits() == 0 {
					p.notes.option(o, "would trust every address there is", "name networks")
					continue
				}
				seen[network] = true
				p.trusted = append(p.trusted, trusted{network, endpoint})
			}
		}
		if len(p.trusted) > before {
			p.notes.section(s, fmt.Sprintf("its addresses are trusted with every user, not only with [%s]", endpoint), "")
		}
	}
	for _, s := range p.model.byType["endpoint"] {
		if o, ok := s.Last("identify_by"); ok && !onlyKnownWays(values(o)) {
			p.notes.option(o, "has no counterpart: a sender is known by its address or by its password", "")
		}
	}
}

func onlyKnownWays(ways []string) bool {
	for _, w := range ways {
		switch strings.ToLower(w) {
		case "username", "auth_username", "ip":
		default:
			return false
		}
	}
	return true
}

// network reads an address, or one with a prefix length or a mask.
func (p *planner) network(o Option, v string) (netip.Prefix, bool) {
	addr, mask, masked := strings.Cut(v, "/")
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(addr, "["), "]"))
	if err != nil {
		p.notes.option(o, "is no address: names are not looked up, and ports and exceptions have no counterpart", "name addresses")
		return netip.Prefix{}, false
	}
	bits := a.BitLen()
	if masked {
		if bits, err = maskBits(mask); err != nil {
			p.notes.option(o, "has no prefix length or mask behind the slash", "")
			return netip.Prefix{}, false
		}
	}
	network, err := a.Prefix(bits)
	if err != nil {
		p.notes.option(o, "has a prefix length that is too long", "")
		return netip.Prefix{}, false
	}
	return network, true
}

// maskBits reads what stands behind the slash of a network: 24 or 255.255.255.0.
func maskBits(s string) (int, error) {
	if !strings.Contains(s, ".") {
		return strconv.Atoi(s)
	}
	ones, ended := 0, false
	octets := strings.Split(s, ".")
	if len(octets) != 4 {
		return 0, strconv.ErrSyntax
	}
	for _, octet := range octets {
		n, err := strconv.ParseUint(octet, 10, 8)
		if err != nil {
			return 0, err
		}
		for bit := 7; bit >= 0; bit-- {
			set := n>>bit&1 == 1
			if set && ended {
				return 0, strconv.ErrSyntax
			}
			ended = ended || !set
			if set {
				ones++
			}
		}
	}
	return ones, nil
}
