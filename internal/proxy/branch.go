package proxy

import (
	"errors"
	"time"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
	"reveille/internal/wake"
	"reveille/push"
	"reveille/usrloc"
)

// branchState is where a branch stands.
type branchState uint8

const (
	idle     branchState = iota
	parked               // waits in the bucket for its device to wake (RFC 8599 §5.2)
	calling              // sent; no provisional answer yet
	answered             // a provisional answer came: the device may be ringing
	ended                // has its final
)

// A branch is one device's, or next hop's, part of a fork. A device never has
// two branches that may ring: after a move to another flow, the old client
// transaction is abandoned and reports no more.
type branch struct {
	fork   *fork
	target target
	state  branchState
	client *transaction.Client
	// bucket is the Bucket Timer (RFC 8599 §5.2); recheck looks for signs of
	// life of a phone that answers a push with a keep-alive instead of REGISTER.
	bucket, recheck *transaction.Timer
	// delay runs between a forward and the push of the race policy.
	delay *transaction.Timer
	// unpush drops a push that has not left yet.
	unpush func()
	pushID string
	pushed time.Time
	line   *line
	// lost: the first attempt ended with its connection; there is no second such
	// try.
	lost bool
}

func (b *branch) ended() bool { return b.state == ended }

// start takes the first step.
func (b *branch) start() {
	switch b.target.reach {
	case forward:
		b.forward(b.target.flow)
	case race:
		b.forward(b.target.flow)
		if b.state == calling {
			b.delay = b.fork.s.Queue().After(b.fork.raceDelay(), b.overtake)
		}
	case park:
		b.park()
	case unreachable:
		b.finish(final{code: 480, reason: "Device Unreachable"})
	}
}

// forward sends the request on a flow.
func (b *branch) forward(to flow.Flow) {
	f := b.fork
	m := f.s.Message()
	out := outgoing{
		uri: b.target.uri, popRoutes: f.passage.own, strict: f.passage.strict,
		path: b.target.binding.Path, realm: f.realm, in: f.s.Flow(), out: to,
	}
	if !f.inDialog && recordRouted(f.method) && !f.p.opts().NoRecordRoute {
		t := token{
			dialog: dialogID(m.CallID(), m.FromTag()), caller: f.caller,
			callee: leg{binding: b.target.binding.ID, flow: to},
		}
		out.token = t.seal(f.p.opts().Keys)
	}
	wire := f.p.build(m, out, newBranch(loopHash(m)))
	b.client = nil
	client, err := f.s.Queue().NewClient(to, wire, b)
	if err != nil {
		b.Failed(nil, err)
		return
	}
	b.client, b.state = client, calling
	f.p.emit(m, event.Call{Step: "forwarded", AOR: string(f.aor), Binding: b.id(), PushID: b.pushID, Flow: to, Elapsed: time.Since(f.began)})
}

// recordRouted reports whether requests of a method begin a dialog whose later
// requests must find their way through us.
func recordRouted(method string) bool {
	return method == "INVITE" || method == "REFER" || method == "SUBSCRIBE" || method == "NOTIFY"
}

func (b *branch) id() string {
	if b.target.binding.ID.IsZero() {
		return ""
	}
	return b.target.binding.ID.String()
}

// park puts the branch into the bucket and asks the device to wake.
func (b *branch) park() {
	f := b.fork
	if !f.p.bucket.enter(f.aor) {
		f.p.metrics.wakes.WithLabelValues("bucket_full").Inc()
		b.finish(f.timeoutFinal("Too Many Requests Waiting"))
		return
	}
	f.p.metrics.parked.Inc()
	b.state = parked
	wait := f.waitFor(&b.target.binding)
	b.bucket = f.s.Queue().After(wait, b.timedOut)
	b.recheckIn(250 * time.Millisecond)
	f.p.emit(f.s.Message(), event.Call{Step: "parked", AOR: string(f.aor), Binding: b.id(), Elapsed: time.Since(f.began)})
	if !b.queueUp() {
		// Requests of this dialog already wait for the device; their push wakes
		// it for all of them.
		return
	}
	b.push(wait)
}

// push asks the device to wake.
func (b *branch) push(wait time.Duration) {
	f := b.fork
	q := f.s.Queue()
	id, cancel, err := f.p.opts().Waker.Wake(f.aor, &b.target.binding, wake.Cause{
		Kind: f.pushKind(), Method: f.method, CallID: f.s.Message().CallID(), Deadline: time.Now().Add(wait),
	}, func(o push.Outcome) {
		q.Post(func() {
			b.outcome(o)
			f.conclude()
		})
	})
	if err != nil {
		b.pushFailed(err.Error())
		return
	}
	b.pushID, b.unpush, b.pushed = id, cancel, time.Now()
	f.p.metrics.toPush.Observe(b.pushed.Sub(f.began).Seconds())
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

// waitFor is how long this request may wait for a device: never beyond what the
// caller is willing to wait (RFC 3261 §20.19).
func (f *fork) waitFor(b *usrloc.Binding) time.Duration {
	d := f.p.opts().wait(f.method, f.inDialog, b)
	if value, ok := f.s.Message().Expires(); ok && f.invite() {
		if s, ok := sipmsg.ParseDeltaSeconds(value); ok && s > 0 {
			d = min(d, time.Duration(s)*time.Second)
		}
	}
	return d
}

// outcome is what the push service made of the push.
func (b *branch) outcome(o push.Outcome) {
	b.unpush = nil
	switch {
	case b.state != parked:
	case o.Class == push.Forbidden:
		// Not the device's failure: a phone that changes networks registers by
		// itself within seconds.
		b.bucket.Stop()
		b.bucket = b.fork.s.Queue().After(b.fork.p.opts().Waits.Silent, b.timedOut)
	case o.Failed():
		// RFC 8599 §5.6.2: the push failed, so this branch fails now.
		b.pushFailed(o.Class.String())
	}
}

// pushFailed ends a branch that can only be reached by the push that failed.
func (b *branch) pushFailed(why string) {
	if b.state != parked {
		return
	}
	b.unpark("push_" + pushResult(why))
	b.finish(b.fork.timeoutFinal("Push Failed"))
}

// pushResult keeps the metric's label to the known outcome classes.
func pushResult(why string) string {
	for c := push.OK; c <= push.Forbidden; c++ {
		if c.String() == why {
			return why
		}
	}
	return "refused"
}

// recheckIn looks for signs of life after d, then at growing intervals until the
// Bucket Timer fires. Under the policy Always only a REGISTER counts.
func (b *branch) recheckIn(d time.Duration) {
	f := b.fork
	if !f.inDialog && f.p.opts().Policy(b.target.binding.Push.Provider, b.target.binding.UserAgent) == Always {
		return
	}
	b.recheck = f.s.Queue().After(d, func() {
		if b.state != parked {
			return
		}
		if f.p.opts().Flows.Alive(b.target.flow, time.Now()) {
			b.wake(b.target.flow)
			f.conclude()
			return
		}
		b.recheckIn(min(2*d, 4*time.Second))
	})
}

// changed is called when the location service says something new of the device.
func (b *branch) changed(c usrloc.Change) {
	switch {
	case c.New == nil:
		// RFC 8599 §5.5: removed or expired; it will not come any more.
		if b.state == parked {
			b.unpark("binding_gone")
			b.finish(b.fork.timeoutFinal("Registration Ended"))
		}
	case c.Cause != usrloc.CauseRegister && c.Cause != usrloc.CauseOtherNode:
		// The record changed, but the phone did not speak.
	case b.state == parked:
		b.target.binding, b.target.uri = *c.New, b.rewrite(c.New)
		b.wake(c.New.Flow)
	case b.state == calling && b.target.reach == race && c.New.Flow != b.target.flow:
		// The phone came back elsewhere and has not been heard of on the old
		// flow: the request follows it, and the old branch counts no more.
		b.client.Abandon()
		b.unpark("moved")
		b.target.reach = forward // once: it does not follow the phone any further
		b.target.binding, b.target.uri, b.target.flow = *c.New, b.rewrite(c.New), c.New.Flow
		b.fork.p.metrics.woken(time.Since(b.pushed))
		b.forward(c.New.Flow)
	}
}

// rewrite returns the Request-URI for the device's new Contact. In a dialog the
// remote target stays what the dialog says (RFC 3261 §12.2.1.1).
func (b *branch) rewrite(n *usrloc.Binding) string {
	if b.fork.inDialog {
		return b.target.uri
	}
	return requestURI(n.Contact)
}

// wake takes the branch out of the bucket and sends it on, together with what
// waits behind it in the same dialog.
func (b *branch) wake(to flow.Flow) {
	if b.line != nil {
		b.line.release(to, &b.target.binding)
		return
	}
	b.wakeAlone(to)
}

func (b *branch) wakeAlone(to flow.Flow) {
	f := b.fork
	since := time.Duration(0)
	if !b.pushed.IsZero() {
		since = time.Since(b.pushed)
		f.p.metrics.woken(since)
	}
	b.unpark("")
	b.target.flow, b.target.reach = to, forward
	f.p.emit(f.s.Message(), event.Call{Step: "woken", AOR: string(f.aor), Binding: b.id(), PushID: b.pushID, Flow: to, Elapsed: since})
	b.forward(to)
}

// overtake is the race policy's second step: no provisional answer came on the
// live flow, so the phone may be asleep behind it.
func (b *branch) overtake() {
	if b.state != calling || b.fork.closed || b.fork.cancelled {
		return
	}
	b.push(b.fork.waitFor(&b.target.binding))
}

// timedOut is the Bucket Timer.
func (b *branch) timedOut() {
	if b.state != parked {
		return
	}
	b.unpark("timed_out")
	b.fork.p.emit(b.fork.s.Message(), event.Call{Step: "timed_out", AOR: string(b.fork.aor), Binding: b.id(), PushID: b.pushID, Elapsed: time.Since(b.fork.began)})
	b.finish(b.fork.timeoutFinal("Device Did Not Wake"))
	b.fork.conclude()
}

// timeoutFinal is the answer for a device that did not come. Outside a dialog
// 480 (RFC 8599 §5.6.2). Inside one 480 would end the dialog's usage (RFC 5057
// §5.1), so it is 500 with Retry-After, which concerns this request alone.
func (f *fork) timeoutFinal(why string) final {
	if f.inDialog {
		return final{code: 500, reason: why}
	}
	return final{code: 480, reason: why}
}

// unpark ends what waits for the branch: timers, push, its place in the line.
// result is counted, unless empty.
func (b *branch) unpark(result string) {
	for _, t := range [...]*transaction.Timer{b.bucket, b.recheck, b.delay} {
		if t != nil {
			t.Stop()
		}
	}
	b.bucket, b.recheck, b.delay = nil, nil, nil
	if b.unpush != nil {
		b.unpush()
		b.unpush = nil
	}
	if b.state != parked {
		return
	}
	b.state = idle
	b.leaveLine()
	b.fork.p.bucket.leave(b.fork.aor)
	b.fork.p.metrics.parked.Dec()
	if result != "" {
		b.fork.p.metrics.wakes.WithLabelValues(result).Inc()
	}
}

// stop cancels a branch that is no longer wanted.
func (b *branch) stop(reason string) {
	switch b.state {
	case ended:
	case idle, parked:
		b.unpark("cancelled")
		b.finish(final{code: 487})
	default:
		b.unpark("")
		if b.fork.invite() {
			var h []sipmsg.HeaderField
			if reason != "" {
				h = []sipmsg.HeaderField{{Name: "Reason", Value: reason}}
			}
			b.client.Cancel(h...)
		}
	}
}

// finish ends the branch. The caller concludes the fork.
func (b *branch) finish(end final) {
	if b.state == ended {
		return
	}
	b.unpark("")
	b.state = ended
	b.fork.finished(b, end)
}

// Response implements transaction.ClientUser.
func (b *branch) Response(c *transaction.Client, m *sipmsg.Message) {
	f, code := b.fork, m.Status()
	if c != b.client {
		// An abandoned client: only a 2xx of it counts, for somebody has taken
		// the call and only the caller can end it.
		if code/100 == 2 && f.invite() {
			f.success(b, m)
		}
		return
	}
	switch {
	case code < 200:
		if b.state == calling {
			// The device is awake: no second branch, no push for it any more.
			b.state = answered
			b.unpark("")
		}
		// RFC 3261 §16.7 step 4: 100 ends here; RFC 4320 §4.1: nothing
		// provisional goes upstream for other methods.
		if code > 100 && f.invite() && !f.closed {
			f.relay(m)
		}
	case code < 300:
		b.state = ended
		b.unpark("")
		f.success(b, m)
	default:
		b.finish(final{code: code, message: m})
		f.conclude()
	}
}

// Failed implements transaction.ClientUser.
func (b *branch) Failed(c *transaction.Client, err error) {
	if c != b.client || b.state == ended {
		return
	}
	f := b.fork
	if errors.Is(err, transaction.ErrTransport) && b.state != answered && !b.lost && f.canWake(&b.target.binding) {
		// The connection broke under the request before the phone showed that
		// it had it: the phone sleeps, and is woken like any other.
		b.unpark("")
		b.client, b.lost = nil, true
		b.park()
		f.conclude()
		return
	}
	end := final{code: 408, reason: "No Answer From Device"}
	if errors.Is(err, transaction.ErrTransport) {
		// RFC 3261 §16.9: as if the branch had answered 503.
		end = final{code: 503, reason: "Device Connection Lost"}
	}
	if !b.target.binding.ID.IsZero() {
		// A device that cannot be reached is not available; that says nothing
		// of this server.
		end = f.timeoutFinal(end.reason)
	}
	b.finish(end)
	f.conclude()
}
