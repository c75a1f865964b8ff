package proxy

import (
	"net/netip"
	"strings"

	"reveille/flow"
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
	f.toHop(hop{route.Transport, route.NextHop}, a)
}

// toHop sends a request to the next hop of a route, if its sender may use one.
func (f *fork) toHop(h hop, a Admission) {
	if !a.mayRelay() {
		f.refuse(relayingRefused())
		return
	}
	f.start([]target{h.target()})
}

// mayRelay reports whether the sender may call others than users of ours: no relay
// without right.
func (a *Admission) mayRelay() bool { return a.User != "" || a.Trusted }

func relayingRefused() sipmsg.Reply { return sipmsg.Reply{Code: 403, Reason: "Relaying Not Allowed"} }

// routeFor returns the configured route for a URI that is no user of ours.
func (p *Proxy) routeFor(u sipmsg.URI) (Route, bool) {
	for _, r := range p.opts().Routes {
		if (r.Domain == "*" || strings.EqualFold(r.Domain, u.Host)) && strings.HasPrefix(u.User, r.Prefix) {
			return r, true
		}
	}
	return Route{}, false
}

// toPeer sends a request in a dialog on a fixed flow. If its connection is gone
// and the peer told us an address, a new connection is made.
func (f *fork) toPeer(to flow.Flow) {
	if !to.IsZero() && f.p.opts().Flows.Open(to) {
		f.start([]target{{reach: forward, flow: to}})
		return
	}
	h, ok := f.p.nextHop(f.s.Message(), f.passage)
	if !ok {
		// RFC 5626 §5.3.1. It ends the request, not the dialog (RFC 5057 §5.1), in
		// which the peer may be heard of again.
		f.refuse(sipmsg.Reply{Code: 430, Reason: "Flow Failed"})
		return
	}
	f.start([]target{{reach: dial, hop: h}})
}

// A hop is an address to connect to.
type hop struct {
	transport flow.Transport
	addr      netip.AddrPort
}

func (h hop) target() target { return target{reach: dial, hop: h} }

// nextHop reads the address of the next Route, or of the Request-URI (RFC 3261
// §16.6 step 7), if it is written as an IP address. Only requests with a token
// of ours get here. ok is false if there is nothing that can be connected to.
func (p *Proxy) nextHop(m *sipmsg.Message, g passage) (h hop, ok bool) {
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
		return hop{}, false
	}
	if p.opts().Flows.IsOwn(u.Host, u.PortNum(), 0) {
		// What leads back to us leads nowhere.
		return hop{}, false
	}
	return hopOf(u)
}

// hopOf reads the address in a URI (RFC 3263 §4.1, §4.2). ok is false if the host
// is a name, which is not resolved, or if nothing can be connected to.
func hopOf(u sipmsg.URI) (h hop, ok bool) {
	addr, ok := u.HostAddr()
	if !ok || !u.IsSIP() {
		return hop{}, false
	}
	t := flow.UDP
	if u.IsSIPS() {
		t = flow.TLS
	}
	if name, has := u.Param("transport"); has {
		if t, ok = flow.ParseTransport(name); !ok || t == flow.WS || t == flow.WSS {
			// A browser cannot be dialled.
			return hop{}, false
		}
		if t == flow.TCP && u.IsSIPS() {
			// RFC 3261 §26.2.2: sips over TCP is TLS.
			t = flow.TLS
		}
	}
	port := u.PortNum()
	if port == 0 {
		port = 5060
		if t == flow.TLS {
			port = 5061
		}
	}
	return hop{t, netip.AddrPortFrom(addr, port)}, true
}
