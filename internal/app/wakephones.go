package app

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"reveille/internal/admin"
	"reveille/push/explain"
	"reveille/usrloc"
)

// wakeWait is how long phones may take to register that an operator has woken.
const wakeWait = 30 * time.Second

// wakePhones implements admin.Pushes.Wake.
func (a *App) wakePhones(ctx context.Context, o admin.WakeOrder) ([]admin.WakeResult, error) {
	aor, err := aorOf(a.gate.rules.Load().hosts, o.AOR)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.AOR, err)
	}
	deadline := timeUntil(o.Seconds, wakeWait)
	ctx, stop := context.WithDeadline(ctx, deadline.Add(time.Second))
	defer stop()
	seen := &arrivals{changed: make(chan struct{}, 1)}
	rec, unwatch, err := a.store.Watch(ctx, aor, deadline.Add(time.Second), seen.note)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", aor, err)
	}
	defer unwatch()
	began := time.Now()
	awake := make(map[usrloc.BindingID]bool)
	for i := range rec.Bindings {
		b := &rec.Bindings[i]
		awake[b.ID] = a.transport.Alive(b.Flow, began)
	}
	trials, err := a.tryAll(&rec, o.Kind, deadline) //nolint:contextcheck // A dead token is forgotten, whoever waits.
	if err != nil {
		return nil, err
	}
	results := make([]admin.WakeResult, len(trials))
	for i, x := range trials {
		w := &results[i]
		if w.PushResult, err = x.wait(ctx); err != nil {
			return nil, err
		}
		w.Awake = awake[x.binding.ID]
		if !w.OK() {
			continue
		}
		if at, ok := seen.of(ctx, &x.binding, deadline); ok {
			w.Registered, w.RegisteredMS = true, at.Sub(began).Milliseconds()
		}
		words := explain.Wake(w.Registered, w.Awake)
		w.Then, w.Do = words.Said, words.Do
	}
	return results, nil
}

// arrivals are the registrations of a user's phones since they were woken.
type arrivals struct {
	mu      sync.Mutex // guards news
	news    []arrival
	changed chan struct{} // has an element after each change
}

// An arrival is a registration of a phone.
type arrival struct {
	binding *usrloc.Binding
	at      time.Time
}

// maxNews bounds the registrations that are remembered of one user.
const maxNews = 256

// note takes a change of the location service.
func (r *arrivals) note(c usrloc.Change) {
	if c.New == nil || c.Cause != usrloc.CauseRegister && c.Cause != usrloc.CauseOtherNode {
		return
	}
	r.mu.Lock()
	if len(r.news) < maxNews {
		r.news = append(r.news, arrival{c.New, time.Now()})
	}
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// of waits until the phone of b has registered and returns when that was; ok is
// false if it has not.
func (r *arrivals) of(ctx context.Context, b *usrloc.Binding, until time.Time) (at time.Time, ok bool) {
	end := time.NewTimer(time.Until(until))
	defer end.Stop()
	for waiting := true; ; {
		r.mu.Lock()
		i := slices.IndexFunc(r.news, func(x arrival) bool {
			return x.binding.ID == b.ID || usrloc.SameInstance(x.binding.Instance, b.Instance)
		})
		if i >= 0 {
			at = r.news[i].at
		}
		r.mu.Unlock()
		if i >= 0 || !waiting {
			return at, i >= 0
		}
		select {
		case <-r.changed:
		case <-end.C:
			waiting = false
		case <-ctx.Done():
			waiting = false
		}
	}
}
