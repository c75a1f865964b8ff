package proxy

import (
	"context"
	"errors"
	"slices"
	"time"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
	"reveille/usrloc"
)

// inDialog relays a request that carries our token: to the binding's current
// flow, whatever the Contact in the dialog says (RFC 8599 §6.2.3).
func (p *Proxy) inDialog(s *transaction.Server, g passage) {
	m := s.Message()
	to, toCallee, ok := g.token.destination(m.CallID(), m.FromTag(), m.ToTag())
	if !ok {
		p.refuse(s, sipmsg.Reply{Code: 403, Reason: "Token Of Another Dialog"})
		return
	}
	f := p.newFork(s, g, Admission{})
	f.inDialog, f.toCallee = true, toCallee
	if to.binding.IsZero() && g.purr != "" {
		// The peer was not known as a phone of ours when the dialog began; its
		// PURR says which it is.
		if id, err := p.opts().Keys.Open(g.purr); err == nil {
			to.binding = usrloc.BindingID(id)
		}
	}
	f.toBinding(to)
}

// toBinding sends the request to one leg: the binding's device wherever it is
// now, or the flow of a peer without binding.
func (f *fork) toBinding(to leg) {
	if to.binding.IsZero() {
		f.toPeer(to.flow)
		return
	}
	aor, err := f.p.opts().Store.Resolve(context.Background(), to.binding)
	if errors.Is(err, usrloc.ErrNotFound) {
		f.toPeer(to.flow)
		return
	}
	if err != nil {
		f.refuse(sipmsg.Reply{Code: 500, Headers: f.p.retryAfter()})
		return
	}
	now := time.Now()
	f.aor = aor
	rec, ok := f.watch(aor, now.Add(f.longestWait()))
	if !ok {
		return
	}
	b := rec.Find(to.binding)
	if b == nil || b.Expired(now) {
		f.toPeer(to.flow)
		return
	}
	f.p.emit(f.s.Message(), event.Call{Step: "received", AOR: string(aor), Binding: b.ID.String(), Flow: f.s.Flow()})
	t := target{reach: f.reachInDialog(b, now), binding: *b, aor: aor, flow: contactFlow(b)}
	if !f.inDialog {
		t.uri = requestURI(b.Contact)
	}
	// The route set of the dialog goes before what the phone registered (RFC
	// 3327 §5.2 speaks of requests to the AOR).
	if f.inDialog {
		t.binding.Path = nil
	}
	f.start([]target{t})
}

// reachInDialog is target selection for a request in a dialog. The policy Always
// does not apply: a phone in a call is awake more often than not, and then a push
// would not make it register.
func (f *fork) reachInDialog(b *usrloc.Binding, now time.Time) reach {
	switch {
	case f.line() != nil:
		// Others wait in front; this one must not overtake them.
		return park
	case b.Push.Provider == "":
		return forward
	case f.p.opts().Flows.Alive(b.Flow, now):
		if f.p.opts().Policy(b.Push.Provider, b.UserAgent) == Race && f.canWake(b) {
			return race
		}
		return forward
	case f.canWake(b):
		return park
	}
	return unreachable
}

// canWake reports whether this request may wake the device behind b.
func (f *fork) canWake(b *usrloc.Binding) bool {
	if b.ID.IsZero() || !f.p.opts().Waker.Can(b) {
		return false
	}
	if f.inDialog {
		return f.method != "PRACK"
	}
	return f.p.opts().wakes(f.method)
}

// toPeer sends the request on a fixed flow. If its connection is gone and the
// peer told us an address, a new connection is made.
func (f *fork) toPeer(to flow.Flow) {
	b := &branch{fork: f, target: target{flow: to}}
	switch {
	case !to.IsZero() && f.p.opts().Flows.Open(to):
		f.branches = append(f.branches, b)
		b.forward(to)
		f.conclude()
	default:
		hop, ok := nextHop(f.s.Message(), f.passage)
		if !ok {
			f.refuse(sipmsg.Reply{Code: 500, Reason: "Peer Gone", Headers: f.p.retryAfter()})
			return
		}
		f.connect(hop.transport, hop.addr)
	}
}

// A lineKey names the requests of one direction of one dialog.
type lineKey struct {
	callID   string
	toCallee bool
}

// A line is the parked requests of one direction of one dialog, in the order in
// which they arrived. They leave in that order, all at once.
type line struct {
	key   lineKey
	lane  *lane
	queue []*branch
}

func (f *fork) lineKey() lineKey {
	return lineKey{callID: f.s.Message().CallID(), toCallee: f.toCallee}
}

// line returns the line of requests that already wait in front of f, or nil.
func (f *fork) line() *line {
	if !f.inDialog {
		return nil
	}
	return f.lane.lines[f.lineKey()]
}

// queueUp puts a parked branch into its dialog's line. first is true if its push
// must wake the device.
func (b *branch) queueUp() (first bool) {
	f := b.fork
	if !f.inDialog {
		return true
	}
	key := f.lineKey()
	l := f.lane.lines[key]
	if l == nil {
		l = &line{key: key, lane: f.lane}
		f.lane.lines[key] = l
	}
	l.queue = append(l.queue, b)
	b.line = l
	return len(l.queue) == 1
}

// leaveLine takes the branch out of its line.
func (b *branch) leaveLine() {
	l := b.line
	if l == nil {
		return
	}
	b.line = nil
	l.queue = slices.DeleteFunc(l.queue, func(x *branch) bool { return x == b })
	if len(l.queue) == 0 {
		delete(l.lane.lines, l.key)
		return
	}
	// The one whose push was to wake the device is gone; the next asks anew, and
	// the dispatcher joins the two if the first push is still on its way.
	if next := l.queue[0]; next.unpush == nil && next.pushed.IsZero() {
		next.push(next.fork.waitFor(&next.target.binding))
	}
}

// release sends everything in the line on, in order of arrival.
func (l *line) release(to flow.Flow, n *usrloc.Binding) {
	waiting := l.queue
	l.queue = nil
	delete(l.lane.lines, l.key)
	for _, b := range waiting {
		b.line = nil
		path := b.target.binding.Path
		b.target.binding = *n
		b.target.binding.Path = path
		b.wakeAlone(to)
		b.fork.conclude()
	}
}
