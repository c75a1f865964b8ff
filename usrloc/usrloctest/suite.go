// Package usrloctest is the conformance suite of a usrloc.Store: every sentence
// of the contract, as a test. Each back end runs it, with a committer that
// answers at once and with one that answers late and in any order.
package usrloctest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"reveille/usrloc"
)

// Limits are the bounds that a store under test must have; 0 leaves one to the
// store.
type Limits struct {
	MaxBindings, MaxWatches int
}

// A Factory returns a new, empty store, and cleans up after it with t.Cleanup.
type Factory func(t testing.TB, l Limits) usrloc.Store

// Run runs the suite, each test in a bubble with a clock of its own. The store
// must not use sockets.
func Run(t *testing.T, factory Factory) {
	run(t, factory, func(t *testing.T, test func(*testing.T)) { synctest.Test(t, test) })
}

// RunRealTime runs the suite against the real clock, for stores that talk to a
// server. The store's clock must agree with ours to a few milliseconds.
func RunRealTime(t *testing.T, factory Factory) {
	run(t, factory, func(t *testing.T, test func(*testing.T)) { test(t) })
}

// A testCase is one test of the suite; most need no limits.
type testCase struct {
	name   string
	limits Limits
	run    func(*testing.T, usrloc.Store)
}

func run(t *testing.T, factory Factory, bubble func(*testing.T, func(*testing.T))) {
	groups := [...]struct {
		name  string
		cases []testCase
	}{
		{"Update", updateCases},
		{"Expiry", expiryCases},
		{"Watch", watchCases},
		{"Timers", timerCases},
		{"Limits", limitCases},
		{"Concurrency", concurrencyCases},
		{"Touch", touchCases},
		{"Tokens", tokenCases},
		{"List", listCases},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.cases {
				t.Run(c.name, func(t *testing.T) {
					bubble(t, func(t *testing.T) { c.run(t, factory(t, c.limits)) })
				})
			}
		})
	}
}

// An outcome is what an Update's done function got.
type outcome struct {
	rec     usrloc.Record
	changes []usrloc.Change
	err     error
}

// start begins an Update and returns the channel that its outcome comes on. The
// channel has room for a second one, which would be an error of the store.
func start(ctx context.Context, s usrloc.Store, aor usrloc.AOR, fn func(usrloc.Record) (usrloc.Record, error)) <-chan outcome {
	ch := make(chan outcome, 2)
	s.Update(ctx, aor, fn, func(rec usrloc.Record, changes []usrloc.Change, err error) {
		ch <- outcome{rec, changes, err}
	})
	return ch
}

// update runs an Update and waits for its outcome.
func update(t testing.TB, s usrloc.Store, aor usrloc.AOR, fn func(usrloc.Record) (usrloc.Record, error)) outcome {
	t.Helper()
	return <-start(t.Context(), s, aor, fn)
}

// mustUpdate is update for one that has to succeed.
func mustUpdate(t testing.TB, s usrloc.Store, aor usrloc.AOR, fn func(usrloc.Record) (usrloc.Record, error)) outcome {
	t.Helper()
	o := update(t, s, aor, fn)
	if o.err != nil {
		t.Fatalf("Update(%s): %v", aor, o.err)
	}
	return o
}

func mustGet(t testing.TB, s usrloc.Store, aor usrloc.AOR) usrloc.Record {
	t.Helper()
	rec, err := s.Get(t.Context(), aor)
	if err != nil {
		t.Fatalf("Get(%s): %v", aor, err)
	}
	return rec
}

func mustClaim(t testing.TB, s usrloc.Store, now time.Time, n int) []usrloc.Due {
	t.Helper()
	due, err := s.Claim(t.Context(), now, n)
	if err != nil {
		t.Fatalf("Claim: %v", err)
	}
	return due
}

// pause waits for d to pass, in a bubble without waiting.
func pause(d time.Duration) { <-time.After(d) }
