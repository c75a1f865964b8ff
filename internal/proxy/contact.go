package proxy

import (
	"net/netip"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// This file tells where a phone that does not sleep can be reached besides the
// flow on which it registered.

// contactFlow returns the flow to a device that is awake: the one on which it
// registered. A phone that does not sleep, is not behind a NAT (its Contact has
// the address that we saw) and names another UDP port than it registered from
// means that port (RFC 3261 §16.6 step 7).
func contactFlow(b *usrloc.Binding) flow.Flow {
	if h, ok := ownHop(b); ok && h.transport == flow.UDP {
		f := b.Flow
		f.Remote = netip.AddrPortFrom(f.Remote.Addr(), h.addr.Port())
		return f
	}
	return b.Flow
}

// listens returns where a phone whose connection is gone takes a new one. That is
// never a browser, a phone behind a NAT, or one that manages its flows itself
// (RFC 5626 §7: what is for a flow goes by that flow).
func listens(b *usrloc.Binding) (hop, bool) {
	h, ok := ownHop(b)
	return h, ok && h.transport.Stream()
}

// ownHop returns the address that the device itself says it listens at: its
// Contact, or, if it registered through other proxies, the next of those (RFC
// 3327 §5.2). ok is false unless that is the address which we saw, by the same
// transport: what phones write must not make us send to third parties.
func ownHop(b *usrloc.Binding) (h hop, ok bool) {
	if b.Push.Provider != "" || b.RegID != 0 && len(b.Path) == 0 {
		return hop{}, false
	}
	u, err := sipmsg.ParseURI(b.Contact)
	if len(b.Path) > 0 {
		var first sipmsg.NameAddr
		first, err = sipmsg.ParseNameAddr(b.Path[0])
		u = first.URI
	}
	if err != nil {
		return hop{}, false
	}
	h, ok = hopOf(u)
	return h, ok && h.transport == b.Flow.Transport && h.addr.Addr().Unmap() == b.Flow.Remote.Addr().Unmap()
}
