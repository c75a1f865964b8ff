package registrar

import (
	"context"
	"slices"
	"time"

	"reveille/internal/wake"
	"reveille/usrloc"
)

// This file is about dormant devices: their registration has ended, for nobody
// refreshed it, and they are woken all the same, now and then. RFC 8599 §5.5 says
// that they must not be, so it has to be asked for. A device that took its binding
// away has none any more.

// SetWakeDormant replaces WakeDormant for what falls due from now on. It may be
// called while Run runs.
func (r *Refresher) SetWakeDormant(every time.Duration) { r.wakeDormant.Store(int64(max(every, 0))) }

// keeps reports whether b is kept when it ends.
func (r *Refresher) keeps(b *usrloc.Binding) bool {
	return r.wakeDormant.Load() > 0 && b.RetainUntil.After(b.Expires)
}

// sleepOn takes care of a binding that has ended: the first time it becomes a
// dormant one, later its device is woken. When the next wake is due stands in the
// Record, so that a restart wakes nobody before its time.
func (r *Refresher) sleepOn(ctx context.Context, due usrloc.Due, now time.Time) {
	every := time.Duration(r.wakeDormant.Load())
	if every == 0 {
		r.o.Store.Done(due, time.Time{})
		return
	}
	next := now.Add(r.spread(every))
	set := func(rec usrloc.Record) (usrloc.Record, error) {
		b := rec.Find(due.ID)
		if b == nil || !b.Expired(now) || b.RefreshAt.IsZero() || b.RefreshAt.After(now) {
			// It came back, or lost its token, meanwhile.
			return rec, nil
		}
		rec.Bindings, rec.Cause = slices.Clone(rec.Bindings), usrloc.CauseExpiry
		b = rec.Find(due.ID)
		if b.RefreshAt = next; !next.Before(b.RetainUntil) || !wake.Refreshable(b.Push) {
			// Calls alone may wake it from now on.
			b.RefreshAt = time.Time{}
		}
		return rec, nil
	}
	// A commit that began goes on when we stop.
	r.o.Store.Update(context.WithoutCancel(ctx), due.AOR, set, func(rec usrloc.Record, changes []usrloc.Change, err error) {
		if err != nil {
			// The claim lapses and the timer is due again.
			r.warn(ctx, "keep dormant binding", due.AOR, err)
			return
		}
		r.tell(changes)
		if b := rec.Find(due.ID); b != nil {
			// Nothing, if the binding has changed.
			r.o.Store.Done(due, b.RefreshAt)
		}
		for i := range changes {
			switch c := &changes[i]; {
			case c.New == nil || c.New.ID != due.ID:
			case fellAsleep(c):
				// It was pushed to until this moment.
				r.metrics.dormant.Inc()
			default:
				r.wakeUp(ctx, due, now)
			}
		}
	})
}

// fellAsleep reports whether a change made a binding a dormant one.
func fellAsleep(c *usrloc.Change) bool {
	return c.Kind == usrloc.Updated && c.Cause == usrloc.CauseExpiry && !c.Old.RefreshAt.After(c.Old.Expires)
}

// wakeUp pushes to a dormant device, once.
func (r *Refresher) wakeUp(ctx context.Context, due usrloc.Due, now time.Time) {
	a := r.begin(due.ID)
	if a == nil {
		// Too many are under way; its next time comes.
		r.metrics.pushes.WithLabelValues("deferred").Inc()
		return
	}
	rec, unwatch, err := r.o.Store.Watch(ctx, due.AOR, now.Add(pushFor), a.changed)
	if err != nil {
		a.end()
		if ctx.Err() == nil {
			r.warn(ctx, "read dormant binding", due.AOR, err)
		}
		return
	}
	a.onEnd(unwatch)
	b := rec.Find(due.ID)
	if b == nil || !b.Expired(now) || b.Push.IsZero() {
		a.end()
		return
	}
	r.push(due.AOR, b, a, now.Add(pushFor))
}
