package usrloc_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"reveille/usrloc"
	"reveille/usrloc/usrloctest"
)

// A heldRefreshCommitter keeps commits and refreshes, in one row, until a test
// ends them.
type heldRefreshCommitter struct {
	row     []func(error)
	refused bool
	agents  []bool
	fences  int // commits without changes
}

func (c *heldRefreshCommitter) Commit(_ usrloc.AOR, changes []usrloc.Change, done func(error)) {
	if len(changes) == 0 {
		c.fences++
	}
	c.row = append(c.row, done)
}

func (c *heldRefreshCommitter) AdmitRefresh() bool { return !c.refused }

func (c *heldRefreshCommitter) CommitRefresh(r usrloc.Refresh) {
	c.agents = append(c.agents, r.Agent)
	c.row = append(c.row, func(err error) { usrloc.Settle([]usrloc.Pending{r.Pending}, err) })
}

// settle ends the first n.
func (c *heldRefreshCommitter) settle(n int, err error) {
	for _, end := range c.row[:n] {
		end(err)
	}
	c.row = c.row[n:]
}

func heldRefreshes(t *testing.T, opts usrloc.MemoryOptions) (*usrloc.Memory, *heldRefreshCommitter, usrloc.AOR) {
	t.Helper()
	c := new(heldRefreshCommitter)
	opts.Committer = c
	m := usrloc.NewMemory(opts)
	aor, bd := binding(1, time.Now())
	m.Update(t.Context(), aor, usrloctest.Put(bd), func(_ usrloc.Record, _ []usrloc.Change, err error) {
		if err != nil {
			t.Error(err)
		}
	})
	c.settle(1, nil)
	return m, c, aor
}

// A waiter writes down how a Touch ended.
type waiter struct {
	log  *[]string
	name string
}

func (w *waiter) Settled(err error) {
	if err != nil {
		w.name += ": " + err.Error()
	}
	*w.log = append(*w.log, w.name)
}

func another(b *usrloc.Binding) bool { b.CSeq++; return true }

// TestMemory_TouchPending: an Update, even one that changes nothing, is told of
// after a Touch of its AOR, and makes Touch decline until then.
func TestMemory_TouchPending(t *testing.T) {
	m, c, aor := heldRefreshes(t, usrloc.MemoryOptions{})
	var log []string
	for _, name := range []string{"1", "2"} {
		if got := m.Touch(aor, time.Now(), usrloctest.First(another), &waiter{&log, name}); got != usrloc.TouchPending {
			t.Fatalf("Touch = %v, want TouchPending", got)
		}
	}
	if rec, err := m.Get(t.Context(), aor); err != nil || rec.Bindings[0].CSeq != 3 {
		t.Errorf("Get before the commit = %+v, %v", rec, err)
	}
	update(m, aor, usrloctest.Keep, &log, "keep")
	if got := m.Touch(aor, time.Now(), usrloctest.First(another), &waiter{&log, "no"}); got != usrloc.TouchDeclined {
		t.Errorf("Touch behind an Update = %v", got)
	}
	update(m, aor, usrloctest.Remove(usrloc.CauseOperator), &log, "nothing")
	update(m, aor, func(rec usrloc.Record) (usrloc.Record, error) {
		rec.Bindings = nil
		return rec, nil
	}, &log, "remove")
	if got := m.Stats().Pending; got != 5 {
		t.Errorf("Pending = %d, want 5", got)
	}
	wantLog(t, log)
	for i, want := range []string{"1", "2", "keep", "nothing", "remove"} {
		c.settle(1, nil)
		if len(log) != i+1 || log[i] != want {
			t.Fatalf("told: %q, want %q next", log, want)
		}
	}
	if got := m.Stats().Pending; got != 0 || c.fences != 2 {
		t.Errorf("Pending = %d at the end, %d commits without changes", got, c.fences)
	}
}

// TestMemory_NothingPendingNeedsNoCommit: with no Touch under way an Update that
// changes nothing does not wait for the disk.
func TestMemory_NothingPendingNeedsNoCommit(t *testing.T) {
	m, c, aor := heldRefreshes(t, usrloc.MemoryOptions{})
	var log []string
	update(m, aor, usrloctest.Keep, &log, "keep")
	wantLog(t, log, "keep")
	if len(c.row) != 0 {
		t.Errorf("%d commits", len(c.row))
	}
}

func TestMemory_TouchIsRefused(t *testing.T) {
	untouched := func(*usrloc.Binding) bool { panic("fn was called") }
	for name, prepare := range map[string]func(t *testing.T, m *usrloc.Memory, c *heldRefreshCommitter, aor usrloc.AOR) usrloc.Waiter{
		"Admit": func(_ *testing.T, _ *usrloc.Memory, c *heldRefreshCommitter, _ usrloc.AOR) usrloc.Waiter {
			c.refused = true
			return &waiter{}
		},
		"NoWaiter": func(*testing.T, *usrloc.Memory, *heldRefreshCommitter, usrloc.AOR) usrloc.Waiter { return nil },
		"Pending": func(t *testing.T, m *usrloc.Memory, _ *heldRefreshCommitter, _ usrloc.AOR) usrloc.Waiter {
			for i := range 3 {
				var log []string
				update(m, usrloctest.AOR(10+i), usrloctest.Put(usrloctest.Binding(usrloctest.AOR(10+i), 1, time.Now())), &log, "")
				wantLog(t, log)
			}
			return &waiter{}
		},
		"Closed": func(_ *testing.T, m *usrloc.Memory, _ *heldRefreshCommitter, _ usrloc.AOR) usrloc.Waiter {
			m.Close()
			return &waiter{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, c, aor := heldRefreshes(t, usrloc.MemoryOptions{MaxPending: 3})
			w := prepare(t, m, c, aor)
			pending := m.Stats().Pending
			if got := m.Touch(aor, time.Now(), usrloctest.First(untouched), w); got != usrloc.TouchDeclined {
				t.Errorf("Touch = %v", got)
			}
			if got := m.Stats().Pending; got != pending {
				t.Errorf("Pending = %d, was %d", got, pending)
			}
		})
	}
}

// TestMemory_PendingTouchesAreBounded: they count as Updates do.
func TestMemory_PendingTouchesAreBounded(t *testing.T) {
	m, c, aor := heldRefreshes(t, usrloc.MemoryOptions{MaxPending: 2})
	var log []string
	for range 2 {
		if got := m.Touch(aor, time.Now(), usrloctest.First(another), &waiter{&log, "touch"}); got != usrloc.TouchPending {
			t.Fatalf("Touch = %v", got)
		}
	}
	if got := m.Touch(aor, time.Now(), usrloctest.First(another), &waiter{&log, "no"}); got != usrloc.TouchDeclined {
		t.Errorf("a third Touch = %v", got)
	}
	update(m, usrloctest.AOR(2), usrloctest.Keep, &log, "update")
	wantLog(t, log, "update: "+usrloc.ErrFull.Error())
	c.settle(2, nil)
	update(m, usrloctest.AOR(2), usrloctest.Keep, &log, "late")
	wantLog(t, log, "update: "+usrloc.ErrFull.Error(), "touch", "touch", "late")
}

func TestMemory_FailedTouchStopsTheStore(t *testing.T) {
	m, c, aor := heldRefreshes(t, usrloc.MemoryOptions{})
	disk := errors.New("disk gone")
	var log []string
	if got := m.Touch(aor, time.Now(), usrloctest.First(another), &waiter{&log, "touch"}); got != usrloc.TouchPending {
		t.Fatalf("Touch = %v", got)
	}
	c.settle(1, disk)
	if len(log) != 1 || !strings.Contains(log[0], disk.Error()) {
		t.Errorf("told: %q", log)
	}
	if _, err := m.Get(t.Context(), aor); !errors.Is(err, usrloc.ErrUnavailable) || !errors.Is(err, disk) {
		t.Errorf("Get: %v, want ErrUnavailable and the cause", err)
	}
	if got := m.Touch(aor, time.Now(), usrloctest.First(another), &waiter{&log, "no"}); got != usrloc.TouchDeclined || m.Stats().Pending != 0 {
		t.Errorf("Touch after a failure = %v, %d pending", got, m.Stats().Pending)
	}
}

// TestMemory_TouchSaysWhetherTheAgentChanged: a refresh record does not hold it.
func TestMemory_TouchSaysWhetherTheAgentChanged(t *testing.T) {
	m, c, aor := heldRefreshes(t, usrloc.MemoryOptions{})
	var log []string
	for _, fn := range []func(*usrloc.Binding) bool{
		another,
		func(b *usrloc.Binding) bool { b.UserAgent += "x"; return true },
		func(b *usrloc.Binding) bool { b.CallID, b.Flow.Listener = "other", "other"; return true },
	} {
		if got := m.Touch(aor, time.Now(), usrloctest.First(fn), &waiter{&log, "touch"}); got != usrloc.TouchPending {
			t.Fatalf("Touch = %v", got)
		}
	}
	if len(c.agents) != 3 || c.agents[0] || !c.agents[1] || c.agents[2] {
		t.Errorf("Agent: %v", c.agents)
	}
}

// TestMemory_TouchPanicsWithACommitter: what fn took is given back.
func TestMemory_TouchPanicsWithACommitter(t *testing.T) {
	m, c, aor := heldRefreshes(t, usrloc.MemoryOptions{})
	func() {
		defer func() { recover() }()
		m.Touch(aor, time.Now(), usrloctest.First(func(*usrloc.Binding) bool { panic("defect") }), &waiter{})
	}()
	if got := m.Stats().Pending; got != 0 || len(c.row) != 0 {
		t.Errorf("%d pending, %d handed over", got, len(c.row))
	}
	var log []string
	if got := m.Touch(aor, time.Now(), usrloctest.First(another), &waiter{&log, "touch"}); got != usrloc.TouchPending {
		t.Errorf("Touch after a panic = %v", got)
	}
}

// TestMemory_CloseWaitsForCommits: when Close returns, nothing more is handed to
// the Committer.
func TestMemory_CloseWaitsForCommits(t *testing.T) {
	c := &slowCommitter{entered: make(chan struct{}), release: make(chan struct{})}
	m := usrloc.NewMemory(usrloc.MemoryOptions{Committer: c})
	aor, bd := binding(1, time.Now())
	go m.Update(context.Background(), aor, usrloctest.Put(bd), func(usrloc.Record, []usrloc.Change, error) {})
	<-c.entered
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		m.Close()
		if !c.left.Load() {
			t.Error("Close returned while a change was being handed over")
		}
	}()
	<-time.After(10 * time.Millisecond)
	close(c.release)
	<-closed
	var log []string
	update(m, usrloctest.AOR(2), usrloctest.Keep, &log, "late")
	wantLog(t, log, "late: "+usrloc.ErrClosed.Error())
}

// A slowCommitter takes its time to take over a commit, which it never ends.
type slowCommitter struct {
	entered, release chan struct{}
	left             atomic.Bool
}

func (c *slowCommitter) Commit(usrloc.AOR, []usrloc.Change, func(error)) {
	close(c.entered)
	<-c.release
	c.left.Store(true)
}
