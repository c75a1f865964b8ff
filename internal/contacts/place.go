package contacts

import (
	"net/netip"
	"strings"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// seenAt returns where the phone was seen when it registered: by us, or by the edge
// proxy that said so. ok is false for one behind an edge that did not say, and for a
// contact that was added by hand.
func seenAt(b *usrloc.Binding) (netip.AddrPort, bool) {
	if u, err := sipmsg.ParseURI(b.Received); b.Received != "" && err == nil {
		if addr, ok := u.HostAddr(); ok {
			return netip.AddrPortFrom(addr.Unmap().WithZone(""), portOf(u)), true
		}
	}
	if r := b.Flow.Remote; len(b.Path) == 0 && r.IsValid() {
		return netip.AddrPortFrom(r.Addr().Unmap().WithZone(""), r.Port()), true
	}
	return netip.AddrPort{}, false
}

// received is seenAt as a SIP URI; "" if the phone was not seen.
func received(b *usrloc.Binding) string {
	at, ok := seenAt(b)
	switch {
	case b.Received != "" || !ok:
		return b.Received
	case b.Flow.Transport == flow.UDP:
		return "sip:" + at.String()
	}
	return "sip:" + at.String() + ";transport=" + strings.ToLower(b.Flow.Transport.String())
}

// address returns the address of a phone: where it was seen, or else what its contact
// names, if that is an address.
func address(b *usrloc.Binding) (netip.AddrPort, bool) {
	if at, ok := seenAt(b); ok {
		return at, true
	}
	u, err := sipmsg.ParseURI(b.Contact)
	if err != nil {
		return netip.AddrPort{}, false
	}
	addr, ok := u.HostAddr()
	return netip.AddrPortFrom(addr.Unmap().WithZone(""), portOf(u)), ok
}

// nextHop returns the host that requests for the phone go to next: that of the
// topmost Path value, or else where the phone was seen, or else that of its contact.
// It is an address without brackets, or a name in lower case; "" if there is none.
func nextHop(b *usrloc.Binding) string {
	if len(b.Path) > 0 {
		path, err := sipmsg.ParseNameAddr(b.Path[0])
		if err != nil {
			return ""
		}
		return hostOf(path.URI)
	}
	if at, ok := seenAt(b); ok {
		return at.Addr().String()
	}
	u, err := sipmsg.ParseURI(b.Contact)
	if err != nil {
		return ""
	}
	return hostOf(u)
}

func hostOf(u sipmsg.URI) string {
	if addr, ok := u.HostAddr(); ok {
		return addr.Unmap().WithZone("").String()
	}
	return strings.ToLower(strings.TrimSuffix(u.Host, "."))
}

// portOf is the port of a URI, or the one that stands for none (RFC 3261 §19.1.2).
func portOf(u sipmsg.URI) uint16 {
	if port := u.PortNum(); port != 0 {
		return port
	}
	if transport, _ := u.Param("transport"); u.IsSIPS() || strings.EqualFold(transport, "tls") {
		return 5061
	}
	return 5060
}
