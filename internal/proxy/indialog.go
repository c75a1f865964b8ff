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
	f.gruu = !g.strict && p.namesGRUU(s.Message().RequestURI())
	f.toLeg(to)
	f.hangUp()
}

// destination returns the leg that a request with a token is for. ok is false if
// the token belongs to another dialog.
func (p *Proxy) destination(m *sipmsg.Message, g passage) (to leg, ok bool) {
	to, ok = g.token.destination(m.CallID(), m.FromTag(), m.ToTag())
	if ok && to.binding.IsZero() {
		// The peer was not known as a phone of ours when the dialog began; its
		// PURR or GRUU says which it is.
		if to.binding = p.device(g.purr); to.binding.IsZero() && p.namesGRUU(m.RequestURI()) {
			to.binding = p.phoneOf(m.RequestURI())
		}
	}
	return to, ok
}

// device returns the binding that a PURR names; zero if it names none, or none
// that is still there: then the PURR says nothing (RFC 8599 §6.2.3).
func (p *Proxy) device(purr string) usrloc.BindingID {
	if purr == "" {
		return usrloc.BindingID{}
	}
	result := "found"
	id, err := p.opts().Keys.Open(purr)
	if err != nil {
		result = "foreign"
	} else if _, err := p.opts().Store.Resolve(context.Background(), id); errors.Is(err, usrloc.ErrNotFound) {
		result = "gone"
	} else if err != nil {
		result = "error"
	}
	p.metrics.purrs.WithLabelValues(result).Inc()
	if result != "found" {
		return usrloc.BindingID{}
	}
	return id
}

// toLeg sends the request to one leg of a dialog: the binding's device wherever
// it is now, or the flow of a peer without binding.
func (f *fork) toLeg(to leg) {
	if !to.binding.IsZero() {
		switch found, err := f.toBinding(to); {
		case err != nil:
			f.refuse(f.noLookup())
			return
		case found:
			return
		}
	}
	if f.gruu {
		f.toGRUU(f.p.gruuOf(f.s.Message().RequestURI()))
		return
	}
	f.toPeer(to.flow)
}

// toBinding sends the request to the device of a leg. found is false, and nothing
// has happened, if it is not registered any more.
func (f *fork) toBinding(to leg) (found bool, err error) {
	id := to.binding
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
	f.one = true
	v := f.view(time.Now())
	id = successor(&rec, id, v)
	f.device, to.binding = id, id
	bindings := contactsOf(&rec, id, v)
	if len(bindings) == 0 {
		f.release()
		return false, nil
	}
	f.aor = aor
	t := v.inDialog(aor, bindings, to)
	if f.inDialog && !f.gruu {
		// RFC 3261 §12.2.1.1: the remote target is the dialog's.
		t.uri = ""
	}
	t.reach = f.inLine(&t)
	f.tale.lookup, f.tale.phones, f.tale.asleep = named, 1, t.reach == park
	f.emitFound(event.Call{Step: "received", AOR: string(aor), Binding: id.String(), Flow: f.s.Flow()})
	f.start([]target{t})
	return true, nil
}

// contactsOf returns the binding with that ID and the others of its device: the
// phone's other flows serve as well (RFC 5626 §7). There are none if the binding
// is gone.
func contactsOf(rec *usrloc.Record, id usrloc.BindingID, v view) []*usrloc.Binding {
	b := rec.Find(id)
	if b == nil || !v.counts(b) {
		return nil
	}
	device := make([]*usrloc.Binding, 0, 1)
	for i := range rec.Bindings {
		if other := &rec.Bindings[i]; other.ID == id || usrloc.SameInstance(b.Instance, other.Instance) && v.counts(other) {
			device = append(device, other)
		}
	}
	return device
}

// view is target selection for this request. The policy Always does not apply to
// the phone of a dialog: it is awake more often than not, and then a push would
// not make it register.
func (f *fork) view(now time.Time) view {
	v := f.look(f.p.view(f.method, now))
	if f.inDialog {
		v.wakes = f.method != "PRACK"
	}
	if f.inDialog || f.one {
		v.policy = func(provider, agent string) Mode {
			if mode := f.p.opts().Policy(provider, agent); mode != Always {
				return mode
			}
			return Asleep
		}
	}
	return v
}

// inLine is how a device is reached if others of the same dialog may wait for it.
func (f *fork) inLine(t *target) reach {
	if f.inDialog && f.lane.lines[f.lineKey()] != nil {
		// They wait in front; this one must not overtake them.
		return park
	}
	return t.reach
}

// canWake reports whether this request may wake the device behind b.
func (f *fork) canWake(b *usrloc.Binding) bool {
	if b.ID.IsZero() || !f.p.opts().Waker.Can(b) {
		return false
	}
	if f.inDialog {
		return f.method != "PRACK"
	}
	return f.p.opts().wakes(f.method) || f.wakesByEvent()
}
