package timeline

import (
	"time"

	"reveille/internal/event"
)

// The classes of pushes that decide something here, and the reason of one that nobody
// waited for. A test holds them to those of the push package.
const (
	classOK        = "ok"
	classGone      = "gone"
	classForbidden = "forbidden"
	reasonCanceled = "Canceled"
	reasonTimeout  = "Timeout"
)

// requested notes that a push was asked for.
func (r *record) requested(e *event.PushRequested, now time.Time) {
	i := r.device(e.Binding)
	r.add(now, step{kind: StepPush, device: int8(i)})
	if i < 0 {
		return
	}
	d := &r.Devices[i]
	if d.Asked.IsZero() {
		r.shard.hour.at(now).asked++
		r.shard.t.metrics.asked.Inc()
	}
	d.Asked, d.PushID, d.Provider = now.UTC(), e.PushID, event.Text(e.Provider)
	d.UsualMS, d.SpreadMS = milliseconds(e.Usual), milliseconds(e.Spread)
	d.Class, d.Reason, d.Status, d.Taken, d.SentAs = "", "", 0, time.Time{}, ""
	d.App, d.Expired = "", time.Time{}
	if !e.Deadline.IsZero() {
		d.Deadline = e.Deadline.UTC()
	}
	r.standing()
}

// outcome notes what became of a push, maybe after the request has ended.
func (r *record) outcome(e *event.PushOutcome, now time.Time) {
	i := r.device(e.Binding)
	for n, t := range e.Tries {
		at := t.Began.Add(t.Took)
		if at.Before(r.Began) {
			continue // It is that of another request, which this one joined.
		}
		r.add(at, step{
			kind: StepAttempt, device: int8(i), attempt: int8(n + 1), status: int16(t.Status), class: t.Class, reason: event.Text(t.Reason), took: t.Took,
		})
	}
	last := len(e.Tries) - 1
	if last < 0 || e.SentAs != "" || e.Tries[last].Class != e.Class {
		r.add(now, step{kind: StepPushOutcome, device: int8(i), status: int16(e.Status), class: e.Class, reason: event.Text(e.Reason)})
	}
	if i < 0 {
		return
	}
	d := &r.Devices[i]
	if e.PushID != d.PushID && d.PushID != "" && e.PushID != "" {
		return // It was pushed to again since.
	}
	d.Class, d.Status, d.Reason, d.Proven, d.Attempts, d.SentAs = e.Class, e.Status, event.Text(e.Reason), e.Proven, e.Attempts, e.SentAs
	d.App, d.Expired = e.ExpiredApp, e.Expired
	switch {
	case e.Class == classOK:
		d.Taken = now.UTC()
		if last >= 0 {
			d.Taken = e.Tries[last].Began.Add(e.Tries[last].Took).UTC()
		}
	case e.Class == classForbidden:
	case e.Reason == reasonCanceled:
		r.resolve(i, FailedCancelled)
	default:
		r.resolve(i, e.Class)
	}
	r.standing()
}

// reported notes what a push system of the operator's own says of a push.
func (t *Timeline) reported(e *event.PushReported) {
	now := time.Now()
	t.each(e.AOR, now, func(r *record) {
		i := r.device(e.Binding)
		if i < 0 || e.PushID != "" && e.PushID != r.Devices[i].PushID && e.PushID != r.Devices[i].SentAs {
			return
		}
		r.add(now, step{kind: StepReport, device: int8(i), class: event.Text(e.Result), reason: event.Text(e.Reason)})
	})
}
