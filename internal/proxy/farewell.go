package proxy

import (
	"context"
	"strings"
	"time"

	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
	"reveille/internal/wake"
	"reveille/push"
	"reveille/usrloc"
)

// FarewellMode says what a phone hears that was pushed for a call which ended before
// it woke.
type FarewellMode uint8

const (
	// NoFarewell tells it nothing: the app finds no call when it has registered.
	NoFarewell FarewellMode = iota
	// FarewellBranch makes a call that is cancelled at once, if the phone registers soon.
	// iOS has an app show a call for each VoIP push; so it learns which it was, and
	// why it ended.
	FarewellBranch
	// FarewellPush sends a push that says that the call has ended.
	FarewellPush
)

// ParseFarewellMode reads its name.
func ParseFarewellMode(s string) (FarewellMode, bool) {
	switch s {
	case "none":
		return NoFarewell, true
	case "branch":
		return FarewellBranch, true
	case "push":
		return FarewellPush, true
	}
	return 0, false
}

// farewellWait is how long a phone has to wake after its call has ended. Push services
// were seen to deliver half a minute late.
const farewellWait = 30 * time.Second

// A farewell is what is left of a branch whose device was pushed and did not wake
// while there was a call. It is no part of the fork: nothing of it goes to the caller.
// It lives on the queue of the call.
type farewell struct {
	b *branch
	// why goes into CANCEL and BYE.
	why []sipmsg.HeaderField
	// back is the binding with which the device came back; nil: not yet.
	back    *usrloc.Binding
	call    *detachedCall // nil: not sent yet
	timer   *transaction.Timer
	unwatch func()
	over    bool
}

// part takes leave of b's device, if it was pushed for this call and has not heard of
// it. The fork is over, as far as b is concerned.
func (f *fork) part(b *branch) {
	o := f.p.opts()
	if o.Farewell == NoFarewell || b.farewell != nil || f.p.stopping.Load() || !f.pushedInVain(b) {
		return
	}
	if f.p.farewells.Add(1) > int64(o.MaxFarewells) {
		f.p.farewells.Add(-1)
		f.p.metrics.farewells.WithLabelValues("full").Inc()
		return
	}
	f.p.metrics.farewellsOpen.Inc()
	w := &farewell{b: b, why: f.why}
	b.farewell = w
	f.lane.farewells[w] = struct{}{}
	w.timer = f.s.Queue().After(farewellWait, func() { w.finish("asleep") })
	if o.Farewell == FarewellBranch {
		w.watch()
	}
	w.settle()
}

// pushedInVain reports whether b's device was pushed for a call, may have got the
// push, and has not shown that it got the call.
func (f *fork) pushedInVain(b *branch) bool {
	if !f.invite() || f.inDialog || b.wait.pushed.IsZero() || b.wait.known && !b.wait.taken {
		return false
	}
	if b.client != nil && (b.target.reach != race || heard(b)) {
		// It has the call where it is, and hears there that it has ended.
		return false
	}
	for _, other := range f.branches {
		// It came back after it had been given up, and was called then.
		if other != b && other.client != nil && other.is(b.target.binding) {
			return false
		}
	}
	return true
}

// heard reports whether a device has shown that the request reached it.
func heard(b *branch) bool { return b.client != nil && (b.client.Provisional() || b.client.Done()) }

// ending is how the call ended, in the words of payloads.
func (w *farewell) ending() string {
	for _, h := range w.why {
		// RFC 3326 §2: SIP;cause=200.
		if protocol, params, _ := strings.Cut(h.Value, ";"); strings.EqualFold(strings.TrimSpace(protocol), "SIP") {
			if cause, _ := sipmsg.Params(";" + params).Get("cause"); cause == "200" {
				return "answered_elsewhere"
			}
		}
	}
	switch {
	case w.b.fork.cancelled:
		return "cancelled"
	case w.b.fork.best.code >= 600:
		return "declined"
	}
	return "missed"
}

// settled notes what became of the n-th push of b.
func (b *branch) settled(n int32, o push.Outcome) {
	if n != b.wait.pushes {
		return
	}
	b.wait.known, b.wait.taken = true, o.Class == push.OK
	if o.PushID != "" {
		// It may be the push of another request: the app has its identifier.
		b.wait.pushID = o.PushID
	}
	if b.farewell != nil {
		b.farewell.settle()
	}
}

// settle goes on as far as what is known allows.
func (w *farewell) settle() {
	wait := &w.b.wait
	switch {
	case w.over || w.call != nil || !wait.known:
		// An attempt that is under way may still succeed.
	case !wait.taken:
		// It was taken back before it left, or came to nothing.
		w.finish("not_pushed")
	case w.b.fork.p.opts().Farewell == FarewellPush:
		w.push()
	case w.back != nil:
		w.send()
	}
}

// watch waits for the device to register.
func (w *farewell) watch() {
	b := w.b
	q := b.fork.s.Queue()
	rec, cancel, err := b.fork.p.opts().Store.Watch(context.Background(), b.user(), time.Now().Add(farewellWait), func(c usrloc.Change) {
		tell := func() { q.Post(func() { w.changed(c) }) }
		if c.New == nil {
			tell()
			return
		}
		// Behind the 200 to its REGISTER; see fork.watch.
		q.Other(c.New.CallID).Post(tell)
	})
	if err != nil {
		w.finish("failed")
		return
	}
	w.unwatch = cancel
	for i := range rec.Bindings {
		// It may have come while the call ended.
		if n := &rec.Bindings[i]; b.is(n) && n.Updated.After(b.target.binding.Updated) {
			w.back = n
		}
	}
}

func (w *farewell) changed(c usrloc.Change) {
	b := w.b
	switch {
	case w.over || w.call != nil:
	case c.New == nil && c.Old.ID == b.target.binding.ID:
		w.finish("gone")
	case c.New != nil && b.is(c.New) && (c.Cause == usrloc.CauseRegister || c.Cause == usrloc.CauseOtherNode):
		w.back = c.New
		w.settle()
	}
}

// push says by a push that the call has ended.
func (w *farewell) push() {
	b := w.b
	m := b.fork.s.Message()
	_, _, err := b.fork.p.opts().Waker.Wake(b.user(), b.target.binding, wake.Cause{
		Kind: push.Cancel, Method: m.Method(), CallID: m.CallID(), Deadline: time.Now().Add(farewellWait), End: w.ending(),
	}, func(push.Outcome) {})
	if err != nil {
		w.finish("failed")
		return
	}
	w.finish("pushed")
}

// send calls the device and hangs up.
func (w *farewell) send() {
	b := w.b
	if heard(b) {
		// The first attempt got there after all.
		w.finish("reached")
		return
	}
	to := contactFlow(w.back)
	if b.fork.barred(to.Transport) {
		w.finish("failed")
		return
	}
	if b.client != nil {
		// What is out on the flow that it has left is not sent any more.
		b.client.Hush()
	}
	b.become(w.back)
	w.timer.Stop()
	w.leave()
	w.call = &detachedCall{queue: b.fork.s.Queue(), flow: to, proxy: b.fork.p, why: w.why, done: w.finish}
	w.call.start(b.fork.s.Message(), b.outgoing(to))
}

// leave waits for no REGISTER any more.
func (w *farewell) leave() {
	if w.unwatch != nil {
		w.unwatch()
		w.unwatch = nil
	}
}

// finish ends the farewell; result is counted once.
func (w *farewell) finish(result string) {
	if w.over {
		return
	}
	w.over = true
	w.timer.Stop()
	w.leave()
	p := w.b.fork.p
	delete(w.b.fork.lane.farewells, w)
	p.farewells.Add(-1)
	p.metrics.farewellsOpen.Dec()
	p.metrics.farewells.WithLabelValues(result).Inc()
}
