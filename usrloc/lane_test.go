package usrloc_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"reveille/usrloc"
	"reveille/usrloc/usrloctest"
)

// A heldCommitter keeps commits until a test ends them.
type heldCommitter struct {
	changes [][]usrloc.Change
	done    []func(error)
}

func (c *heldCommitter) Commit(_ usrloc.AOR, changes []usrloc.Change, done func(error)) {
	c.changes = append(c.changes, changes)
	c.done = append(c.done, done)
}

func held(opts usrloc.MemoryOptions) (*usrloc.Memory, *heldCommitter) {
	c := new(heldCommitter)
	opts.Committer = c
	return usrloc.NewMemory(opts), c
}

// update starts an Update whose end appends name to log.
func update(m *usrloc.Memory, aor usrloc.AOR, fn func(usrloc.Record) (usrloc.Record, error), log *[]string, name string) {
	m.Update(context.Background(), aor, fn, func(_ usrloc.Record, _ []usrloc.Change, err error) {
		if err != nil {
			name += ": " + err.Error()
		}
		*log = append(*log, name)
	})
}

func wantLog(t *testing.T, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("done functions that ran: %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("done functions that ran: %q, want %q", got, want)
		}
	}
}

func TestMemory_AppliedIsVisibleBeforeItIsCommitted(t *testing.T) {
	m, c := held(usrloc.MemoryOptions{})
	aor, now := usrloctest.AOR(1), time.Now()
	var log, reported []string
	update(m, aor, usrloctest.Put(usrloctest.Binding(aor, 1, now)), &log, "first")
	rec, cancel, err := m.Watch(t.Context(), aor, now.Add(time.Hour), func(ch usrloc.Change) { reported = append(reported, ch.Kind.String()) })
	if err != nil {
		t.Fatal(err)
	}
	defer cancel()
	if len(rec.Bindings) != 1 || len(log) != 0 {
		t.Fatalf("before the commit: Watch read %d bindings, done functions that ran: %q", len(rec.Bindings), log)
	}
	update(m, aor, usrloctest.Remove(usrloc.CauseOperator, usrloctest.ID(aor, 1)), &log, "second")
	if len(reported) != 0 {
		t.Errorf("reported before the commit: %q", reported)
	}
	c.done[0](nil)
	wantLog(t, log, "first")
	if len(reported) != 0 {
		t.Errorf("reported what Watch had read: %q", reported)
	}
	c.done[1](nil)
	wantLog(t, log, "first", "second")
	if len(reported) != 1 || reported[0] != "removed" {
		t.Errorf("reported %q, want removed", reported)
	}
}

func TestMemory_CommitsThatEndInAnotherOrderAreToldInTheirOwn(t *testing.T) {
	m, c := held(usrloc.MemoryOptions{})
	aor, other, now := usrloctest.AOR(1), usrloctest.AOR(2), time.Now()
	var log []string
	update(m, aor, usrloctest.Put(usrloctest.Binding(aor, 1, now)), &log, "1")
	update(m, aor, usrloctest.Put(usrloctest.Binding(aor, 2, now)), &log, "2")
	update(m, aor, usrloctest.Keep, &log, "nothing")
	update(m, aor, usrloctest.Put(usrloctest.Binding(aor, 3, now)), &log, "3")
	update(m, other, usrloctest.Put(usrloctest.Binding(other, 1, now)), &log, "other")
	if len(c.done) != 4 {
		t.Fatalf("%d commits, want 4: an Update that changes nothing has none", len(c.done))
	}
	c.done[2](nil)
	c.done[1](nil)
	wantLog(t, log)
	c.done[3](nil) // another AOR does not wait
	wantLog(t, log, "other")
	if got := m.Stats().Pending; got != 4 {
		t.Errorf("Pending = %d, want 4", got)
	}
	c.done[0](nil)
	wantLog(t, log, "other", "1", "2", "nothing", "3")
	if got := m.Stats().Pending; got != 0 {
		t.Errorf("Pending = %d at the end", got)
	}
}

func TestMemory_ExpiryNeedsNoCommit(t *testing.T) {
	m, c := held(usrloc.MemoryOptions{})
	aor := usrloctest.AOR(1)
	b := usrloctest.Binding(aor, 1, time.Now())
	b.RetainUntil = time.Now().Add(time.Millisecond)
	var log []string
	update(m, aor, usrloctest.Put(b), &log, "create")
	<-time.After(time.Until(b.RetainUntil) + time.Millisecond)
	update(m, aor, usrloctest.Keep, &log, "expire")
	if len(c.done) != 1 {
		t.Fatalf("%d commits, want only that of the creation", len(c.done))
	}
	c.done[0](nil)
	wantLog(t, log, "create", "expire")
	if s := m.Stats(); s.Bindings != 0 || s.AORs != 0 || s.PushBindings != 0 {
		t.Errorf("Stats = %+v, want an empty store", s)
	}
}

func TestMemory_PendingIsBounded(t *testing.T) {
	m, c := held(usrloc.MemoryOptions{MaxPending: 2})
	now := time.Now()
	var log []string
	for i, name := range []string{"1", "2", "3"} {
		update(m, usrloctest.AOR(i), usrloctest.Put(usrloctest.Binding(usrloctest.AOR(i), 1, now)), &log, name)
	}
	wantLog(t, log, "3: "+usrloc.ErrFull.Error())
	c.done[0](nil)
	update(m, usrloctest.AOR(3), usrloctest.Keep, &log, "4")
	wantLog(t, log, "3: "+usrloc.ErrFull.Error(), "1", "4")
}

func TestMemory_FailedCommitStopsTheStore(t *testing.T) {
	m, c := held(usrloc.MemoryOptions{})
	aor, now, disk := usrloctest.AOR(1), time.Now(), errors.New("disk gone")
	var got error
	calls := 0
	m.Update(t.Context(), aor, usrloctest.Put(usrloctest.Binding(aor, 1, now)), func(rec usrloc.Record, ch []usrloc.Change, err error) {
		got, calls = err, calls+1
		if len(rec.Bindings) != 0 || len(ch) != 0 {
			t.Errorf("a failed commit told of %d changes", len(ch))
		}
	})
	c.done[0](disk)
	if calls != 1 || !errors.Is(got, usrloc.ErrUnavailable) || !errors.Is(got, disk) {
		t.Errorf("done ran %d times with %v, want ErrUnavailable and the cause", calls, got)
	}
	if _, err := m.Get(t.Context(), aor); !errors.Is(err, usrloc.ErrUnavailable) {
		t.Errorf("Get: %v, want ErrUnavailable", err)
	}
	if _, err := m.Claim(t.Context(), now, 1); !errors.Is(err, usrloc.ErrUnavailable) {
		t.Errorf("Claim: %v, want ErrUnavailable", err)
	}
}

func TestMemory_PanicsLeaveTheAORUsable(t *testing.T) {
	m := usrloc.NewMemory(usrloc.MemoryOptions{MaxPending: 1})
	aor, now := usrloctest.AOR(1), time.Now()
	panics := func(name string, fn func(usrloc.Record) (usrloc.Record, error), done func(usrloc.Record, []usrloc.Change, error)) {
		defer func() {
			if recover() == nil {
				t.Errorf("%s: the panic did not come through", name)
			}
		}()
		m.Update(t.Context(), aor, fn, done)
	}
	panics("fn", func(usrloc.Record) (usrloc.Record, error) { panic("fn") }, func(usrloc.Record, []usrloc.Change, error) {})
	panics("done", usrloctest.Keep, func(usrloc.Record, []usrloc.Change, error) { panic("done") })
	var log []string
	update(m, aor, usrloctest.Put(usrloctest.Binding(aor, 1, now)), &log, "after")
	wantLog(t, log, "after")
}

func TestMemory_Closed(t *testing.T) {
	m, c := held(usrloc.MemoryOptions{})
	aor := usrloctest.AOR(1)
	var log []string
	update(m, aor, usrloctest.Put(usrloctest.Binding(aor, 1, time.Now())), &log, "begun")
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	update(m, aor, usrloctest.Keep, &log, "late")
	c.done[0](nil)
	wantLog(t, log, "late: "+usrloc.ErrClosed.Error(), "begun")
	if _, err := m.Get(t.Context(), aor); !errors.Is(err, usrloc.ErrClosed) {
		t.Errorf("Get: %v, want ErrClosed", err)
	}
	if _, _, err := m.Watch(t.Context(), aor, time.Now().Add(time.Hour), nil); !errors.Is(err, usrloc.ErrClosed) {
		t.Errorf("Watch: %v, want ErrClosed", err)
	}
	if _, err := m.Resolve(t.Context(), usrloctest.ID(aor, 1)); !errors.Is(err, usrloc.ErrClosed) {
		t.Errorf("Resolve: %v, want ErrClosed", err)
	}
}

// An admittingCommitter refuses what it is told to.
type admittingCommitter struct {
	heldCommitter
	err error
}

func (c *admittingCommitter) Admit(usrloc.AOR, []usrloc.Change) error { return c.err }

func TestMemory_AdmitterRefusesBeforeApply(t *testing.T) {
	full := errors.New("no room")
	c := &admittingCommitter{err: full}
	m := usrloc.NewMemory(usrloc.MemoryOptions{Committer: c})
	aor, now := usrloctest.AOR(1), time.Now()
	var log []string
	put := usrloctest.Put(usrloctest.Binding(aor, 1, now))
	update(m, aor, put, &log, "put")
	update(m, aor, usrloctest.Keep, &log, "keep")
	wantLog(t, log, "put: no room", "keep")
	if rec, err := m.Get(t.Context(), aor); err != nil || len(rec.Bindings) != 0 || len(c.done) != 0 || m.Stats().Bindings != 0 {
		t.Errorf("after a refusal: %d bindings, %v, %d commits", len(rec.Bindings), err, len(c.done))
	}
	c.err = nil
	update(m, aor, put, &log, "again")
	c.done[0](nil)
	wantLog(t, log, "put: no room", "keep", "again")
}
