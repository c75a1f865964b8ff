package registrar

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/internal/event"
	"reveille/internal/wake"
	"reveille/push"
	"reveille/usrloc"
)

// RefresherOptions are what a Refresher needs. Zero values stand for the
// defaults.
type RefresherOptions struct {
	// Store says which bindings are due. Required.
	Store usrloc.Store
	// Push sends the pushes; *push.Dispatcher implements it. Required unless
	// Waker is set; nil with a nil Waker expires bindings and wakes nobody.
	Push Dispatcher
	// Waker, if set, is used in place of Push: a program that wakes devices for
	// other reasons, too, shares what it learned about dead tokens.
	Waker Waker
	// Rate bounds the timers handled in a second, so that what fell due while
	// nobody looked (a restart, an outage) is smeared; default 500.
	Rate int
	// Pending bounds the pushes whose outcome is awaited; default 2,048.
	Pending int
	// RetryMin is the pause before the second push of a binding. It doubles up
	// to RetryMax; defaults 5 s and 1 min.
	RetryMin, RetryMax time.Duration
	// Retries bounds the pushes after the first; 0 means until the binding
	// expires, a negative number none.
	Retries int
	// WakeDormant is how often the device of a binding that has ended and is kept
	// (PushPolicy.Retain) is woken; 0 wakes none of them, against RFC 8599 §5.5.
	WakeDormant time.Duration
	// Sink takes the events; nil drops them.
	Sink event.Sink
	// Logger takes what is no event; nil drops it.
	Logger *slog.Logger
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
}

// Dispatcher takes push requests; *push.Dispatcher implements it.
type Dispatcher interface {
	Supports(push.Params) bool
	Submit(r *push.Request, done func(push.Outcome)) (cancel func(), err error)
	// Forget says that the push of r came to nothing after it was taken.
	Forget(r *push.Request)
}

// Waker wakes the device of a binding; the server's internal one implements it.
type Waker interface {
	Can(b *usrloc.Binding) bool
	Wake(aor usrloc.AOR, b *usrloc.Binding, c wake.Cause, done func(push.Outcome)) (pushID string, cancel func(), err error)
}

// A Refresher watches over the ends of bindings. It wakes a device before its
// binding expires (RFC 8599 §5.5), again and again until it registers, and
// removes what has expired. Several may share a Store: each timer is handled by
// one of them at a time.
type Refresher struct {
	o       RefresherOptions
	metrics *refreshMetrics
	retry   atomic.Pointer[retry]
	// wakeDormant is RefresherOptions.WakeDormant.
	wakeDormant atomic.Int64

	mu   sync.Mutex // guards live; never held while anything is called
	live map[*attempt]struct{}
}

const (
	// lookEvery is how often the Store is asked for timers.
	lookEvery = 250 * time.Millisecond
	// pushFor bounds how long a push service may keep one push for a device
	// that is out of reach; the next push takes over.
	pushFor = 10 * time.Minute
)

// NewRefresher returns a Refresher. Run starts it.
func NewRefresher(o RefresherOptions) (*Refresher, error) {
	if o.Store == nil {
		return nil, errors.New("registrar: refresher without store")
	}
	if o.Rate <= 0 {
		o.Rate = 500
	}
	if o.Pending <= 0 {
		o.Pending = 2048
	}
	if o.Sink == nil {
		o.Sink = event.Discard{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Waker == nil && o.Push != nil {
		o.Waker = wake.New(wake.Options{Dispatcher: o.Push, Store: o.Store, Sink: o.Sink, Logger: o.Logger, Registerer: o.Registerer})
	}
	r := &Refresher{o: o, metrics: newRefreshMetrics(o.Registerer), live: make(map[*attempt]struct{})}
	r.SetRetries(o.RetryMin, o.RetryMax, o.Retries)
	r.SetWakeDormant(o.WakeDormant)
	return r, nil
}

// retry is how often, and after which pauses, a device is pushed again.
type retry struct {
	min, max time.Duration
	count    int
}

// SetRetries replaces RetryMin, RetryMax and Retries for the pushes to come. It
// may be called while Run runs.
func (r *Refresher) SetRetries(shortest, longest time.Duration, retries int) {
	if shortest <= 0 {
		shortest = 5 * time.Second
	}
	if longest <= 0 {
		longest = time.Minute
	}
	r.retry.Store(&retry{min: shortest, max: max(longest, shortest), count: retries})
}

// Run handles timers until ctx ends; pushes that were not sent by then are
// cancelled. It returns after the last call into the Store.
func (r *Refresher) Run(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	defer r.cancelAll()
	batch := max(1, int(time.Duration(r.o.Rate)*lookEvery/time.Second))
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		due, err := r.o.Store.Claim(ctx, time.Now(), batch)
		if err != nil && ctx.Err() == nil && !failing {
			r.warn(ctx, "claim timers", "", err)
		}
		failing = err != nil
		for i := range due {
			if ctx.Err() != nil {
				// The others are claimed anew when their claims lapse.
				return
			}
			r.handle(ctx, due[i])
		}
	}
}

func (r *Refresher) handle(ctx context.Context, due usrloc.Due) {
	r.metrics.late.Observe(max(time.Since(due.At), 0).Seconds())
	switch due.Kind {
	case usrloc.DueExpiry:
		r.expire(ctx, due)
	case usrloc.DueRefresh:
		r.refresh(ctx, due)
	}
}

// expire has the Store remove what has expired in the AOR.
func (r *Refresher) expire(ctx context.Context, due usrloc.Due) {
	unchanged := func(rec usrloc.Record) (usrloc.Record, error) { return rec, nil }
	// A commit that began goes on when we stop.
	r.o.Store.Update(context.WithoutCancel(ctx), due.AOR, unchanged, func(rec usrloc.Record, changes []usrloc.Change, err error) {
		if err != nil {
			// The claim lapses and the timer is due again.
			r.warn(ctx, "expire bindings", due.AOR, err)
			return
		}
		r.tell(changes)
		if b := rec.Find(due.ID); b != nil {
			// Refreshed since, then this does nothing; or by the Store's clock
			// its time has not come.
			r.o.Store.Done(due, time.Now().Add(time.Second))
			return
		}
		r.o.Store.Done(due, time.Time{})
	})
}

// tell counts and tells what a commit did.
func (r *Refresher) tell(changes []usrloc.Change) {
	for i := range changes {
		c := &changes[i]
		if c.Kind == usrloc.Expired {
			r.metrics.expirations.Inc()
		}
		if c.Kind != usrloc.Updated || fellAsleep(c) {
			r.o.Sink.Emit(registrationEvent(c))
		}
	}
}

// refresh wakes the device of a binding that is about to expire.
func (r *Refresher) refresh(ctx context.Context, due usrloc.Due) {
	now := time.Now()
	a := r.begin(due.ID)
	if a == nil {
		r.metrics.pushes.WithLabelValues("deferred").Inc()
		r.o.Store.Done(due, now.Add(r.spread(r.retry.Load().min)))
		return
	}
	// RFC 8599 §5.5: no push once we know that the binding is gone; and none is
	// needed once the device has registered.
	rec, unwatch, err := r.o.Store.Watch(ctx, due.AOR, now.Add(pushFor), a.changed)
	if err != nil {
		// The claim lapses and the timer is due again.
		a.end()
		if ctx.Err() == nil {
			r.warn(ctx, "read binding to refresh", due.AOR, err)
		}
		return
	}
	a.onEnd(unwatch)
	b := rec.Find(due.ID)
	switch {
	case b == nil, b.RefreshAt.IsZero(), b.Push.IsZero():
		r.o.Store.Done(due, time.Time{})
		a.end()
		return
	case b.Expired(now):
		a.end()
		r.sleepOn(ctx, due, now)
		return
	case b.RefreshAt.After(now):
		r.o.Store.Done(due, b.RefreshAt)
		a.end()
		return
	}
	r.o.Sink.Emit(event.RefreshDue{
		AOR: string(due.AOR), Binding: b.ID.String(), Provider: b.Push.Provider, Param: b.Push.Param, Expires: b.Expires,
	})
	// The next push is settled before this one is under way: it may last, and
	// what is claimed too long is claimed by others.
	next := r.retryAt(b, !due.At.After(b.RefreshAt), now)
	deadline := b.Expires
	if !next.IsZero() && now.Add(pushFor).Before(deadline) {
		// The last one stays until the end: a phone that dozes takes it when it can.
		deadline = now.Add(pushFor)
	}
	if next.IsZero() && r.keeps(b) {
		next = b.Expires
	}
	r.o.Store.Done(due, next)
	r.push(due.AOR, b, a, deadline)
}

// push makes one attempt, which is of no more use behind the deadline.
func (r *Refresher) push(aor usrloc.AOR, b *usrloc.Binding, a *attempt, deadline time.Time) {
	if r.o.Waker == nil || !r.o.Waker.Can(b) {
		r.metrics.pushes.WithLabelValues("impossible").Inc()
		a.end()
		return
	}
	_, cancel, err := r.o.Waker.Wake(aor, b, wake.Cause{Kind: push.Refresh, Deadline: deadline}, func(o push.Outcome) {
		r.metrics.pushes.WithLabelValues(o.Class.String()).Inc()
		a.end()
	})
	if err != nil {
		// The next push is settled already. Of the rest an event has told.
		result := "not_sent"
		if errors.Is(err, wake.ErrTooOften) {
			result = "too_often"
		}
		r.metrics.pushes.WithLabelValues(result).Inc()
		a.end()
		return
	}
	a.onEnd(cancel)
}

// retryAt returns when to push again if the device does not register, or zero
// for never. How often that was is told by the time since the first push, so
// that nothing has to be kept, by this node or another.
func (r *Refresher) retryAt(b *usrloc.Binding, first bool, now time.Time) time.Time {
	again := r.retry.Load()
	if again.count < 0 {
		return time.Time{}
	}
	pause := again.min
	if !first {
		since := now.Sub(b.RefreshAt)
		if again.count > 0 && since >= again.end() {
			return time.Time{}
		}
		// The pauses are min, 2 min, 4 min, ...: each is as long as all before
		// it together, and min.
		pause = min(since+again.min, again.max)
	}
	next := now.Add(r.spread(pause))
	if next.Add(again.min / 2).After(b.Expires) {
		// Too late for a REGISTER to arrive in time.
		return time.Time{}
	}
	return next
}

// end returns how long after the first push the last one is sent.
func (r *retry) end() time.Duration {
	var end time.Duration
	pause := r.min
	for range r.count {
		end += pause
		if pause = min(2*pause, r.max); end > 24*time.Hour {
			break
		}
	}
	// Less the half pause by which spread may have shifted the last one.
	return end - r.min/2
}

// spread returns d, up to a tenth longer at random.
func (r *Refresher) spread(d time.Duration) time.Duration {
	return d + rand.N(d/10+1)
}

// warn says what could not be done for a user, or for all if aor is empty.
func (r *Refresher) warn(ctx context.Context, what string, aor usrloc.AOR, err error) {
	r.o.Logger.LogAttrs(ctx, slog.LevelWarn, "a timer was not handled", slog.String("step", what), slog.String("aor", string(aor)), slog.Any("err", err))
}
