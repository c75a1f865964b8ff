package transaction

import "time"

// timerKind tells the timers of one transaction apart.
type timerKind uint8

const (
	// timerRepeat is Timer A, E or G, or the delay before a 100 to non-INVITE.
	timerRepeat timerKind = iota
	// timerLife is the timer that ends a state: B, C, D, F, H, I, J, K, L or M.
	timerLife
)

// expirer is what a timer calls when it fires.
type expirer interface{ expire(k timerKind) }

// A timer is an entry of a timerHeap. It is embedded in what it times, so that
// starting it allocates nothing.
type timer struct {
	when  time.Duration // on the queue's clock
	seq   uint64        // orders timers of the same time by when they were set
	owner expirer
	pos   int32 // index in the heap plus 1; 0: not running
	kind  timerKind
}

func (t *timer) running() bool { return t.pos != 0 }

func (t *timer) before(u *timer) bool {
	return t.when < u.when || t.when == u.when && t.seq < u.seq
}

// A timerHeap is a binary heap of the running timers of one queue, the next one
// first. Every operation costs O(log n).
type timerHeap struct {
	heap []*timer
	seq  uint64
}

// set starts t, or moves it if it is running.
func (h *timerHeap) set(t *timer, when time.Duration) {
	h.seq++
	t.when, t.seq = when, h.seq
	if !t.running() {
		h.heap = append(h.heap, t)
		t.pos = int32(len(h.heap))
	}
	h.fix(int(t.pos) - 1)
}

// stop ends t and reports whether it was running.
func (h *timerHeap) stop(t *timer) bool {
	if !t.running() {
		return false
	}
	i, last := int(t.pos)-1, len(h.heap)-1
	moved := h.heap[last]
	h.heap[last] = nil
	h.heap = h.heap[:last]
	t.pos = 0
	if i != last {
		h.place(i, moved)
		h.fix(i)
	}
	return true
}

// next returns the time of the next timer.
func (h *timerHeap) next() (time.Duration, bool) {
	if len(h.heap) == 0 {
		return 0, false
	}
	return h.heap[0].when, true
}

// pop stops and returns the next timer if it is due at now and was not set after
// the mark limit; else nil.
func (h *timerHeap) pop(now time.Duration, limit uint64) *timer {
	if len(h.heap) == 0 {
		return nil
	}
	t := h.heap[0]
	if t.when > now || t.seq > limit {
		return nil
	}
	h.stop(t)
	return t
}

func (h *timerHeap) place(i int, t *timer) {
	h.heap[i] = t
	t.pos = int32(i + 1)
}

// fix restores the order of the heap around index i.
func (h *timerHeap) fix(i int) {
	t := h.heap[i]
	for i > 0 {
		parent := (i - 1) / 2
		if !t.before(h.heap[parent]) {
			break
		}
		h.place(i, h.heap[parent])
		i = parent
	}
	for {
		child := 2*i + 1
		if child >= len(h.heap) {
			break
		}
		if r := child + 1; r < len(h.heap) && h.heap[r].before(h.heap[child]) {
			child = r
		}
		if !h.heap[child].before(t) {
			break
		}
		h.place(i, h.heap[child])
		i = child
	}
	h.place(i, t)
}

// start makes t fire d from now.
func (q *Queue) start(t *timer, d time.Duration) { q.timers.set(t, q.now()+max(d, 0)) }

// lingerStep is the grid of the times at which transactions are forgotten.
const lingerStep = 20 * time.Millisecond

// linger makes t end a state that does nothing but absorb what comes again, d from now
// or up to lingerStep later. Most timers that fire are such: a call leaves four. Each at
// a time of its own would wake the process for itself, which costs as much as a
// datagram; RFC 3261 §17.1.1.2 and RFC 6026 §7 ask for "at least", or estimate.
func (q *Queue) linger(t *timer, d time.Duration) {
	q.timers.set(t, (q.now() + d + lingerStep - 1).Truncate(lingerStep))
}

// expireDue fires what is due. Timers that this sets anew wait for the next
// round, even if they are due at once.
func (q *Queue) expireDue() {
	if _, ok := q.timers.next(); !ok {
		return
	}
	now, limit := q.now(), q.timers.seq
	for {
		t := q.timers.pop(now, limit)
		if t == nil {
			return
		}
		q.handle(&item{timer: t})
	}
}

// A Timer runs a function on a queue at a later time.
type Timer struct {
	t       timer
	q       *Queue
	fn      func()
	serving *Server
}

// After runs fn on the queue when d has passed. It must be called on the queue,
// or before the layer was started. A panic of fn counts as a panic of the
// handler that called After.
func (q *Queue) After(d time.Duration, fn func()) *Timer {
	t := &Timer{q: q, fn: fn, serving: q.serving}
	t.t.owner = t
	q.start(&t.t, d)
	return t
}

// Stop makes sure that the function will not run any more, and reports whether
// it was still going to. It must be called on the queue. Stop of nil does
// nothing.
func (t *Timer) Stop() bool { return t != nil && t.q.timers.stop(&t.t) }

// expire implements expirer.
func (t *Timer) expire(timerKind) {
	t.q.serving = t.serving
	t.fn()
}
