package usrloctest

import (
	"errors"
	"testing"
	"time"

	"reveille/usrloc"
)

var limitCases = []testCase{
	{name: "BindingsFull", limits: Limits{MaxBindings: 10}, run: testBindingsFull},
	{name: "WatchesFull", limits: Limits{MaxWatches: 5}, run: testWatchesFull},
}

func testBindingsFull(t *testing.T, s usrloc.Store) {
	now := clock()
	for i := range 10 {
		mustUpdate(t, s, AOR(i), Put(Binding(AOR(i), 1, now)))
	}
	if o := update(t, s, AOR(10), Put(Binding(AOR(10), 1, now))); !errors.Is(o.err, usrloc.ErrFull) {
		t.Errorf("the eleventh binding: %v, want ErrFull", o.err)
	}
	if o := update(t, s, AOR(1), Put(Binding(AOR(1), 2, now))); !errors.Is(o.err, usrloc.ErrFull) {
		t.Errorf("the second binding of an AOR: %v, want ErrFull", o.err)
	}
	if rec := mustGet(t, s, AOR(1)); len(rec.Bindings) != 1 {
		t.Errorf("%d bindings after ErrFull, want 1", len(rec.Bindings))
	}
	// What does not grow the store still works: a refresh, an exchange, a removal.
	b := Binding(AOR(1), 1, now)
	b.CSeq++
	mustUpdate(t, s, AOR(1), Put(b))
	mustUpdate(t, s, AOR(1), func(rec usrloc.Record) (usrloc.Record, error) {
		rec.Bindings = []usrloc.Binding{Binding(AOR(1), 2, now)}
		return rec, nil
	})
	mustUpdate(t, s, AOR(2), Remove(usrloc.CauseRegister, ID(AOR(2), 1)))
	mustUpdate(t, s, AOR(10), Put(Binding(AOR(10), 1, now)))
}

func testWatchesFull(t *testing.T, s usrloc.Store) {
	now := clock()
	until := now.Add(500 * time.Millisecond)
	cancels := make([]func(), 5)
	for i := range cancels {
		_, cancels[i] = mustWatch(t, s, AOR(i), until, func(usrloc.Change) {})
	}
	full := func() bool {
		_, cancel, err := s.Watch(t.Context(), AOR(7), now.Add(time.Hour), func(usrloc.Change) {})
		if err == nil {
			cancel()
		} else if !errors.Is(err, usrloc.ErrFull) {
			t.Errorf("Watch: %v, want ErrFull", err)
		}
		return err != nil
	}
	if !full() {
		t.Errorf("a sixth watch was taken")
	}
	cancels[2]()
	cancels[2]()
	if full() {
		t.Errorf("no room after a cancel")
	}
	mustWatch(t, s, AOR(2), until, func(usrloc.Change) {})
	if !full() {
		t.Errorf("cancel made room twice")
	}
	// Watches that nobody cancels end by themselves.
	pause(time.Until(until) + 100*time.Millisecond)
	for i := range 5 {
		mustWatch(t, s, AOR(i), now.Add(time.Minute), func(usrloc.Change) {})
	}
	if !full() {
		t.Errorf("a sixth watch was taken after the others had ended")
	}
}
