package registrar

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/wake"
	"reveille/usrloc"
)

// accepted tells what an accepted REGISTER did.
func (r *Registrar) accepted(in *Input, res *Result, changes []usrloc.Change) {
	r.metrics.accepted(res, changes)
	for i := range changes {
		c := &changes[i]
		r.changed(c)
		if c.New != nil && slices.Contains(res.CallsOnly, c.New.ID) && (c.Old == nil || c.Old.Push != c.New.Push) {
			// Nothing of ours keeps this binding alive: somebody has to open the
			// app, or it gives a token for other pushes, or asks for a lifetime
			// that lasts.
			r.metrics.callsOnly.Inc()
			r.log.LogAttrs(context.Background(), slog.LevelWarn, "device can be woken for calls alone, and its registration ends soon",
				slog.String("aor", string(in.AOR)), slog.String("binding", c.New.ID.String()),
				slog.String("provider", c.New.Push.Provider), slog.Duration("expires", c.New.Expires.Sub(in.Now)))
		}
	}
}

// changed tells one change of a binding.
func (r *Registrar) changed(c *usrloc.Change) { r.movedTo(c, "") }

// movedTo is changed for a binding whose push token another user has now, if that is
// not empty.
func (r *Registrar) movedTo(c *usrloc.Change, user usrloc.AOR) {
	r.metrics.changed(c)
	r.tell(c, user)
	r.holdFor(c)
}

// holdFor has connections live as long as the bindings that are reached by them
// alone.
func (r *Registrar) holdFor(c *usrloc.Change) {
	before, after := connectionOf(c.Old), connectionOf(c.New)
	if before != after && !before.IsZero() {
		r.hold(before, c.Old.ID, time.Time{})
	}
	if !after.IsZero() {
		r.hold(after, c.New.ID, c.New.Expires)
	}
}

// connectionOf is the connection without which nobody reaches the device of b; zero
// if there is none.
func connectionOf(b *usrloc.Binding) flow.Flow {
	if b == nil || !b.Flow.Stream() || !b.Push.IsZero() {
		return flow.Flow{}
	}
	return b.Flow
}

// tell emits the event of c, if anybody hears it: to make it takes as long as to
// answer.
func (r *Registrar) tell(c *usrloc.Change, movedTo usrloc.AOR) {
	sample := r.updated
	if actionOf(c) == actionRefreshed {
		sample = r.refreshed
	}
	if event.Heard(r.sink, sample) {
		e := registrationEvent(c)
		if c.Cause == usrloc.CauseTokenMoved {
			e.MovedTo = string(movedTo)
		}
		r.sink.Emit(e)
	}
}

// refused tells that a REGISTER was not accepted.
func (r *Registrar) refused(in *Input, refusal *Refusal) {
	r.metrics.refused(refusal.Code)
	e := event.Registration{
		Action: "refused", Cause: usrloc.CauseRegister.String(), AOR: string(in.AOR),
		CallID: event.Text(in.CallID), Flow: in.Flow, Status: refusal.Code, Reason: refusal.Reason,
	}
	if len(in.Contacts) > 0 {
		c := &in.Contacts[0]
		e.Param, e.Wakeable, e.CSeq, e.UserAgent = event.Text(c.Push.Param), !c.Push.IsZero(), in.CSeq, event.Text(in.UserAgent)
		e.Contact, e.Instance, e.Provider = event.Text(wake.WithoutPush(c.URI, c.Push.PRID)), event.Text(c.Instance), event.Text(c.Push.Provider)
	}
	r.sink.Emit(e)
}

// registrationEvent is the event of one change of a binding.
func registrationEvent(c *usrloc.Change) event.Registration {
	return wake.Registration(c, actionOf(c))
}

// actionOf is the name of what happened to a binding.
func actionOf(c *usrloc.Change) string {
	switch {
	case c.Kind != usrloc.Updated:
	case c.Cause == usrloc.CauseExpiry:
		return actionDormant
	case c.Cause == usrloc.CauseRegister && c.Old.Expired(c.New.Updated):
		// It had ended, and begins anew with the same binding.
		return usrloc.Created.String()
	case sameButTime(c.Old, c.New):
		return actionRefreshed
	}
	return c.Kind.String()
}

const (
	// actionRefreshed is an update that changed nothing but times.
	actionRefreshed = "refreshed"
	// actionDormant is the end of a registration whose device may still be woken.
	actionDormant = "dormant"
)

// sameButTime reports whether a REGISTER changed nothing but times, Call-ID and
// CSeq.
func sameButTime(a, b *usrloc.Binding) bool {
	return a.Contact == b.Contact && a.Params == b.Params && a.Q == b.Q && a.Flow == b.Flow &&
		slices.Equal(a.Path, b.Path) && a.Received == b.Received && a.UserAgent == b.UserAgent && a.Methods == b.Methods &&
		a.Instance == b.Instance && a.RegID == b.RegID && a.Attributes == b.Attributes && a.Push == b.Push
}
