package proxy

import (
	"reveille/internal/resolve"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// staticTarget returns where the device of a binding is that an operator added by
// hand: where its topmost Path value leads (RFC 3327 §5.2), or its Contact. ok is
// false for one that registered: what phones write must not make us send to third
// parties. It is false, too, for what leads back to us.
func staticTarget(b *usrloc.Binding, flows Flows) (to resolve.Target, ok bool) {
	if !b.Static() || b.Push.Provider != "" {
		return resolve.Target{}, false
	}
	u, err := sipmsg.ParseURI(b.Contact)
	if len(b.Path) > 0 {
		var first sipmsg.NameAddr
		first, err = sipmsg.ParseNameAddr(b.Path[0])
		u = first.URI
	}
	if err != nil {
		return resolve.Target{}, false
	}
	to, err = resolve.TargetOf(u)
	return to, err == nil && !flows.IsOwn(u.Host, u.PortNum(), 0)
}

// Dials reports whether a connection is made to the device of b for each request
// that there is no way for: it said itself that it listens, or an operator did.
func (p *Proxy) Dials(b *usrloc.Binding) bool {
	if _, ok := staticTarget(b, p.opts().Flows); ok {
		return true
	}
	_, ok := listens(b)
	return ok
}
