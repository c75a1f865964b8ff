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
// A queue's delay is measured when it takes a message up, from when the message came
// to this machine: the longest wait may be that in the buffer of a socket whose reader
// gets too little of the processor. By the delay of its own queue a new request is
// refused, for that is what it would wait. It is decided at the door, in ReceiveAt, on
// the reader's goroutine: so it costs no place in the queue.
//
// A buffer that overflows before anything in it has waited for long shows nothing but
// its losses. What is lost comes again after T1 at best: while messages are lost, every
// delay is taken for one that is too long.

// A queueLoad is what a queue knows of its delay, or of one kind of work that is
// refused for it. The strain belongs to the queue's goroutine; shown is for all.
type queueLoad struct {
	strain
	// shown is the strain's state, a pressure.
	shown atomic.Uint32
	// again is when the strain is looked at if nothing happens: a wary one becomes calm,
	// and one that refuses because of losses sees that there are no more.
	again timer
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
		g.loads[i].again = timer{owner: calming{q, i}}
	}
	return g
}

// calming looks at a strain to which nothing happens.
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
		// What is refused does not come here, and so would not end it.
		if load := &q.govern.loads[level]; load.state == refusing && !load.again.running() {
			q.start(&load.again, q.layer.o.Overload.Target)
		}
	}
}

// observe takes a delay to one level and tells of a change.
func (q *Queue) observe(level int, now, delay time.Duration) {
	load := &q.govern.loads[level]
	was := load.state
	// First registrations come last here, too: only what refusing the others does not
	// mend tells against them.
	if q.layer.losing(now) && (level == levelRequests || q.govern.loads[levelRequests].state == refusing) {
		delay = max(delay, load.target+1)
	}
	if !load.strain.observe(now, delay) {
		return
	}
	load.shown.Store(uint32(load.state))
	q.timers.stop(&load.again)
	switch {
	case load.state == wary:
		q.start(&load.again, waryFor*load.interval)
	case was == calm:
		q.layer.strained(level, 1)
	case load.state == calm:
		q.layer.strained(level, -1)
	}
}

// Lost says that messages were lost just now because the buffer of a socket was full.
// It may be called on any goroutine.
func (l *Layer) Lost() { l.lost.Store(int64(max(time.Since(l.epoch), 1))) }

// losing reports whether messages are being lost.
func (l *Layer) losing(now time.Duration) bool {
	lost := time.Duration(l.lost.Load())
	return lost != 0 && now-lost < l.o.Overload.Target
}

// refuses reports whether work of a level is refused at now: the delay has been
// too long, or the queue is stuck in one piece of work for so long that it will be.
func (g *governor) refuses(level int, now time.Duration) bool {
	if g == nil {
		return false
	}
	return pressure(g.loads[level].shown.Load()) == refusing || g.stuck(level, now)
}

// stuck reports whether the queue has been in one piece of work for too long.
func (g *governor) stuck(level int, now time.Duration) bool {
	load, head := &g.loads[level], g.head.Load()
	return head != 0 && now-time.Duration(head) > load.target+load.interval
}

// overloaded reports whether half of the queues or more refuse work of a level, or did
// so a moment ago: then it is the whole server, for calls spread over all of them.
func (l *Layer) overloaded(level int, now time.Duration) bool {
	n := 0
	for _, q := range l.queues {
		if g := q.govern; pressure(g.loads[level].shown.Load()) != calm || g.stuck(level, now) {
			n++
		}
		if 2*n >= len(l.queues) {
			return true
		}
	}
	return false
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
	// absorbed: it is the ACK to an answer of which nothing is kept.
	absorbed
)

// door decides about a message before it is queued. Whoever is admitted here is not
// refused later: a copy behind it would be admitted then, and ring phones for a
// caller who was told that there is no call.
func (l *Layer) door(q *Queue, m *sipmsg.Message) door {
	switch {
	case !m.IsRequest():
		return admitted
	case m.Method() == "ACK":
		// Each refused INVITE brings one.
		if l.unknown(l.hash(m.CallID())) && m.ToTag() == l.tag(m) {
			return absorbed
		}
		return admitted
	case !q.sheds(m):
		return admitted
	case l.unknown(l.hash(m.CallID())):
		return refused
	}
	return doubted
}

// unknown reports whether no message with a Call-ID of that hash is under way and no
// server transaction has it.
func (l *Layer) unknown(hash uint64) bool {
	// In this order: a message is counted as busy until its transaction is known.
	return l.busy.calls[callSlot(hash)].Load() == 0 && !l.known.has(hash)
}

// turnAway refuses a request because of overload, and keeps nothing (RFC 3261 §8.2.7).
func (l *Layer) turnAway(f flow.Flow, m *sipmsg.Message) {
	level, register := levelRequests, m.Method() == "REGISTER"
	if register {
		level = levelRegisters
	}
	switch {
	case l.overloaded(level, time.Since(l.epoch)):
		l.metrics.refused(refusedOverload)
		l.refuse(f, m, l.unavailable(m))
	case register:
		// RFC 3261 §10.3: what a registrar says that could not update a binding.
		l.metrics.refused(refusedQueue)
		l.refuse(f, m, l.retryLater(m, 500))
	default:
		// One queue alone is slow. Who hears 503 would stop to use a server that has
		// room for its other calls (RFC 3261 §21.5.4, RFC 3263 §4.3).
		l.metrics.refused(refusedQueue)
		l.refuse(f, m, l.retryLater(m, 480))
	}
}

// refuse is Refuse of a request for which there is no room, of which it tells.
func (l *Layer) refuse(f flow.Flow, m *sipmsg.Message, r sipmsg.Reply) {
	l.o.Refused(f, m, r)
	l.Refuse(f, m, r)
}

// unavailable is the answer that the whole server takes no more requests (RFC 3261
// §21.5.4).
func (l *Layer) unavailable(m *sipmsg.Message) sipmsg.Reply { return l.retryLater(m, 503) }

// retryLater is an answer with a Retry-After. Everybody is told another time, up to
// twice the shortest, or all would be back at once; a copy of the request is told the
// same.
func (l *Layer) retryLater(m *sipmsg.Message, code int) sipmsg.Reply {
	seconds := max(1, int((l.o.RetryAfter+time.Second-1)/time.Second))
	seconds += int(l.hash(m.CallID()+m.FromTag()) % uint64(seconds+1))
	return sipmsg.Reply{Code: code, Headers: []sipmsg.HeaderField{{Name: "Retry-After", Value: strconv.Itoa(seconds)}}}
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
