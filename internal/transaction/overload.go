package transaction

import (
	"context"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

// This file keeps a server that has too much to do useful: what is under way goes
// on, and new work is refused so cheaply that there is time left for that.
//
// A queue's delay is measured when it takes a message up, and by the delay of its own
// queue a new request is refused, for that is what it would wait. It is decided at the
// door, in Receive, on the reader's goroutine: so it costs no place in the queue.

// A queueLoad is what a queue knows of its delay, or of one kind of work that is
// refused for it. The strain belongs to the queue's goroutine; refuses is for all.
type queueLoad struct {
	strain
	// refuses: new work of this kind is refused.
	refuses atomic.Bool
	// calm is when a wary strain becomes calm if nothing happens.
	calm timer
}

// levels are the kinds of work that are refused.
const (
	levelRequests  = iota // all but the others
	levelRegisters        // first registrations
	levels                // the number of levels
)

var levelNames = [levels]string{"requests", "registrations"}

// A governor is the part of a Queue that refuses. Nil: nothing is refused.
type governor struct {
	loads [levels]queueLoad
	// head is when the message that is being handled had come, or when the function
	// that is being run began, on the queue's clock and never 0; 0: nothing is.
	head atomic.Int64
}

func newGovernor(q *Queue, o Overload) *governor {
	if o.Target <= 0 {
		return nil
	}
	g := &governor{}
	for i, factor := range [levels]time.Duration{1, registerFactor} {
		g.loads[i].strain = newStrain(factor*o.Target, o.Interval)
		g.loads[i].calm = timer{owner: calming{q, i}}
	}
	return g
}

// calming is the end of a queue's wariness.
type calming struct {
	q     *Queue
	level int
}

// expire implements expirer.
func (c calming) expire(timerKind) { c.q.observe(c.level, c.q.now(), 0) }

// begin notes that the queue takes up an item, and how long it waited.
func (q *Queue) begin(it *item) {
	now := q.now()
	began := now
	if it.m != nil {
		began = it.came
		q.layer.metrics.delay.Observe((now - it.came).Seconds())
	}
	if q.govern == nil {
		return
	}
	q.govern.head.Store(int64(max(began, 1)))
	if it.m == nil {
		return
	}
	for level := range q.govern.loads {
		q.observe(level, now, now-it.came)
	}
}

// rest notes that nothing waits.
func (q *Queue) rest() {
	if q.govern == nil {
		return
	}
	q.govern.head.Store(0)
	now := q.now()
	for level := range q.govern.loads {
		q.observe(level, now, 0)
	}
}

// observe takes a delay to one level and tells of a change.
func (q *Queue) observe(level int, now, delay time.Duration) {
	load := &q.govern.loads[level]
	was := load.state
	if !load.strain.observe(now, delay) {
		return
	}
	load.refuses.Store(load.state == refusing)
	switch {
	case load.state == wary:
		q.start(&load.calm, waryFor*load.interval)
	case was == calm:
		q.layer.strained(level, 1)
	case load.state == calm:
		q.layer.strained(level, -1)
	default:
		q.timers.stop(&load.calm)
	}
}

// refuses reports whether work of a level is refused at now: the delay has been
// too long, or the queue is stuck in one piece of work for so long that it will be.
func (g *governor) refuses(level int, now time.Duration) bool {
	if g == nil {
		return false
	}
	load := &g.loads[level]
	if load.refuses.Load() {
		return true
	}
	head := g.head.Load()
	return head != 0 && now-time.Duration(head) > load.target+load.interval
}

// levelOf returns what kind of work m is, a request that belongs to no transaction.
// ok is false if it is part of a call that was admitted, or is never refused.
func (l *Layer) levelOf(m *sipmsg.Message) (level int, ok bool) {
	if m.ToTag() != "" {
		return 0, false
	}
	switch m.Method() {
	case "ACK", "CANCEL", "PRACK", "BYE":
		return 0, false
	case "REGISTER":
		return levelRegisters, !l.o.Spare(m)
	}
	// RFC 3261 §11.2: OPTIONS is answered as an INVITE would be.
	return levelRequests, !l.o.Spare(m)
}

// sheds reports whether the queue refuses m, a request that belongs to no
// transaction. It may be called on any goroutine.
func (q *Queue) sheds(m *sipmsg.Message) bool {
	now := q.now()
	if !q.govern.refuses(levelRequests, now) {
		// The usual case. Who may register may all the more do anything else.
		return false
	}
	level, ok := q.layer.levelOf(m)
	return ok && q.govern.refuses(level, now)
}

// door says what becomes of a request in front of its queue.
type door uint8

const (
	admitted door = iota
	// doubted: it is refused unless the queue knows it. It may be a copy of a request
	// that was admitted.
	doubted
	refused
)

// door decides about a message before it is queued. Whoever is admitted here is not
// refused later: a copy behind it would be admitted then, and ring phones for a
// caller who was told that there is no call.
func (l *Layer) door(q *Queue, m *sipmsg.Message) door {
	if !m.IsRequest() || !q.sheds(m) {
		return admitted
	}
	// In this order: a message is counted as busy until its transaction is known.
	hash := l.hash(m.CallID())
	if l.busy.calls[callSlot(hash)].Load() != 0 || l.known.has(hash) {
		return doubted
	}
	return refused
}

// turnAway answers 503 because of overload, and keeps nothing (RFC 3261 §8.2.7).
func (l *Layer) turnAway(f flow.Flow, m *sipmsg.Message) {
	l.metrics.refused(refusedOverload)
	l.Refuse(f, m, l.unavailable(m))
}

// unavailable is the answer that the whole server takes no more requests (RFC 3261
// §21.5.4). Everybody is told another time, up to twice the shortest, or all would be
// back at once; a copy of the request is told the same.
func (l *Layer) unavailable(m *sipmsg.Message) sipmsg.Reply {
	seconds := max(1, int((l.o.RetryAfter+time.Second-1)/time.Second))
	seconds += int(l.hash(m.CallID()+m.FromTag()) % uint64(seconds+1))
	return sipmsg.Reply{Code: 503, Headers: []sipmsg.HeaderField{{Name: "Retry-After", Value: strconv.Itoa(seconds)}}}
}

// strained counts the queues that are not calm, and tells when it begins and when it
// is over.
func (l *Layer) strained(level int, change int32) {
	n := l.strains[level].Add(change)
	msg := "overload: new requests are refused"
	switch {
	case n == 1 && change > 0:
	case n == 0:
		msg = "overload is over"
	default:
		return
	}
	l.o.Logger.LogAttrs(context.Background(), slog.LevelWarn, msg, slog.String("of", levelNames[level]), slog.Duration("target", l.o.Overload.Target)) //nolint:sloglint // Two sentences.
}

// Overloaded reports whether a queue refuses new requests, or did so a moment ago.
func (l *Layer) Overloaded() bool { return l.strains[levelRequests].Load() != 0 }

// knownSlots is how many counters there are for Call-IDs with a transaction. With n
// transactions one other request in knownSlots/n is let through the door, and is
// refused by the queue; the table takes 1 MB.
const knownSlots = 1 << 18

// A knownTable counts server transactions by the hash of their Call-ID. It never
// says that there is none while there is one. It is safe for concurrent use.
type knownTable [knownSlots]atomic.Int32

func (t *knownTable) add(hash uint64, n int32) { t[hash%knownSlots].Add(n) }

func (t *knownTable) has(hash uint64) bool { return t[hash%knownSlots].Load() != 0 }
