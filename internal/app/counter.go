package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"reveille/internal/admin"
	"reveille/internal/console"
	"reveille/internal/contacts"
	"reveille/usrloc"
)

// A counter counts phones by their states. That takes going through all of them, so a
// count is good for a while: fifty times as long as it took, and five seconds. Its zero
// value counts nothing yet; it is safe for concurrent use.
type counter struct {
	mu    sync.Mutex // guards the fields below, and is held while one counts for all
	last  census
	until time.Time
}

// A census is how many phones there were, and how they were.
type census struct {
	users int
	admin.Counted
}

const countStep = 4096

// count returns how phones in store are by what state says of each, or were a moment
// ago.
func (c *counter) count(ctx context.Context, store contacts.Store, state func(*usrloc.Binding, time.Time) string) (census, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	began := time.Now()
	if began.Before(c.until) {
		return c.last, nil
	}
	n := census{Counted: admin.Counted{At: began.UTC()}}
	var at usrloc.Cursor
	for more := true; more; more = !at.IsZero() {
		var err error
		at, err = store.Walk(ctx, at, countStep, func(usrloc.AOR) bool { return true }, func(rec usrloc.Record) bool {
			n.add(&rec, state, began)
			return true
		})
		if err != nil {
			return c.last, fmt.Errorf("count phones: %w", err)
		}
	}
	took := time.Since(began)
	c.last, c.until = n, time.Now().Add(max(5*time.Second, 50*took))
	return n, nil
}

func (n *census) add(rec *usrloc.Record, state func(*usrloc.Binding, time.Time) string, now time.Time) {
	if len(rec.Bindings) > 0 {
		n.users++
	}
	for i := range rec.Bindings {
		switch state(&rec.Bindings[i], now) {
		case contacts.Awake:
			n.Awake++
		case contacts.Asleep:
			n.Asleep++
		case contacts.Dormant:
			n.Dormant++
		default:
			n.Unreachable++
		}
	}
}

// counts are those of the console, which is there only for a store that can be gone
// through.
func (a *App) counts(ctx context.Context) (console.Counts, error) {
	n, err := a.counter.count(ctx, a.store.(contacts.Store), a.stateOf)
	return console.Counts{Users: n.users, Awake: n.Awake, Asleep: n.Asleep, Dormant: n.Dormant, Unreachable: n.Unreachable}, err
}

// countedMost is how many phones are counted in passing, for whoever asks for the
// status.
const countedMost = 50_000

// counted returns how the phones are, nil if they are too many or the store cannot be
// gone through.
func (a *App) counted(ctx context.Context, phones int) (*admin.Counted, error) {
	store, ok := a.store.(contacts.Store)
	if !ok || phones > countedMost {
		return nil, nil //nolint:nilnil // That is no error: nothing is said then.
	}
	n, err := a.counter.count(ctx, store, a.stateOf)
	return &n.Counted, err
}
