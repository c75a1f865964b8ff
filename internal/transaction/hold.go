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
	slot  uint8 // in the queue's busy table
}

// maySuspend reports whether fewer than MaxSuspended keys are suspended. Queues
// that ask at the same time may exceed the bound by one each.
func (q *Queue) maySuspend() bool {
	return q.layer.suspended.Load() < int64(q.layer.o.MaxSuspended)
}

// suspend begins a suspension of the key.
func (q *Queue) suspend(key holdKey) *hold {
	h := q.held[key]
	if h == nil {
		_, slot := q.layer.place(key.callID)
		h = &hold{slot: slot}
		q.held[key] = h
		q.busy[slot].Add(1)
		q.layer.suspended.Add(1)
	}
	h.count++
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
		q.busy[it.slot].Add(-1)
		return true
	}
	h.msgs = append(h.msgs, *it)
	return true
}

// release ends one suspension. After the last one it handles what was held, in
// order, until a handler suspends the key anew.
func (q *Queue) release(key holdKey, h *hold) {
	h.count--
	for h.count == 0 && len(h.msgs) > 0 {
		it := h.msgs[0]
		h.msgs[0] = item{}
		h.msgs = h.msgs[1:]
		q.finish(&it)
	}
	if h.count == 0 {
		delete(q.held, key)
		q.busy[h.slot].Add(-1)
		q.layer.suspended.Add(-1)
	}
}
