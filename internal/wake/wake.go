// Package wake asks a device to wake: it builds the push request for a binding,
// hands it to the push dispatcher, tells the events what became of it, and
// brings the push service's word about a dead token home to the location
// service (RFC 8599 §5.5: no push to a PRID that is known to be of no use).
//
// Both the proxy, for requests that wait, and the refresher, for bindings that
// are about to expire, call it. It does not decide who is woken or who waits.
package wake

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/internal/event"
	"reveille/push"
	"reveille/usrloc"
)

// Dispatcher takes push requests; *push.Dispatcher implements it.
type Dispatcher interface {
	Supports(push.Params) bool
	Submit(r *push.Request, done func(push.Outcome)) (cancel func(), err error)
	Forget(r *push.Request)
}

// A Cause says why a device is woken.
type Cause struct {
	Kind push.Kind
	// Method and CallID are those of the request that waits; empty for a refresh.
	Method, CallID string
	// Deadline is when the wake is of no more use.
	Deadline time.Time
	// Caller is who sent the request, as far as a payload may say so; it may be zero.
	Caller Caller
	// Request is the number of the request that waits, for events; 0: none does.
	Request uint64
	// End is how the call ended, for push.Cancel: "answered_elsewhere", "cancelled",
	// "declined" or "missed".
	End string
}

// Waker is safe for concurrent use.
type Waker struct {
	dispatcher Dispatcher
	store      usrloc.Store
	sink       event.Sink
	log        *slog.Logger
	metrics    *metrics
	dead       *deadSet
	habits     *table[habit]
	refreshes  *table[hourly]
	suspects   suspects
	taken      takenPushes
	settings   atomic.Pointer[Settings]
}

// Errors of Wake, besides those of push.
var (
	// ErrDead: the push service declared the device's token dead.
	ErrDead = errors.New("wake: push token is dead")
	// ErrTooOften: the device had its refresh pushes of this hour.
	ErrTooOften = errors.New("wake: too many refresh pushes")
)

// Options configure a Waker. Dispatcher and Store are required.
type Options struct {
	Dispatcher Dispatcher
	// Store is where dead tokens are dropped.
	Store usrloc.Store
	// Sink takes the events; nil drops them.
	Sink event.Sink
	// Logger takes what is no event; nil drops it.
	Logger *slog.Logger
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
}

// New returns a Waker with the zero Settings.
func New(o Options) *Waker {
	if o.Sink == nil {
		o.Sink = event.Discard{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	w := &Waker{dispatcher: o.Dispatcher, store: o.Store, sink: o.Sink, log: o.Logger, dead: newDeadSet(maxDead)}
	w.habits, w.refreshes = newTable[habit](maxDevices), newTable[hourly](maxDevices)
	w.metrics = newMetrics(o.Registerer, w.habits, &w.taken)
	w.Set(Settings{})
	return w
}

// Can reports whether b carries what is needed to wake its device and some
// credential of ours may push to it.
func (w *Waker) Can(b *usrloc.Binding) bool {
	if b.Push.IsZero() {
		return false
	}
	d, err := w.device(b)
	return err == nil && w.dispatcher.Supports(d.params)
}

// Wake asks the device of binding b, registered under aor, to wake. done runs
// exactly once, never before Wake returns, unless Wake returned an error: then
// nothing was sent. A push that was taken may turn out to have failed before its
// deadline (see Report): then done runs once more, for requests that wait. cancel
// drops what is not yet sent. The push identifier is
// that of the push service's payload: that of an earlier push if this one joined it.
func (w *Waker) Wake(aor usrloc.AOR, b *usrloc.Binding, c Cause, done func(push.Outcome)) (pushID string, cancel func(), err error) {
	d, err := w.device(b)
	if err != nil {
		return "", nil, fmt.Errorf("wake %s: %w", aor, err)
	}
	if !w.mayPush(b.ID, c.Kind) {
		return "", nil, fmt.Errorf("wake %s: %w", aor, ErrTooOften)
	}
	r := &push.Request{
		Binding: b.ID, AOR: string(aor), Params: d.params, Tokens: w.tokensFor(c.Kind, &d), Keys: subscriptionKeys(b),
		Kind: c.Kind, Method: c.Method, CallID: c.CallID, PushID: rand.Text(),
		Deadline: c.Deadline, BoundAt: b.Updated, Data: data(c, b),
	}
	id, began := b.ID, time.Now()
	dormant := c.Kind == push.Refresh && b.Expired(began)
	if dormant {
		w.askedDormant(b, began)
	}
	requested := event.PushRequested{
		PushID: r.PushID, AOR: r.AOR, Binding: id.String(), Provider: d.params.Provider, Param: d.params.Param, PushKind: c.Kind.String(),
		Method: c.Method, CallID: event.Text(c.CallID), Deadline: c.Deadline, Request: c.Request,
	}
	if h, known := w.Habit(id); known && c.Request != 0 {
		requested.Usual, requested.Spread = h.Average, h.Spread
	}
	w.sink.Emit(requested)
	report := func(o push.Outcome) {
		sentAs := o.PushID
		if sentAs == r.PushID {
			sentAs = ""
		}
		w.sink.Emit(event.PushOutcome{
			PushID: r.PushID, SentAs: sentAs, AOR: r.AOR, Binding: id.String(), Provider: d.params.Provider, PushKind: c.Kind.String(),
			Class: o.Class.String(), Reason: o.Reason, Status: o.Status, Attempts: o.Attempts,
			Latency: time.Since(began), Err: o.Err, Request: c.Request, CallID: requested.CallID, Proven: o.Proven, Tries: tries(o.Tries),
			ExpiredApp: o.Expired.App, Expired: o.Expired.At,
		})
	}
	// A push system may report before it is known here that it took the push.
	p := &takenPush{aor: aor, request: r, at: began, done: done}
	w.taken.ask(p)
	cancel, err = w.dispatcher.Submit(r, func(o push.Outcome) {
		report(o)
		w.judge(aor, r, o)
		if dormant && o.Class == push.OK {
			w.dormantAsked(b, began)
		}
		done(o)
		if early := w.taken.answered(p, o.Class == push.OK, time.Now()); early != nil {
			w.report(p, *early, time.Now())
		}
	})
	if err != nil {
		w.taken.answered(p, false, began)
		report(push.Outcome{Class: push.Shed, Reason: NotSent(err), Err: err})
		return "", nil, fmt.Errorf("wake %s: %w", aor, err)
	}
	// The app may be back before it is known what became of the push.
	return cmp.Or(r.SentAs, r.PushID), cancel, nil
}

// judge brings an outcome that speaks of the token home: one that is dead is
// forgotten. Suspect says so only if the push service took a push of the same
// credential lately.
func (w *Waker) judge(aor usrloc.AOR, r *push.Request, o push.Outcome) {
	switch {
	case o.Class == push.Suspect && !o.Proven:
		w.kept(r.Params, o)
		return
	case o.Class != push.Gone && o.Class != push.Suspect, !speaksOf(o, r.BoundAt):
		return
	}
	if t, ok := r.Token(); ok {
		token := tokenOf(r.Params, t.PRID)
		w.dead.add(token, time.Now())
		w.metrics.dropped.WithLabelValues(o.Class.String()).Inc()
		w.forget(aor, token, o)
	}
}

// speaksOf reports whether a Gone outcome speaks of the token as it was registered
// at boundAt. APNs says since when a token is gone; if the device registered it
// again later, the word is out of date.
func speaksOf(o push.Outcome, boundAt time.Time) bool {
	return o.GoneSince.IsZero() || o.GoneSince.After(boundAt)
}

// forget takes the dead token out of every binding of the user that carries it:
// they are one app. The other token of a device with two stays. With none left the
// provider's name stays: a binding with a provider and no PRID is a phone that can
// be reached only while its flow lives.
func (w *Waker) forget(aor usrloc.AOR, token usrloc.Push, o push.Outcome) {
	drop := func(rec usrloc.Record) (usrloc.Record, error) {
		var bindings []usrloc.Binding
		for i := range rec.Bindings {
			b := &rec.Bindings[i]
			left, carried := without(b.Push, token)
			if !carried || !speaksOf(o, b.Updated) {
				// It registered with another token, or this one anew, meanwhile.
				continue
			}
			if bindings == nil {
				bindings = slices.Clone(rec.Bindings)
			}
			bindings[i].Push = left
			switch ended := b.RefreshAt.After(b.Expires); {
			case left.IsZero():
				// Nothing can wake it when it has ended.
				bindings[i].RefreshAt, bindings[i].RetainUntil = time.Time{}, b.Expires
			case Refreshable(left):
			case !ended && !b.RefreshAt.IsZero() && b.RetainUntil.After(b.Expires):
				// Calls alone wake it; that it has ended is to be told all the same.
				bindings[i].RefreshAt = b.Expires
			default:
				bindings[i].RefreshAt = time.Time{}
			}
		}
		if bindings != nil {
			rec.Bindings, rec.Cause = bindings, usrloc.CauseDeadToken
		}
		return rec, nil
	}
	w.store.Update(context.Background(), aor, drop, func(_ usrloc.Record, changes []usrloc.Change, err error) {
		if err != nil {
			w.log.Warn("drop dead push token", "aor", string(aor), "err", err)
		}
		for i := range changes {
			w.tell(&changes[i])
		}
	})
}

// tell emits the event of a binding that lost its token, or, if it was a dormant
// one, is gone with it. What else the commit did is other people's to tell.
func (w *Waker) tell(c *usrloc.Change) {
	if c.Cause == usrloc.CauseDeadToken {
		w.sink.Emit(Registration(c, c.Kind.String()))
	}
}
