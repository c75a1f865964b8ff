package proxy

import (
	"slices"
	"time"

	"reveille/usrloc"
)

// This file is about branches whose flow, not whose device, has failed.

// fail ends the branch, unless the failure was that of a flow and the device has
// another.
func (b *branch) fail(end final) {
	if !b.another() {
		b.finish(end)
	}
}

// lose is fail for a branch that got no answer: a device that may have begun to
// ring is asked no second time.
func (b *branch) lose(end final) {
	if b.state == answered {
		b.finish(end)
		return
	}
	b.fail(end)
}

// another goes on with the next hop, the device's next binding, or the flow on which it has
// registered since, if there is one that can be reached.
func (b *branch) another() bool {
	f := b.fork
	if b.advance() {
		return true
	}
	if b.movedOn() {
		b.target.spare = append(b.target.spare, b.target.binding)
	}
	v := f.view(time.Now())
	for len(b.target.spare) > 0 && !f.over && b.state != ended {
		t := v.device(b.target.aor, b.target.spare)
		b.target.spare = t.spare
		if t.reach == unreachable || t.reach == park && b.wait.token != nil && sameToken(t.binding.Push, *b.wait.token) {
			continue
		}
		b.unpark("")
		if f.inDialog && !f.gruu {
			t.uri = b.target.uri
		}
		b.target, b.client, b.state = t, nil, idle
		b.start()
		return true
	}
	return false
}

// movedOn reports whether the device has registered on another flow than the one that
// was tried.
func (b *branch) movedOn() bool {
	t := &b.target
	if t.tried == nil {
		return !t.binding.Flow.IsZero()
	}
	return t.binding.Flow != *t.tried
}

// sameToken reports whether two bindings are woken by the same token.
func sameToken(a, b usrloc.Push) bool {
	return a.Provider == b.Provider && a.Param == b.Param && a.PRID == b.PRID
}

// without returns the bindings but for one.
func without(list []*usrloc.Binding, id usrloc.BindingID) []*usrloc.Binding {
	return slices.DeleteFunc(slices.Clone(list), func(b *usrloc.Binding) bool { return b.ID == id })
}

// failure is the final of a branch that got no answer. A device that cannot be
// reached is not available; that says nothing of this server.
func (b *branch) failure(code int, why string) final {
	if b.target.aor == "" {
		return b.fork.ownFinal(code, why)
	}
	return b.fork.unavailable(why)
}

// again makes a second attempt when the connection broke under the request
// before the phone showed that it had it: on another flow of the phone, or by
// waking it like any other phone that sleeps.
func (b *branch) again() bool {
	switch {
	case b.fork.over || b.state == answered:
		return false
	case b.another():
	case !b.lost && b.fork.canWake(b.target.binding):
		b.unpark("")
		b.client, b.lost = nil, true
		b.park()
	default:
		return false
	}
	return true
}
