package proxy

import (
	"context"
	"net/netip"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
)

// Ack implements transaction.User: the ACK to a 2xx, which is a request of its
// own that gets no answer (RFC 3261 §13.2.2.4). It is never parked: the phone
// that sent the 2xx is awake.
func (p *Proxy) Ack(q *transaction.Queue, from flow.Flow, m *sipmsg.Message) {
	g := p.passage(m, from.Transport)
	if g.token == nil {
		p.metrics.discarded.WithLabelValues("ack_without_token").Inc()
		return
	}
	to, _, ok := g.token.destination(m.CallID(), m.FromTag(), m.ToTag())
	if n, has := m.MaxForwards(); !ok || (has && n == 0) {
		p.metrics.discarded.WithLabelValues("ack_unroutable").Inc()
		return
	}
	p.withFlow(q, m, g, to, func(out flow.Flow) {
		wire := p.build(m, outgoing{popRoutes: g.own, strict: g.strict, in: from, out: out}, newBranch(loopHash(m)))
		if err := p.opts().Flows.Send(out, wire); err != nil {
			p.metrics.discarded.WithLabelValues("ack_send").Inc()
		}
	})
}

// withFlow calls fn with the flow on which a leg can be reached now, if any.
func (p *Proxy) withFlow(q *transaction.Queue, m *sipmsg.Message, g passage, to leg, fn func(flow.Flow)) {
	out := to.flow
	if !to.binding.IsZero() {
		if aor, err := p.opts().Store.Resolve(context.Background(), to.binding); err == nil {
			if rec, err := p.opts().Store.Get(context.Background(), aor); err == nil {
				if b := rec.Find(to.binding); b != nil && !b.Expired(time.Now()) {
					out = contactFlow(b)
				}
			}
		}
	}
	if !out.IsZero() && p.opts().Flows.Open(out) {
		fn(out)
		return
	}
	hop, ok := nextHop(m, g)
	if !ok {
		p.metrics.discarded.WithLabelValues("ack_unroutable").Inc()
		return
	}
	p.opts().Flows.Connect(hop.transport, hop.addr, func(out flow.Flow, err error) {
		if err == nil {
			q.Post(func() { fn(out) })
		}
	})
}

// A hop is an address to connect to.
type hop struct {
	transport flow.Transport
	addr      netip.AddrPort
}

// nextHop reads the address of the next Route, or of the Request-URI (RFC 3261
// §16.6 step 7), if it is written as an IP address. Only requests with a token
// of ours get here.
func nextHop(m *sipmsg.Message, g passage) (hop, bool) {
	u := m.RequestURI()
	if routes := m.Routes(); g.foreign && g.own < len(routes) {
		u = routes[g.own].URI
	}
	addr, ok := u.HostAddr()
	if !ok {
		return hop{}, false
	}
	t := flow.UDP
	if name, has := u.Param("transport"); has {
		if t, ok = flow.ParseTransport(name); !ok || t == flow.WS || t == flow.WSS {
			// A browser cannot be dialled.
			return hop{}, false
		}
	}
	port := u.PortNum()
	if port == 0 {
		port = 5060
		if t == flow.TLS {
			port = 5061
		}
	}
	return hop{transport: t, addr: netip.AddrPortFrom(addr, port)}, true
}
