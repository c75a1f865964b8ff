package transaction

import "reveille/flow"

// A holdKey names the messages that must be handled in order.
type holdKey struct {
	f      flow.Flow
	callID string
}

// A hold keeps back the messages of a key while handlers of that key wait.
type hold struct {
	count int // suspensions that were not resumed
	msgs  []item
}

// maySuspend reports whether fewer than MaxSuspended keys are suspended. Queues
// that ask at the same time may exceed the bound by one each.
func (q *Queue) maySuspend() bool {
	return q.layer.suspended.Load() < int64(q.layer.o.MaxSuspended)
}

// suspend begins a suspension of the key. The message at hand, which suspends
// it, counts as busy in slot until the release.
func (q *Queue) suspend(key holdKey, slot busySlot) *hold {
	h := q.held[key]
	if h == nil {
		h = &hold{}
		q.held[key] = h
		q.layer.suspended.Add(1)
	}
	h.count++
	q.layer.busy.add(slot, 1)
	return h
}

// holdBack keeps a message whose key is suspended. It reports false if the key
// is not.
func (q *Queue) holdBack(it *item) bool {
	if len(q.held) == 0 {
		return false
	}
	h := q.held[holdKey{it.f, it.m.CallID()}]
	if h == nil {
		return false
	}
	if len(h.msgs) >= q.layer.o.MaxHeld {
		q.layer.metrics.dropped(dropHeldFull)
		q.layer.busy.add(it.slot, -1)
		return true
	}
	h.msgs = append(h.msgs, *it)
	return true
}

// release ends one suspension. After the last one it handles what was held, in
// order, until a handler suspends the key anew.
func (q *Queue) release(key holdKey, h *hold, slot busySlot) {
	h.count--
	for h.count == 0 && len(h.msgs) > 0 {
		it := h.msgs[0]
		h.msgs[0] = item{}
		h.msgs = h.msgs[1:]
		q.finish(&it)
	}
	if h.count == 0 {
		delete(q.held, key)
		q.layer.suspended.Add(-1)
	}
	q.layer.busy.add(slot, -1)
}
