package wake

import (
	"math"
	"time"

	"reveille/usrloc"
)

// A Habit is what was learned of how a device wakes, from the pushes for requests
// that waited for it. It lives in memory: after a restart nothing is known.
type Habit struct {
	// Average is the smoothed time from a push to the REGISTER that followed, and
	// Spread its mean deviation; zero if the device never woke.
	Average, Spread time.Duration
	// LastWake is when it last woke, zero if never.
	LastWake time.Time
	// Wakes and Failures count pushes that the push service took, by whether the
	// device came while somebody waited.
	Wakes, Failures int
	// InRow counts the failures since it last woke, the first of which was at
	// FailingSince.
	InRow        int
	FailingSince time.Time
}

// Learning says when a device is not waited for as long as others. The zero value
// waits for all alike.
type Learning struct {
	// Failures is how many pushes in a row must have failed, the first of them at
	// least After ago; 0: nobody is waited for less.
	Failures int
	After    time.Duration
	// Least is the shortest wait.
	Least time.Duration
}

// Bounds of what is remembered.
const (
	// maxDevices bounds the devices of each table: together about 20 MB when full. Of
	// those beyond it everything is learned anew.
	maxDevices = 1 << 17
	// together is how close to each other wakes, or failures, are one: of calls that
	// waited for the same push.
	together = 10 * time.Second
)

// A habit is a Habit as it is kept: times in Unix seconds, 0 for never, durations
// in milliseconds.
type habit struct {
	average, spread                     uint32
	wakes, failures, inRow              uint32
	lastWake, failingSince, lastFailure uint32
	asked                               uint32 // a push without a request was taken, and nothing came yet
}

// woke learns that a device came so long after a push. The smoothing is that of
// round-trip times in TCP (RFC 6298 §2): it forgets a change of network soon
// enough, and one late wake is no habit.
func (h *habit) woke(took time.Duration, now time.Time) {
	at := seconds(now)
	h.inRow, h.failingSince = 0, 0
	if h.lastWake != 0 && at-h.lastWake < uint32(together/time.Second) {
		return
	}
	ms := uint32(min(max(took.Milliseconds(), 1), math.MaxInt32))
	if h.average == 0 {
		h.average, h.spread = ms, ms/2
	} else {
		off := int64(ms) - int64(h.average)
		h.spread = uint32(int64(h.spread) + (max(off, -off)-int64(h.spread))/4)
		h.average = uint32(int64(h.average) + off/8)
	}
	h.wakes++
	h.lastWake = at
}

// slept learns that a device, which registered last at updated, did not come.
func (h *habit) slept(updated, now time.Time) {
	at := seconds(now)
	if updated.After(h.failing()) {
		// It came by itself since; what was before is no habit.
		h.inRow = 0
	}
	if h.lastFailure != 0 && at-h.lastFailure < uint32(together/time.Second) {
		return
	}
	h.failures++
	h.inRow++
	h.lastFailure = at
	if h.inRow == 1 {
		h.failingSince = at
	}
}

// failing is when the first failure in the row was.
func (h *habit) failing() time.Time { return time.Unix(int64(h.failingSince), 0) }

// patience returns how much of wait is worth waiting for a device that registered
// last at updated.
func (h *habit) patience(l Learning, wait time.Duration, updated, now time.Time) time.Duration {
	since := h.failing()
	if l.Failures <= 0 || int(h.inRow) < l.Failures || now.Sub(since) < l.After || updated.After(since) {
		return wait
	}
	// As long as nearly every wake took that it was seen to make.
	usual := time.Duration(h.average+4*h.spread) * time.Millisecond
	return min(wait, max(l.Least, usual))
}

// habit returns the exported form.
func (h *habit) habit() Habit {
	at := func(s uint32) time.Time {
		if s == 0 {
			return time.Time{}
		}
		return time.Unix(int64(s), 0).UTC()
	}
	return Habit{
		Average: time.Duration(h.average) * time.Millisecond, Spread: time.Duration(h.spread) * time.Millisecond,
		LastWake: at(h.lastWake), Wakes: int(h.wakes), Failures: int(h.failures), InRow: int(h.inRow), FailingSince: at(h.failingSince),
	}
}

// Woke tells that the device of a binding has registered, so long after a push.
func (w *Waker) Woke(id usrloc.BindingID, took time.Duration) {
	now := time.Now()
	w.habits.change(id, now, func(h *habit) { h.woke(took, now) })
}

// Slept tells that the device of b did not register while somebody waited for it,
// although the push service had taken the push.
func (w *Waker) Slept(b *usrloc.Binding) {
	now := time.Now()
	w.habits.change(b.ID, now, func(h *habit) { h.slept(b.Updated, now) })
}

// askedDormant is called before a dormant device is pushed to for no request. That
// it is still dormant says that the last such push did not wake it.
func (w *Waker) askedDormant(b *usrloc.Binding, now time.Time) {
	w.habits.change(b.ID, now, func(h *habit) {
		if h.asked != 0 && !b.Updated.After(time.Unix(int64(h.asked), 0)) {
			h.slept(b.Updated, now)
		}
		h.asked = 0
	})
}

// dormantAsked is called when the push service took such a push.
func (w *Waker) dormantAsked(b *usrloc.Binding, now time.Time) {
	w.habits.change(b.ID, now, func(h *habit) { h.asked = seconds(now) })
}

// Patience returns how long to wait for the device of b if nothing were known of
// it for wait: less for one that has not woken for long, so that the caller goes on
// to whoever is next.
func (w *Waker) Patience(b *usrloc.Binding, wait time.Duration) time.Duration {
	h, known := w.habits.get(b.ID)
	if !known {
		return wait
	}
	d := h.patience(w.settings.Load().Learning, wait, b.Updated, time.Now())
	if d < wait {
		w.metrics.shortened.Inc()
	}
	return d
}

// Habit returns what was learned of the device of a binding; ok is false if that
// is nothing.
func (w *Waker) Habit(id usrloc.BindingID) (h Habit, ok bool) {
	one, known := w.habits.get(id)
	if !known || one.wakes == 0 && one.failures == 0 {
		return Habit{}, false
	}
	return one.habit(), true
}
