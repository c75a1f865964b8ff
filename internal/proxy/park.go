package proxy

import (
	"time"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/transaction"
	"reveille/internal/wake"
	"reveille/push"
	"reveille/usrloc"
)

// A wait is what a branch keeps while its device is being woken.
type wait struct {
	// until is when the request is of no more use to the caller.
	until time.Time
	// bucket is the Bucket Timer (RFC 8599 §5.2), which also bounds the wait of the
	// race policy; recheck looks for signs of life of a phone that answers a push
	// with a keep-alive instead of REGISTER.
	bucket, recheck *transaction.Timer
	// delay runs between a forward and the push of the race policy.
	delay *transaction.Timer
	// unpush drops a push that has not left yet.
	unpush func()
	// asked counts the pushes and the ends of waits, so that the outcome of a push
	// that is no longer waited for is not taken for that of the next.
	asked  int32
	pushes int32
	pushID string
	// sign is what showed that the phone is awake, if it was no REGISTER.
	sign string
	// released: the request waited, and goes to its phone.
	released bool
	// known: it is known what became of the last of pushes. taken: the push service
	// took it, so that what follows speaks of the device.
	known, taken bool
	pushed       time.Time // zero: no push was asked for
	// token is what was pushed to last; nil: nothing was. No other binding's copy of it
	// is pushed to.
	token *usrloc.Push
	line  *line
}

// signAlive is the reason in request.woken of a phone that answered a push with a
// keep-alive on the connection that it had.
const signAlive = "Connection Alive"

// park puts the branch into the bucket and asks the device to wake.
func (b *branch) park() {
	f := b.fork
	if f.p.stopping.Load() {
		b.finish(f.unavailable("Server Is Stopping"))
		return
	}
	if !f.p.bucket.enter(b.user()) {
		f.p.metrics.wakes.WithLabelValues("bucket_full").Inc()
		b.finish(f.unavailable("Too Many Requests Waiting"))
		return
	}
	f.p.metrics.parked.Inc()
	b.state = parked
	b.waitUntil(time.Now().Add(f.waitFor(b.target.binding)))
	b.recheckIn(250 * time.Millisecond)
	f.tale.asleep = true
	f.emitFound(event.Call{Step: "parked", AOR: string(b.user()), Binding: b.id(), Sleeper: b.sleeper(), Elapsed: time.Since(f.began)})
	if b.queueUp() {
		b.push()
	}
	// Else requests of this dialog already wait for the device; their push wakes
	// it for all of them.
}

// waitUntil sets the Bucket Timer.
func (b *branch) waitUntil(t time.Time) {
	b.wait.bucket.Stop()
	b.wait.until = t
	b.wait.bucket = b.fork.s.Queue().After(time.Until(t), b.timedOut)
}

// waitFor is how long this request may wait for a device: never beyond what the
// caller is willing to wait (RFC 3261 §20.19).
func (f *fork) waitFor(b *usrloc.Binding) time.Duration {
	d := f.p.opts().Waits.of(f.method, f.inDialog, b.Push.Provider)
	if life, ok := f.lifetime(); ok {
		d = min(d, life-time.Since(f.began))
	}
	return f.p.opts().Waker.Patience(b, d)
}

// push asks the device to wake.
func (b *branch) push() {
	f := b.fork
	q := f.s.Queue()
	b.wait.asked++
	asked := b.wait.asked
	b.wait.pushes++
	pushes := b.wait.pushes
	b.wait.token, b.wait.taken, b.wait.known = &b.target.binding.Push, false, false
	id, cancel, err := f.p.opts().Waker.Wake(b.user(), b.target.binding, wake.Cause{
		Kind: f.pushKind(), Method: f.method, CallID: f.s.Message().CallID(), Deadline: b.wait.until,
		Request: f.request(), Caller: f.callerData(),
	}, func(o push.Outcome) {
		q.Post(func() {
			b.settled(pushes, o)
			if asked == b.wait.asked {
				b.outcome(o)
				if o.Class == push.OK {
					f.ringback.begin(f, b)
				}
			}
		})
	})
	if err != nil {
		b.pushFailed("push_refused")
		return
	}
	b.wait.pushID, b.wait.unpush, b.wait.pushed = id, cancel, time.Now()
	f.p.metrics.toPush.Observe(b.wait.pushed.Sub(f.began).Seconds())
}

func (f *fork) pushKind() push.Kind {
	switch {
	case f.inDialog:
		return push.MidDialog
	case f.invite():
		return push.Call
	}
	return push.Message
}

// outcome is what the push service made of the push.
func (b *branch) outcome(o push.Outcome) {
	b.wait.unpush = nil
	switch {
	case b.state != parked:
	case o.Class == push.Forbidden:
		// Not the device's failure: a phone that changes networks registers by
		// itself within seconds.
		silent := time.Now().Add(b.fork.p.opts().Waits.Silent)
		if silent.Before(b.wait.until) {
			b.waitUntil(silent)
		}
	case o.Failed():
		// RFC 8599 §5.6.2: the push failed, so this branch fails now.
		b.pushFailed("push_" + o.Class.String())
	}
}

// pushFailed ends the wait for a push that failed, also of what waits with the
// branch in the same dialog. A device with a binding that needs no push is tried
// there; otherwise the branch has failed.
func (b *branch) pushFailed(result string) {
	if b.state != parked {
		return
	}
	waiting := []*branch{b}
	if b.wait.line != nil {
		waiting = b.wait.line.dissolve()
	}
	for _, x := range waiting {
		x.unpark(result)
		x.fail(x.fork.unavailable("Push Failed"))
		x.fork.conclude()
	}
}

// tokenLost is pushFailed for a branch whose device had its token taken away
// while it waits, by the push service's word or an operator's: whatever was
// pushed, nobody expects the phone to come any more.
func (b *branch) tokenLost() {
	if b.state == parked {
		b.pushFailed("token_lost")
	}
}

// recheckIn looks for signs of life after d, then at growing intervals until the
// Bucket Timer fires. Only a REGISTER counts under the policy Always, and of a
// phone whose flow has just failed.
func (b *branch) recheckIn(d time.Duration) {
	f := b.fork
	if b.lost || !f.inDialog && f.p.opts().Policy(b.target.binding.Push.Provider, b.target.binding.UserAgent) == Always {
		return
	}
	b.wait.recheck = f.s.Queue().After(d, func() {
		// What has ended begins anew with a REGISTER alone.
		if now := time.Now(); f.p.opts().Flows.Alive(b.target.flow, now) && !b.target.binding.Expired(now) {
			b.wait.sign = signAlive
			b.wake(b.target.flow)
			f.conclude()
			return
		}
		b.recheckIn(min(2*d, 4*time.Second))
	})
}

// wake takes the branch out of the bucket and sends it on, together with what
// waits with it in the same dialog.
func (b *branch) wake(to flow.Flow) {
	if b.wait.line != nil {
		b.wait.line.release(to, b.target.binding)
		return
	}
	b.wakeAlone(to)
}

func (b *branch) wakeAlone(to flow.Flow) {
	f := b.fork
	if b.leaveToMailbox() {
		return
	}
	b.unpark("")
	since := b.countWake()
	b.target.reach = forward // It does not follow the phone any further.
	f.emit(event.Call{Step: "woken", AOR: string(b.user()), Binding: b.id(), PushID: b.wait.pushID, Flow: to, Reason: b.wait.sign, Elapsed: since})
	b.wait.released = true
	b.forward(to)
}

// countWake counts a wake that this branch asked for, and returns how long it
// took; 0 if it asked for none.
func (b *branch) countWake() time.Duration {
	if b.wait.pushed.IsZero() {
		return 0
	}
	since := time.Since(b.wait.pushed)
	b.fork.p.metrics.woken(b.wait.token.Provider, since)
	b.fork.p.opts().Waker.Woke(b.target.binding.ID, since)
	return since
}

// timedOut is the Bucket Timer. What is out on a flow that never showed life is
// given up with it: only an answer that says the call was taken still counts.
func (b *branch) timedOut() {
	f := b.fork
	if b.state == calling {
		b.client.Abandon()
		f.p.metrics.wakes.WithLabelValues("timed_out").Inc()
	}
	if b.wait.taken {
		f.p.opts().Waker.Slept(b.target.binding)
	}
	b.slept = true
	b.unpark("timed_out")
	f.emit(event.Call{Step: "timed_out", AOR: string(b.user()), Binding: b.id(), PushID: b.wait.pushID, Elapsed: time.Since(f.began)})
	b.finish(f.unavailable("Device Did Not Wake"))
	f.conclude()
}

// unpark ends what waits for the branch: timers, push, its place in the line and
// in the bucket. result is counted if the branch was parked, unless empty.
func (b *branch) unpark(result string) {
	w := &b.wait
	w.asked++
	for _, t := range [...]*transaction.Timer{w.bucket, w.recheck, w.delay} {
		t.Stop()
	}
	w.bucket, w.recheck, w.delay = nil, nil, nil
	if w.unpush != nil {
		w.unpush()
		w.unpush = nil
	}
	if b.state != parked {
		return
	}
	b.state = idle
	b.leaveLine()
	b.fork.p.bucket.leave(b.user())
	b.fork.p.metrics.parked.Dec()
	if result != "" {
		b.fork.p.metrics.wakes.WithLabelValues(result).Inc()
	}
}
