package push

import (
	"container/list"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// defaultDeadline is for requests that have none.
const defaultDeadline = 30 * time.Second

// errLaneClosed: the lane's app was replaced or the Dispatcher closed.
var errLaneClosed = errors.New("push: lane closed")

// A lane sends the requests of one credential. Its states:
//
//	cold    one attempt at a time, until the push service took one
//	warm    InFlight attempts at a time
//	paused  none: throttled, or the breaker is open. Afterwards it is cold, so
//	        that the next attempt is the breaker's probe.
//
// A request that would have to wait longer than its deadline is told at once.
type lane struct {
	app     App
	part    string
	exec    *executor
	metrics *metrics
	log     *slog.Logger
	empty   chan struct{} // closed when the lane is closed and has no jobs
	hand    chan attempt  // to a worker that is idle

	// mu guards what follows. The executor's mu may be taken while it is held.
	mu     sync.Mutex
	closed bool
	jobs   map[wakeKey]*job
	recent recent
	// Jobs that may be sent: first[0] before first[1], the refreshes.
	first    [2]list.List
	delayed  int // jobs that wait for their next attempt
	joined   int // waiters beyond the first of their jobs
	inFlight int

	warm        bool
	seen        seen
	failures    int // of the push service, in a row
	opened      int // times the breaker opened in a row
	pausedUntil time.Time
	pausedFor   Outcome
	resume      *time.Timer
	lastOK      time.Time
	lastFailure time.Time
	lastReason  string

	load   load
	series series
}

// seen counts what attempts at the push service came to. An attempt that fails
// after another that began with it says nothing new.
type seen struct{ successes, breaks uint64 }

// A job is one push, for all requests that are the same wake.
type job struct {
	key      wakeKey
	req      *Request
	deadline time.Time // the latest of its waiters'
	since    time.Time
	until    time.Time // the deadline that the last attempt was sent with
	waiters  []*waiter
	// Most jobs have but one waiter: it needs no memory of its own.
	first    waiter
	room     [1]*waiter
	attempts int
	tries    []Try
	state    jobState
	elem     *list.Element // while queued
	timer    *time.Timer   // queued: the deadline; delayed: the next attempt
}

type jobState uint8

const (
	queued jobState = iota
	delayed
	sending
	finished
)

// A waiter is a request that waits for a job.
type waiter struct {
	done     func(Outcome)
	canceled bool
}

func newLane(a App, part string, e *executor, m *metrics, log *slog.Logger) *lane {
	return &lane{
		app: a, part: part, exec: e, metrics: m,
		log:   log.With("app", a.Name, "provider", a.Provider, "part", part),
		empty: make(chan struct{}),
		hand:  make(chan attempt),
		jobs:  make(map[wakeKey]*job),
		load:  m.load(a), series: series{m: m, app: a},
	}
}

// submit is Dispatcher.Submit for a request of this lane.
func (l *lane) submit(r *Request, tok Token, done func(Outcome)) (cancel func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errLaneClosed
	}
	now := time.Now()
	key := keyOf(r, tok)
	deadline := r.Deadline
	if deadline.IsZero() {
		deadline = now.Add(defaultDeadline)
	}
	if o, ok := l.recent.get(key, r.BoundAt, deadline, now); ok {
		l.metrics.coalesced(l.app)
		r.SentAs = o.PushID
		l.exec.post(done, o)
		return func() {}, nil
	}
	other := l.jobs[key]
	for other != nil && !other.answersFor(r.BoundAt, deadline) && key.again < maxAgain {
		key.again++
		other = l.jobs[key]
	}
	if other != nil {
		r.SentAs = other.req.PushID
		return l.join(other, deadline, done)
	}

	if l.full(r.Kind) {
		return nil, ErrQueueFull
	}
	j := &job{key: key, req: r, deadline: deadline, since: now, first: waiter{done: done}}
	j.waiters = append(j.room[:0], &j.first)
	l.jobs[key] = j
	l.enqueue(j, now)
	return func() { l.cancel(j, &j.first) }, nil
}

// join lets a request with this deadline wait for j, too. Call with mu held.
func (l *lane) join(j *job, deadline time.Time, done func(Outcome)) (cancel func(), err error) {
	if l.joined >= maxJoined {
		return nil, ErrQueueFull
	}
	l.joined++
	l.metrics.coalesced(l.app)
	w := &waiter{done: done}
	j.waiters = append(j.waiters, w)
	if deadline.After(j.deadline) {
		j.deadline = deadline
		if j.state == queued {
			j.timer.Reset(time.Until(deadline))
		}
	}
	return func() { l.cancel(j, w) }, nil
}

// answersFor reports whether j's push will do for a request with this deadline
// of a device that last registered at boundAt. Call with mu held.
func (j *job) answersFor(boundAt, deadline time.Time) bool {
	// What is not under way yet will be sent with the latest deadline.
	return !over(j.since, boundAt) && (j.state != sending || covers(j.until, deadline))
}

// full reports whether a request of kind k finds no room.
func (l *lane) full(k Kind) bool {
	bound := l.app.QueueLen
	if k == Refresh {
		// Refreshes come in floods and can wait; a call cannot.
		bound = max(bound/2, 1)
	}
	return l.waiting() >= bound
}

// waiting counts the jobs that are not being sent. Call with mu held.
func (l *lane) waiting() int { return l.first[0].Len() + l.first[1].Len() + l.delayed }

// enqueue makes j ready to be sent, or ends it if it cannot be in time. Call
// with mu held.
func (l *lane) enqueue(j *job, now time.Time) {
	j.state = queued
	switch {
	case !j.deadline.After(now):
		l.finish(j, Outcome{Class: Expired, Reason: "DeadlinePassed", Err: context.DeadlineExceeded})
		return
	case l.hopeless(j, now):
		l.finish(j, l.pauseOutcome(now))
		return
	}
	j.timer = nil
	if l.open(now) && l.first[0].Len()+l.first[1].Len() == 0 {
		l.begin(j)
		l.load.show(l.waiting(), l.inFlight)
		return
	}
	q := &l.first[0]
	if j.key.kind == Refresh {
		q = &l.first[1]
	}
	j.elem = q.PushBack(j)
	l.pump(now)
	if j.state == queued {
		j.timer = time.AfterFunc(j.deadline.Sub(now), func() { l.expire(j) })
	}
}

// expire ends a job whose deadline passed in the queue.
func (l *lane) expire(j *job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if j.state == queued && !j.deadline.After(time.Now()) {
		l.finish(j, Outcome{Class: Expired, Reason: "DeadlinePassed", Err: context.DeadlineExceeded})
	}
}

// pump starts as many attempts as the lane's state allows. Call with mu held.
func (l *lane) pump(now time.Time) {
	for l.open(now) {
		e := l.first[0].Front()
		if e == nil {
			e = l.first[1].Front()
		}
		if e == nil {
			break
		}
		j := e.Value.(*job)
		l.unqueue(j)
		l.begin(j)
	}
	l.load.show(l.waiting(), l.inFlight)
}

// open reports whether an attempt may begin. Call with mu held.
func (l *lane) open(now time.Time) bool { return l.inFlight < l.limit() && !l.paused(now) }

// unqueue takes j out of where it waits. Call with mu held.
func (l *lane) unqueue(j *job) {
	if j.timer != nil {
		j.timer.Stop()
	}
	if j.elem != nil {
		l.first[0].Remove(j.elem) // does nothing if elem is in the other list
		l.first[1].Remove(j.elem)
		j.elem = nil
	}
	if j.state == delayed {
		l.delayed--
	}
}

func (l *lane) limit() int {
	if l.warm {
		return l.app.InFlight
	}
	return 1
}

// settle notes how an attempt ended that took so long, and decides what becomes
// of the job. before is what the lane had seen when the attempt began.
func (l *lane) settle(j *job, o Outcome, took time.Duration, before seen) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.series.attempted(o, took)
	now := time.Now()
	l.inFlight--
	j.attempts++
	if len(j.tries) < MaxTries {
		j.tries = append(j.tries, Try{Began: now.Add(-took), Took: took, Class: o.Class, Reason: o.Reason, Status: o.Status})
	}
	l.observe(o, before, now)
	if j.state == finished { // shed by Close
		l.pump(now)
		return
	}
	wait, again := retryDelay(o, j.attempts, rand.Float64())
	if l.paused(now) {
		wait = max(wait, l.pausedUntil.Sub(now))
	}
	switch {
	case !again, j.abandoned(), !now.Add(wait).Before(j.deadline):
		l.finish(j, o)
	case wait == 0:
		l.enqueue(j, now)
	default:
		j.state = delayed
		l.delayed++
		j.timer = time.AfterFunc(wait, func() { l.wake(j) })
	}
	l.pump(now)
}

// wake makes a delayed job ready for its next attempt.
func (l *lane) wake(j *job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if j.state == delayed {
		l.delayed--
		l.enqueue(j, time.Now())
	}
}

// abandoned reports whether nobody waits for j any more.
func (j *job) abandoned() bool {
	for _, w := range j.waiters {
		if !w.canceled {
			return false
		}
	}
	return true
}

// cancel is what Submit returned for w.
func (l *lane) cancel(j *job, w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.canceled || j.state == finished {
		return
	}
	w.canceled = true
	if j.state != sending && j.abandoned() {
		l.finish(j, Outcome{Class: Shed, Reason: "Canceled", Err: context.Canceled})
		l.pump(time.Now())
	}
}

// finish ends j and tells all who wait. Call with mu held.
func (l *lane) finish(j *job, o Outcome) {
	l.unqueue(j)
	j.state = finished
	delete(l.jobs, j.key)
	now := time.Now()
	told := o // what all of them share
	told.Attempts, told.Tries, told.PushID, told.Proven = j.attempts, j.tries, j.req.PushID, l.proven(now)
	if o.Class.expiredBy() {
		told.Expired = l.expiry(now)
	}
	if o.Class == OK {
		key := j.key
		key.again = 0
		l.recent.add(key, recentWake{outcome: &told, since: j.since, until: j.until}, now)
	}
	l.series.finished(j.key.kind, o, now.Sub(j.since))
	l.load.show(l.waiting(), l.inFlight)
	if o.Class != OK {
		l.log.LogAttrs(context.Background(), slog.LevelDebug, "push failed", slog.String("push_id", j.req.PushID),
			slog.String("kind", j.key.kind.String()), slog.String("class", o.Class.String()), slog.String("reason", o.Reason),
			slog.Int("status", o.Status), slog.Int("attempts", j.attempts), slog.Any("err", o.Err))
	}
	l.joined -= len(j.waiters) - 1
	for _, w := range j.waiters {
		l.exec.post(w.done, &told)
	}
	if l.closed && len(l.jobs) == 0 {
		close(l.empty)
	}
}

// close lets the lane take nothing new.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	if len(l.jobs) == 0 {
		close(l.empty)
	}
}

// idle reports whether the lane has nothing to do, and when the push service last
// took a push; zero if never.
func (l *lane) idle() (lastOK time.Time, idle bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lastOK, len(l.jobs) == 0
}

// retire closes the lane if it has nothing to do.
func (l *lane) retire() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.jobs) > 0 {
		return false
	}
	l.closed = true
	close(l.empty)
	if l.resume != nil {
		l.resume.Stop()
	}
	return true
}

// wait reports whether the jobs of a closed lane ended before done was closed.
func (l *lane) wait(done <-chan struct{}) bool {
	select {
	case <-l.empty:
		return true
	case <-done:
		return false
	}
}

// shed ends all jobs. Attempts under way no longer matter.
func (l *lane) shed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, j := range l.jobs {
		l.finish(j, Outcome{Class: Shed, Reason: "Closed", Err: ErrClosed})
	}
	if l.resume != nil {
		l.resume.Stop()
	}
}
