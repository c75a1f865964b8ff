package transaction

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

// A Queue handles the messages, timers and posted functions of the Call-IDs
// that hash to it, one after another on one goroutine. Its exported methods say
// from where they may be called. Fields below mu are guarded by it; flows, wake
// and waiting guard themselves; all others belong to the queue's goroutine.
type Queue struct {
	layer *Layer

	servers map[serverKey]*Server // the first of each chain
	clients map[clientKey]*Client
	held    map[holdKey]*hold
	timers  timerHeap
	// serving is the server transaction in whose name the goroutine works now;
	// it is answered 500 if that work panics. nil if there is none.
	serving *Server
	// later holds what must run when the current item is done.
	later []func()
	// scratch is the buffer of messages that need not be kept.
	scratch []byte

	flows flowIndex
	// govern refuses new work when the queue is too slow; nil: nothing is refused.
	govern *governor
	wake   chan struct{} // capacity 1: in has become non-empty

	// waiting counts the messages that were received and not yet handled, held or
	// dropped.
	waiting atomic.Int64

	mu      sync.Mutex
	in      []item
	stopped bool
}

// An item is one piece of work: a message that arrived on f, a function, an
// expired timer or, if all are nil, the end of the connection f.
type item struct {
	f       flow.Flow
	m       *sipmsg.Message
	fn      func()
	timer   *timer
	serving *Server  // in whose name fn runs; nil if there is none
	slot    busySlot // of m
	// came is when m arrived, on the queue's clock.
	came time.Duration
	// doubted: m is refused if it is no copy of what was admitted.
	doubted bool
}

// keepItems is the capacity up to which a queue keeps its buffers after a burst
// of posted functions, which no QueueLen bounds.
const keepItems = 16384

func newQueue(l *Layer) *Queue {
	q := &Queue{
		layer:   l,
		servers: make(map[serverKey]*Server),
		clients: make(map[clientKey]*Client),
		held:    make(map[holdKey]*hold),
		flows:   flowIndex{first: make(map[flow.Flow]*Client)},
		wake:    make(chan struct{}, 1),
	}
	q.govern = newGovernor(q, l.o.Overload)
	return q
}

// Post runs fn on the queue, after everything that was received or posted
// before. It may be called from any goroutine, never blocks, and loses nothing
// until the layer stops.
func (q *Queue) Post(fn func()) { q.push(item{fn: fn}) }

// push appends items that no bound may refuse: each belongs to a transaction, a
// suspended key or a connection, which are bounded themselves.
func (q *Queue) push(items ...item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.stopped {
		q.in = append(q.in, items...)
		q.signal()
	}
}

// receive appends a message unless QueueLen messages wait already.
func (q *Queue) receive(it item) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting.Load() >= int64(q.layer.o.QueueLen) || q.stopped {
		q.layer.metrics.dropped(dropQueueFull)
		return false
	}
	q.waiting.Add(1)
	q.layer.busy.add(it.slot, 1)
	q.in = append(q.in, it)
	q.signal()
	return true
}

// signal wakes the goroutine. The caller holds mu.
func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns all waiting items and lends the worked-off batch as the next
// buffer.
func (q *Queue) take(done []item) []item {
	clear(done)
	if cap(done) > keepItems {
		done = nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	batch := q.in
	q.in = done[:0]
	return batch
}

// run works the queue until the layer's quit is closed.
func (q *Queue) run() {
	defer q.stop()
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	armed := time.Duration(-1) // when alarm rings; -1: it does not matter
	var batch []item
	for {
		batch = q.take(batch)
		for i := range batch {
			q.expireDue()
			q.begin(&batch[i])
			q.handle(&batch[i])
			if batch[i].m != nil {
				q.waiting.Add(-1)
			}
		}
		q.expireDue()
		if len(batch) != 0 {
			select {
			case <-q.layer.quit:
				return
			default:
				continue
			}
		}
		q.rest()
		var ring <-chan time.Time
		if next, ok := q.timers.next(); ok {
			if next != armed {
				alarm.Reset(next - q.now())
				armed = next
			}
			ring = alarm.C
		}
		select {
		case <-q.wake:
		case <-ring:
			armed = -1
		case <-q.layer.quit:
			return
		}
	}
}

// stop makes the queue refuse everything from now on.
func (q *Queue) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped, q.in = true, nil
}

// handle works off one item, unless it is a message whose key is suspended.
func (q *Queue) handle(it *item) {
	if it.m != nil && q.holdBack(it) {
		return
	}
	q.finish(it)
}

// finish works off one item and what it left to be done after it.
func (q *Queue) finish(it *item) {
	q.work(it)
	if it.m != nil {
		q.layer.busy.add(it.slot, -1)
	}
	for i := 0; i < len(q.later); i++ { // work may append
		q.work(&item{fn: q.later[i]})
	}
	clear(q.later)
	q.later = q.later[:0]
}

// work calls the code behind an item. It is the transaction boundary at which a
// panic of the user's code ends.
func (q *Queue) work(it *item) {
	defer q.recovered()
	switch {
	case it.fn != nil:
		q.serving = it.serving
		it.fn()
	case it.timer != nil:
		it.timer.owner.expire(it.timer.kind)
	case it.m != nil:
		q.dispatch(it)
	default:
		q.flowClosed(it.f)
	}
}

// recovered ends a panic, if there is one, and answers the request at hand.
func (q *Queue) recovered() {
	s := q.serving
	q.serving = nil
	cause := recover()
	if cause == nil {
		return
	}
	q.layer.metrics.panics.Inc()
	attrs := []slog.Attr{slog.Any("err", cause), slog.String("stack", string(debug.Stack()))}
	if s != nil {
		attrs = append(attrs, slog.String("call_id", s.m.CallID()), slog.String("method", s.m.Method()))
	}
	q.layer.o.Logger.LogAttrs(context.Background(), slog.LevelError, "panic in a transaction user", attrs...)
	if s != nil && !s.Done() {
		q.later = append(q.later, func() { s.Reply(sipmsg.Reply{Code: 500}) })
	}
}

// now is the time on the timers' clock.
func (q *Queue) now() time.Duration { return time.Since(q.layer.epoch) }
