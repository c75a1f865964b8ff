package proxy

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/mailbox"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
)

// slowest is how long the other devices of a user may take when one has a message, before
// the next one leaves. It is T2 of RFC 3261 §17.1.2.2: one lost datagram, or several.
const slowest = 4 * time.Second

// A delivery hands a message that was kept to the devices of its user that are awake. It
// is no part of a fork: nobody waits for it, and nobody is woken. It lives on the queue
// of its Call-ID.
type delivery struct {
	p     *Proxy
	queue *transaction.Queue
	kept  mailbox.Message
	m     *sipmsg.Message
	sips  bool
	// open is how many devices have not answered.
	open    int
	breadth int
	outcome mailbox.Outcome
	slow    *transaction.Timer
	// done is nil when it has run.
	done func(mailbox.Outcome)
}

// Carry sends a message that was kept to the devices of its user that are awake. q is the
// queue of its Call-ID. done runs once: when a device has it, and the others have answered
// or are slow, or when none has taken it.
func (p *Proxy) Carry(q *transaction.Queue, m mailbox.Message, done func(mailbox.Outcome)) {
	d := &delivery{p: p, queue: q, kept: m, done: done}
	q.Post(d.start)
}

func (d *delivery) start() {
	m, err := sipmsg.Parse(d.kept.Request, netip.AddrPort{})
	if err != nil {
		d.p.opts().Logger.Error("read a message that was kept", slog.String("aor", string(d.kept.AOR)), slog.Any("err", err))
		d.finish(mailbox.Outcome{Result: mailbox.Refused, Status: 400})
		return
	}
	d.m, d.sips = m, m.RequestURI().IsSIPS()
	set := d.targets()
	d.open = len(set)
	for i := range set {
		// The message is for all of them, as it was when it came.
		d.breadth = max(1, breadthOf(m)/len(set))
		c := &carrier{delivery: d, target: set[i]}
		c.start()
	}
	d.conclude()
}

// targets are the devices that are awake.
func (d *delivery) targets() []target {
	if d.p.stopping.Load() {
		return nil
	}
	if n, has := d.m.MaxForwards(); has && n == 0 {
		// RFC 3261 §16.3: it has been on its way for too long.
		d.outcome.Answer(483)
		return nil
	}
	o := d.p.opts()
	rec, err := o.Store.Get(context.Background(), d.kept.AOR)
	if err != nil {
		o.Logger.Warn("look up for a message that was kept", slog.String("aor", string(d.kept.AOR)), slog.Any("err", err))
		return nil
	}
	d.outcome.Version = rec.Version
	v := d.p.view("MESSAGE", time.Now())
	// Nobody is woken: a device that may be asleep behind its flow is pushed when a
	// message comes.
	v.sips, v.wakes = d.sips, false
	set := targets(o.of(d.kept.AOR).pick(rec, v, &lookup{}), v)
	if saysPreferences(d.m) {
		wishes := preferencesOf(d.m)
		set = wishes.choose(set)
	}
	set = slices.DeleteFunc(set, func(t target) bool { return t.reach != forward && t.reach != dial })
	return set[:min(len(set), o.MaxForks)]
}

// answered takes the final answer of a device.
func (d *delivery) answered(code int) {
	d.open--
	d.outcome.Answer(code)
	if d.outcome.Result == mailbox.Delivered && d.slow == nil && d.open > 0 {
		d.slow = d.queue.After(slowest, func() { d.finish(d.outcome) })
	}
}

func (d *delivery) conclude() {
	if d.open == 0 {
		d.finish(d.outcome)
	}
}

func (d *delivery) finish(o mailbox.Outcome) {
	d.slow.Stop()
	if d.done != nil {
		done := d.done
		d.done = nil
		done(o)
	}
}

// A carrier is one device's part of a delivery.
type carrier struct {
	delivery *delivery
	target   target
	over     bool
}

// start sends the message, or connects first.
func (c *carrier) start() {
	d := c.delivery
	if c.target.reach == forward {
		c.send(c.target.flow)
		return
	}
	h := c.target.way.hop
	d.p.opts().Flows.ConnectTo(h.transport, h.name, h.addr, func(to flow.Flow, err error) {
		d.queue.Post(func() {
			if err != nil {
				c.end(408)
			} else {
				c.send(to)
			}
			d.conclude()
		})
	})
}

func (c *carrier) send(to flow.Flow) {
	d, p := c.delivery, c.delivery.p
	if d.sips && !to.Transport.Secure() {
		c.end(480)
		return
	}
	b := c.target.binding
	client, err := d.queue.NewClient(to, p.build(d.m, outgoing{
		uri: c.target.uri, path: pathFor(b, passage{}), breadth: d.breadth, first: true, out: to,
		claim:   claim{trusted: d.kept.Trusted, asserted: d.kept.Asserted, from: d.kept.Sender},
		trusted: p.opts().Identity.TrustOutbound || p.trusts(to),
	}, newBranch(loopHash(d.m))), c)
	if err != nil {
		c.end(408)
		return
	}
	p.emit(client.Message(), event.Call{Step: "forwarded", AOR: string(d.kept.AOR), Binding: b.ID.String(), Flow: to, Elapsed: time.Since(d.kept.Kept)})
}

// end takes the device's final answer once.
func (c *carrier) end(code int) {
	if !c.over {
		c.over = true
		c.delivery.answered(code)
	}
}

// Response implements transaction.ClientUser.
func (c *carrier) Response(_ *transaction.Client, m *sipmsg.Message) {
	if m.Status() >= 200 {
		c.end(m.Status())
		c.delivery.conclude()
	}
}

// Failed implements transaction.ClientUser.
func (c *carrier) Failed(*transaction.Client, error) {
	c.end(408)
	c.delivery.conclude()
}
