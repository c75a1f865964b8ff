package proxy

import (
	"context"
	"errors"
	"time"

	"reveille/internal/event"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
	"reveille/usrloc"
)

// inDialog relays a request that carries our token: to the binding's current
// flow, whatever the Contact in the dialog says (RFC 8599 §6.2.3).
func (p *Proxy) inDialog(s *transaction.Server, g passage) {
	to, ok := p.destination(s.Message(), g)
	if !ok {
		p.reject(s, sipmsg.Reply{Code: 403, Reason: "Token Of Another Dialog"})
		return
	}
	f := p.newFork(s, g, p.opts().Realm)
	f.inDialog = true
	f.toLeg(to)
}

// destination returns the leg that a request with a token is for. ok is false if
// the token belongs to another dialog.
func (p *Proxy) destination(m *sipmsg.Message, g passage) (to leg, ok bool) {
	to, ok = g.token.destination(m.CallID(), m.FromTag(), m.ToTag())
	if ok && to.binding.IsZero() {
		// The peer was not known as a phone of ours when the dialog began; its
		// PURR says which it is.
		to.binding = p.device(g.purr)
	}
	return to, ok
}

// device returns the binding that a PURR names; zero if it names none, or none
// that is still there: then the PURR says nothing (RFC 8599 §6.2.3).
func (p *Proxy) device(purr string) usrloc.BindingID {
	if purr == "" {
		return usrloc.BindingID{}
	}
	id, err := p.opts().Keys.Open(purr)
	if err != nil {
		return usrloc.BindingID{}
	}
	if _, err := p.opts().Store.Resolve(context.Background(), id); err != nil {
		return usrloc.BindingID{}
	}
	return id
}

// toLeg sends the request to one leg of a dialog: the binding's device wherever
// it is now, or the flow of a peer without binding.
func (f *fork) toLeg(to leg) {
	if to.binding.IsZero() {
		f.toPeer(to.flow)
		return
	}
	switch found, err := f.toBinding(to.binding); {
	case err != nil:
		f.refuse(f.noLookup())
	case !found:
		f.toPeer(to.flow)
	}
}

// toBinding sends the request to one device. found is false, and nothing has
// happened, if it is not registered any more.
func (f *fork) toBinding(id usrloc.BindingID) (found bool, err error) {
	aor, err := f.p.opts().Store.Resolve(context.Background(), id)
	if errors.Is(err, usrloc.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	rec, err := f.watch(aor)
	if err != nil {
		return false, err
	}
	now := time.Now()
	b := rec.Find(id)
	if b == nil || b.Expired(now) {
		f.release()
		return false, nil
	}
	f.aor = aor
	f.p.emit(f.s.Message(), event.Call{Step: "received", AOR: string(aor), Binding: b.ID.String(), Flow: f.s.Flow()})
	t := target{reach: f.reachOne(b, now), binding: *b, flow: contactFlow(b)}
	if !f.inDialog {
		t.uri = requestURI(b.Contact)
	}
	f.start([]target{t})
	return true, nil
}

// reachOne is target selection for a request to one device. The policy Always
// does not apply: a phone in a call is awake more often than not, and then a push
// would not make it register.
func (f *fork) reachOne(b *usrloc.Binding, now time.Time) reach {
	switch {
	case f.inDialog && f.lane.lines[f.lineKey(b.ID)] != nil:
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
