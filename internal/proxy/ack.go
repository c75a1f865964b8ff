package proxy

import (
	"context"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
)

// Ack implements transaction.User: the ACK to a 2xx, which is a request of its
// own that gets no answer (RFC 3261 §13.2.2.4). It is never parked: the phone
// that sent the 2xx is awake.
func (p *Proxy) Ack(q *transaction.Queue, from flow.Flow, m *sipmsg.Message) {
	g := p.passage(m)
	if g.token == nil {
		p.metrics.discarded.WithLabelValues("ack_without_token").Inc()
		return
	}
	to, ok := p.destination(m, g)
	if n, has := m.MaxForwards(); !ok || (has && n == 0) {
		p.metrics.discarded.WithLabelValues("ack_unroutable").Inc()
		return
	}
	p.withFlow(q, m, g, to, func(out flow.Flow) {
		wire := p.build(m, outgoing{passage: g, realm: p.opts().Realm, in: from, out: out}, newBranch(loopHash(m)))
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
	h, ok := p.nextHop(m, g)
	if !ok {
		p.metrics.discarded.WithLabelValues("ack_unroutable").Inc()
		return
	}
	p.opts().Flows.Connect(h.transport, h.addr, func(out flow.Flow, err error) {
		if err != nil {
			p.metrics.discarded.WithLabelValues("ack_unroutable").Inc()
			return
		}
		q.Post(func() { fn(out) })
	})
}
