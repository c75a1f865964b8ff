package proxy

import (
	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// This file is about requests to sips URIs: they leave on secure flows alone (RFC 3261
// §26.2.2).

// securely reports whether a request to a sips URI may go to b's device: it registered
// over TLS, and what is behind an edge is promised by the Contact alone.
func securely(b *usrloc.Binding) bool {
	if !b.Static() {
		if !b.Flow.Transport.Secure() {
			return false
		}
		if len(b.Path) == 0 {
			return true
		}
	}
	u, err := sipmsg.ParseURI(b.Contact)
	return err == nil && u.IsSIPS()
}

// barred reports whether the request must not leave on a transport.
func (f *fork) barred(t flow.Transport) bool { return f.sips && !t.Secure() }

// look is what target selection knows for this request.
func (f *fork) look(v view) view {
	v.sips, v.wakes = f.sips, v.wakes || f.wakesByEvent()
	return v
}

// sips reports whether a request must not leave but over TLS. With a strict router in
// front of us the last Route is the Request-URI (RFC 3261 §16.4).
func (g *passage) sips(m *sipmsg.Message) bool {
	if routes := m.Routes(); g.strict {
		return routes[len(routes)-1].URI.IsSIPS()
	}
	return m.RequestURI().IsSIPS()
}
