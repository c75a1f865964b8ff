package proxy

import (
	"context"
	"time"

	"reveille/flow"
	"reveille/internal/resolve"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
)

// Ack implements transaction.User: the ACK to a 2xx, which is a request of its
// own that gets no answer (RFC 3261 §13.2.2.4). It is never parked: the phone
// that sent the 2xx is awake.
func (p *Proxy) Ack(q *transaction.Queue, from flow.Flow, m *sipmsg.Message) {
	g := p.passage(m)
	if n, has := m.MaxForwards(); has && n == 0 {
		p.metrics.discarded.WithLabelValues("ack_unroutable").Inc()
		return
	}
	if g.token == nil {
		p.ackToGRUU(q, from, m, g)
		return
	}
	to, ok := p.destination(m, g)
	if !ok {
		p.metrics.discarded.WithLabelValues("ack_unroutable").Inc()
		return
	}
	p.sendACK(q, from, m, g, to)
}

// ackToGRUU sends on an ACK that carries no token of ours, for the dialog began
// without us, but is addressed to a GRUU of ours (RFC 5627 §6.1). Others are
// dropped.
func (p *Proxy) ackToGRUU(q *transaction.Queue, from flow.Flow, m *sipmsg.Message, g passage) {
	if m.ToTag() == "" || !p.namesGRUU(m.RequestURI()) {
		p.metrics.discarded.WithLabelValues("ack_without_token").Inc()
		return
	}
	p.opts().Gate.Admit(m, from, func(a Admission) {
		q.Post(func() {
			if a.Refusal != nil {
				p.metrics.discarded.WithLabelValues("ack_refused").Inc()
				return
			}
			p.sendACK(q, from, m, g, leg{binding: p.phoneOf(m.RequestURI())})
		})
	})
}

func (p *Proxy) sendACK(q *transaction.Queue, from flow.Flow, m *sipmsg.Message, g passage, to leg) {
	uri, path := "", []string(nil)
	if t, ok := p.awake(to); ok {
		to.flow = t.flow
		if !g.strict && p.namesGRUU(m.RequestURI()) {
			uri = t.uri
			path = pathFor(t.binding, g)
		}
	}
	p.ackMedia(q, m, g, func(sdp string) {
		p.passACK(q, from, m, outgoing{uri: uri, passage: g, path: path, body: sdp}, to.flow)
	})
}

// passACK sends an ACK on a flow, or on another one to that peer. o says what is known.
func (p *Proxy) passACK(q *transaction.Queue, from flow.Flow, m *sipmsg.Message, o outgoing, to flow.Flow) {
	g := o.passage
	p.withFlow(q, m, g, to, func(out flow.Flow) {
		if g.sips(m) && !out.Transport.Secure() {
			p.metrics.discarded.WithLabelValues("ack_unroutable").Inc()
			return
		}
		o.realm, o.claim, o.trusted, o.in, o.out = p.opts().Realm, claim{trusted: p.trusts(from)}, p.trusts(out), from, out
		if err := p.opts().Flows.Send(out, p.build(m, o, newBranch(loopHash(m)))); err != nil {
			p.metrics.discarded.WithLabelValues("ack_send").Inc()
		}
	})
}

// withFlow calls fn with the flow on which a leg can be reached now, if any: that one,
// the one on which the INVITE went there, or a new one to the address that the peer told
// us.
func (p *Proxy) withFlow(q *transaction.Queue, m *sipmsg.Message, g passage, to flow.Flow, fn func(out flow.Flow)) {
	if !to.IsZero() && p.opts().Flows.Open(to) {
		fn(to)
		return
	}
	if g.token == nil {
		// No relay without right.
		p.metrics.discarded.WithLabelValues("ack_unroutable").Inc()
		return
	}
	if went, ok := p.lane(q).reached[exchangeOf(m)]; ok && p.opts().Flows.Open(went) {
		// RFC 3263 §4 leaves it open, but of several servers behind a name the one that
		// sent the 2xx waits for it.
		fn(went)
		return
	}
	t, ok := p.nextHop(m, g)
	if !ok {
		p.metrics.discarded.WithLabelValues("ack_unroutable").Inc()
		return
	}
	p.connect(way{to: []resolve.Target{t}, targets: []resolve.Target{t}}, func(out flow.Flow, err error) {
		if err != nil {
			p.metrics.discarded.WithLabelValues("ack_unroutable").Inc()
			return
		}
		q.Post(func() { fn(out) })
	})
}

// connect makes a flow to the first hop of a way that can be connected to.
func (p *Proxy) connect(w way, done func(flow.Flow, error)) {
	h := w.next(func(h resolve.Hop) bool { return p.avoid(w.route, h) })
	switch {
	case h != (hop{}):
		p.opts().Flows.ConnectTo(h.transport, h.name, h.addr, func(to flow.Flow, err error) {
			if err != nil && !w.empty() {
				p.connect(w, done)
				return
			}
			done(to, err)
		})
	case len(w.targets) == 0:
		done(flow.Flow{}, errNoHop)
	default:
		t := w.targets[0]
		w.targets = w.targets[1:]
		p.resolve(t, func(hops []resolve.Hop, err error) {
			if err != nil && w.empty() {
				done(flow.Flow{}, err)
				return
			}
			w.hops = hops
			p.connect(w, done)
		})
	}
}

// An exchange names an INVITE in a dialog and its ACK.
type exchange struct {
	callID, fromTag, toTag string
	cseq                   uint32
}

func exchangeOf(m *sipmsg.Message) exchange {
	return exchange{m.CallID(), m.FromTag(), m.ToTag(), m.CSeq().Seq}
}

// reached remembers where an INVITE in a dialog was accepted, if that was not a flow of
// the dialog, as long as its transaction lasts.
func (b *branch) reached(c *transaction.Client) {
	f := b.fork
	if f.inDialog && f.invite() && b.target.reach == dial && f.lane.forks[f.s] == f {
		f.lane.reached[exchangeOf(f.s.Message())] = c.Flow()
		f.anew = true
	}
}

// awake returns the device of a leg as a target that gets a request at once.
func (p *Proxy) awake(to leg) (target, bool) {
	if to.binding.IsZero() {
		return target{}, false
	}
	aor, err := p.opts().Store.Resolve(context.Background(), to.binding)
	if err != nil {
		return target{}, false
	}
	rec, err := p.opts().Store.Get(context.Background(), aor)
	if err != nil {
		return target{}, false
	}
	v := p.view("ACK", time.Now())
	to.binding = successor(&rec, to.binding, v)
	bindings := contactsOf(&rec, to.binding, v)
	if len(bindings) == 0 {
		return target{}, false
	}
	return v.inDialog(aor, bindings, to), true
}
