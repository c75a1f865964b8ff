package proxy

import (
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// This file is what RFC 5626 asks of the first hop of a phone whose address nobody
// can send to: the requests of its dialogs come back on a flow of the phone.

// staysInPath reports whether the later requests of a dialog with b come through us.
func (f *fork) staysInPath(b *usrloc.Binding) bool {
	switch {
	case !f.p.opts().NoRecordRoute:
		return true
	case b.Instance != "" && len(b.Path) > 0:
		// RFC 5627 §6.2: a phone with a GRUU behind other proxies.
		return true
	case b.RegID != 0 && len(b.Path) == 0:
		// RFC 5626 §5.3.1: we are next to the phone that is called.
		return true
	}
	m := f.s.Message()
	if f.p.opts().PURRs && !b.Push.IsZero() {
		// RFC 8599 §6.2.2: the phone that is called was given a PURR, so that it may
		// count on being woken in the call.
		return true
	}
	// RFC 5626 §5.3.2: or to the one that calls.
	return f.passage.ob || asksForFlow(m) || f.p.promisesWake(m)
}

// promisesWake reports whether the Contact of a request has a PURR of ours: the other
// party is told that its phone is woken, so that its requests must come through us (RFC
// 8599 §6.2.2).
func (p *Proxy) promisesWake(m *sipmsg.Message) bool {
	contacts := m.Contacts()
	if len(contacts) != 1 {
		return false
	}
	purr, has := contacts[0].URI.Param("pn-purr")
	if !has {
		return false
	}
	_, err := p.opts().Keys.Open(purr)
	return err == nil
}

// asksForFlow reports whether the sender of a request wants the later requests of
// the dialog on the flow of this one (RFC 5626 §4.3).
func asksForFlow(m *sipmsg.Message) bool {
	contacts := m.Contacts()
	return len(contacts) == 1 && hasOB(contacts[0].URI)
}

// hasOB reports whether u is the address of a phone that is reached by its flows
// alone.
func hasOB(u sipmsg.URI) bool {
	_, ob := u.Param("ob")
	return ob
}

// inDialog is the device of a dialog's leg as a target. RFC 5626 §4.3: a phone with
// several flows wants the requests of a dialog on the one on which it began, as long
// as that shows life. bindings are those of the device, at least one.
func (v view) inDialog(aor usrloc.AOR, bindings []*usrloc.Binding, to leg) target {
	v.first = to.binding
	t := v.device(aor, bindings)
	// Behind the address of a datagram may be another phone by now; a connection
	// stays that of one peer.
	if !v.alive(t.binding.Flow) && to.flow.Stream() && v.alive(to.flow) {
		// The phone has begun a dialog on a new connection and not registered on it
		// yet. If that fails, where it registered is still to be tried.
		at := to.flow
		t.reach, t.flow, t.tried = forward, at, &at
	}
	return t
}
