package source_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/internal/auth"
	"reveille/internal/auth/source"
)

// A desk is a source that takes its time.
type desk struct {
	takes  time.Duration
	asked  atomic.Int64
	atOnce atomic.Int64 // under way
	most   atomic.Int64 // at one time

	mu  sync.Mutex
	err error // what everybody is told
}

func (d *desk) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

func (d *desk) Lookup(ctx context.Context, realm, user string) (auth.Credentials, error) {
	d.asked.Add(1)
	n := d.atOnce.Add(1)
	defer d.atOnce.Add(-1)
	d.most.Store(max(d.most.Load(), n))
	select {
	case <-time.After(d.takes):
	case <-ctx.Done():
		return auth.Credentials{}, ctx.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.err != nil:
		return auth.Credentials{}, d.err
	case strings.HasPrefix(user, "no"):
		return auth.Credentials{}, auth.ErrNoUser
	}
	return auth.HashPassword(realm, user, "secret"), nil
}

func (d *desk) Algorithms(string) []auth.Algorithm { return []auth.Algorithm{auth.MD5} }

func cached(t *testing.T, o source.Options) *source.Cached {
	t.Helper()
	s, err := source.NewCached(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// asks counts how often the source is asked while fn runs.
func (d *desk) asks(fn func()) int64 {
	before := d.asked.Load()
	fn()
	return d.asked.Load() - before
}

// TestCached_Remembers: users for TTL, strangers for NegativeTTL, failures not at
// all.
func TestCached_Remembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{}
		s := cached(t, source.Options{Source: d, TTL: time.Minute, NegativeTTL: time.Second})
		look := func(user string) func() { return func() { _, _ = s.Lookup(t.Context(), "r", user) } }
		expect := func(what, user string, want int64) {
			t.Helper()
			if got := d.asks(look(user)); got != want {
				t.Errorf("%s: %s was asked for %d times, want %d", what, user, got, want)
			}
		}
		expect("first", "alice", 1)
		expect("first", "nobody", 1)
		expect("then", "alice", 0)
		expect("then", "nobody", 0)
		time.Sleep(time.Second) // the bubble's clock
		expect("after a second", "alice", 0)
		expect("after a second", "nobody", 1)
		time.Sleep(time.Minute)
		d.fail(errors.New("away"))
		expect("away", "alice", 1)
		expect("away", "alice", 1)
		if _, err := s.Lookup(t.Context(), "r", "alice"); err == nil || errors.Is(err, auth.ErrNoUser) {
			t.Errorf("away: %v", err)
		}
		if _, known, _ := s.Recall("r", "alice"); known {
			t.Error("a user is remembered whose time has passed")
		}
		d.fail(nil)
		expect("back", "alice", 1)
		expect("back", "alice", 0)
	})
}

// TestCached_OneQuestion: many who ask for one user ask once, and each waits as
// long as its own context.
func TestCached_OneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{takes: time.Second}
		s := cached(t, source.Options{Source: d})
		impatient, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := s.Lookup(impatient, "r", "alice"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("impatient: %v", err)
			}
		})
		synctest.Wait()
		for range 50 {
			wg.Go(func() {
				if c, err := s.Lookup(t.Context(), "r", "alice"); err != nil || c.MD5 == "" {
					t.Errorf("Lookup: %v", err)
				}
			})
		}
		wg.Wait()
		if n := d.asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

// TestCached_Bounded: so many questions at a time, and none for longer than
// Timeout, its wait for a turn included.
func TestCached_Bounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{takes: 300 * time.Millisecond}
		r := prometheus.NewPedanticRegistry()
		s := cached(t, source.Options{Source: d, Concurrent: 2, Timeout: time.Second, Registerer: r})
		start := time.Now()
		var failed atomic.Int64
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if _, err := s.Lookup(t.Context(), "r", fmt.Sprint("user", i)); errors.Is(err, context.DeadlineExceeded) {
					failed.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v", took)
		}
		// 300, 600 and 900 ms with two each; who began at 900 ran out of time.
		if n, most := failed.Load(), d.most.Load(); n != 14 || most != 2 {
			t.Errorf("%d failed, %d at once", n, most)
		}
		if n, err := testutil.GatherAndCount(r); err != nil || n == 0 {
			t.Errorf("%d metrics, %v", n, err)
		}
		if problems, err := testutil.GatherAndLint(r); err != nil || len(problems) > 0 {
			t.Errorf("metrics: %v, %v", problems, err)
		}
	})
}

// TestCached_Memory: whatever names are tried, so many are remembered, and those
// of nobody drive out no user.
func TestCached_Memory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{}
		s := cached(t, source.Options{Source: d, Users: 8})
		if _, err := s.Lookup(t.Context(), "r", "alice"); err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			_, _ = s.Lookup(t.Context(), "r", fmt.Sprint("nobody", i))
		}
		if _, known, _ := s.Recall("r", "alice"); !known {
			t.Error("alice was forgotten for nobody's sake")
		}
		remembered := 0
		for i := range 100 {
			if _, known, _ := s.Recall("r", fmt.Sprint("nobody", i)); known {
				remembered++
			}
		}
		if remembered != 2 {
			t.Errorf("%d strangers are remembered", remembered)
		}
	})
}

// TestCached_Impossible: what nobody can be called is not asked for.
func TestCached_Impossible(t *testing.T) {
	d := &desk{}
	s := cached(t, source.Options{Source: d})
	for _, name := range []string{"", "a\x00", "\xff", strings.Repeat("a", 256), "a\nb", "a\u0085"} {
		if _, err := s.Lookup(t.Context(), "r", name); !errors.Is(err, auth.ErrNoUser) {
			t.Errorf("Lookup(%.20q) = %v", name, err)
		}
		if _, known, err := s.Recall("r", name); !known || !errors.Is(err, auth.ErrNoUser) {
			t.Errorf("Recall(%.20q) = %v", name, err)
		}
	}
	if n := d.asked.Load(); n != 0 {
		t.Errorf("asked %d times", n)
	}
}

// TestCached_Learn: who must not wait has a question asked, and the answer later.
func TestCached_Learn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{takes: time.Second}
		s := cached(t, source.Options{Source: d, Concurrent: 2, TTL: time.Hour, NegativeTTL: time.Hour})
		for i := range 10 {
			s.Learn("r", fmt.Sprint("nobody", i))
		}
		if _, known, _ := s.Recall("r", "nobody0"); known {
			t.Error("known at once")
		}
		time.Sleep(2 * time.Second)
		if _, known, err := s.Recall("r", "nobody0"); !known || !errors.Is(err, auth.ErrNoUser) {
			t.Errorf("nobody0: known %t, %v", known, err)
		}
		if n := d.asked.Load(); n != 2 {
			t.Errorf("asked %d times", n)
		}
		s.Learn("r", "alice")
		s.Close()
		s.Learn("r", "bob")
		if _, err := s.Lookup(t.Context(), "r", "carol"); err == nil || errors.Is(err, auth.ErrNoUser) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// TestCached_RecallAllocatesNothing: it is on the way of every plain refresh.
func TestCached_RecallAllocatesNothing(t *testing.T) {
	s := cached(t, source.Options{Source: &desk{}})
	if _, err := s.Lookup(t.Context(), "r", "alice"); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _, _ = s.Recall("r", "alice") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestCached_Doubt: guesses at one user are one question in a while, and a failure
// makes nothing forgotten.
func TestCached_Doubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{}
		s := cached(t, source.Options{Source: d, TTL: time.Hour, NegativeTTL: time.Hour})
		for _, user := range []string{"alice", "nobody"} {
			if _, err := s.Lookup(t.Context(), "r", user); err != nil && !errors.Is(err, auth.ErrNoUser) {
				t.Fatal(err)
			}
			for i := range 3 {
				if !s.Doubt("r", user) {
					t.Errorf("%s: no doubt in turn %d", user, i)
				}
				for range 100 {
					if s.Doubt("r", user) {
						t.Fatalf("%s is doubted twice in a moment", user)
					}
				}
				time.Sleep(10 * time.Second)
			}
		}
		if asked := d.asks(func() { _, _ = s.Renew(t.Context(), "r", "alice") }); asked != 1 {
			t.Errorf("Renew asked %d times", asked)
		}
		d.fail(errors.New("away"))
		if _, err := s.Renew(t.Context(), "r", "alice"); err == nil {
			t.Error("Renew without an answer = nil")
		}
		if _, known, err := s.Recall("r", "alice"); !known || err != nil {
			t.Errorf("after a failure alice is known: %v, %v", known, err)
		}
		if s.Doubt("r", "no\x00text") {
			t.Error("a name that nobody can have is asked for")
		}
	})
}
