package proxy

import (
	"strings"

	"reveille/flow"
	"reveille/internal/resolve"
	"reveille/internal/sipmsg"
)

// This file sends requests to what is no device of a user of ours: the next hop
// of a configured route, or the peer in a dialog.

// toRoute sends a request for a foreign domain to a configured next hop.
func (f *fork) toRoute(a Admission) {
	uri := f.p.dialled(f.s.Message().RequestURI())
	route, ok := f.p.routeFor(uri)
	switch {
	case !ok && f.p.ours(uri):
		f.refuse(sipmsg.Reply{Code: 404})
		return
	case !ok:
		f.refuse(relayingRefused())
		return
	}
	f.along(route, a)
}

// along sends a request to the next hop of a route, if its sender may use one.
func (f *fork) along(r *Route, a Admission) {
	if !a.mayRelay() {
		f.refuse(relayingRefused())
		return
	}
	f.start([]target{r.target()})
}

// mayRelay reports whether the sender may call others than users of ours: no relay
// without right.
func (a *Admission) mayRelay() bool { return a.User != "" || a.Trusted }

func relayingRefused() sipmsg.Reply { return sipmsg.Reply{Code: 403, Reason: "Relaying Not Allowed"} }

// routeFor returns the configured route for a URI that is no user of ours. Of the own
// domains, whose unknown users nobody else knows, none leads out but by name.
func (p *Proxy) routeFor(u sipmsg.URI) (*Route, bool) {
	routes := p.opts().Routes
	for i := range routes {
		r := &routes[i]
		domain := strings.EqualFold(r.Domain, u.Host) || r.Domain == "*" && !p.ours(u)
		if domain && strings.HasPrefix(u.User, r.Prefix) {
			return r, true
		}
	}
	return nil, false
}

// toPeer sends a request in a dialog on a fixed flow. If its connection is gone
// and the peer told us an address, a new connection is made.
func (f *fork) toPeer(to flow.Flow) {
	if !to.IsZero() && f.p.opts().Flows.Open(to) {
		f.start([]target{{reach: forward, binding: &unregistered, flow: to}})
		return
	}
	t, ok := f.p.nextHop(f.s.Message(), f.passage)
	if !ok {
		// RFC 5626 §5.3.1. It ends the request, not the dialog (RFC 5057 §5.1), in
		// which the peer may be heard of again.
		f.refuse(sipmsg.Reply{Code: 430, Reason: "Flow Failed"})
		return
	}
	f.start([]target{dialTarget(t)})
}

// nextHop reads the next Route, or the Request-URI (RFC 3261 §16.6 step 7). Only
// requests with a token of ours get here. ok is false if there is nothing that can
// be connected to.
func (p *Proxy) nextHop(m *sipmsg.Message, g passage) (t resolve.Target, ok bool) {
	u := m.RequestURI()
	routes := m.Routes()
	switch {
	case g.foreign:
		u = routes[g.own].URI
	case g.strict:
		u = routes[len(routes)-1].URI
	}
	if !g.foreign && hasOB(u) {
		// RFC 5626 §4.3: it wants to be reached on its flow; behind a NAT somebody
		// else may have that address.
		return resolve.Target{}, false
	}
	if p.opts().Flows.IsOwn(u.Host, u.PortNum(), 0) {
		// What leads back to us leads nowhere.
		return resolve.Target{}, false
	}
	t, err := resolve.TargetOf(u)
	if _, numeric := t.Addr(); err != nil || !numeric && p.opts().Resolver == nil {
		return resolve.Target{}, false
	}
	return t, true
}

// hopOf reads the address in a URI (RFC 3263 §4.1, §4.2). ok is false if the host
// is a name, or if nothing can be connected to.
func hopOf(u sipmsg.URI) (h hop, ok bool) {
	t, err := resolve.TargetOf(u)
	if err != nil {
		return hop{}, false
	}
	found, ok := t.Hop()
	return hopAt(found), ok
}
