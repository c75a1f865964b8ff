package usrloctest

import (
	"sync"
	"testing"
	"time"

	"reveille/usrloc"
)

var watchCases = []testCase{
	{name: "ReportsEveryLaterChange", run: testWatch},
	{name: "ReportsNothingOfOtherAORs", run: testWatchOther},
	{name: "UnknownAOR", run: testWatchUnknown},
	{name: "SeveralWatches", run: testWatchSeveral},
	{name: "WatchesInOrder", run: testWatchOrder},
	{name: "CancelEndsIt", run: testWatchCancel},
	{name: "CancelFromItsOwnCallback", run: testWatchCancelInside},
	{name: "UntilEndsIt", run: testWatchUntil},
	{name: "UntilHasPassed", run: testWatchPast},
	{name: "LastBindingGone", run: testWatchLastGone},
	{name: "DoneAndWatchGetTheSameChanges", run: testWatchSameChanges},
	{name: "WithoutAGap", run: testWatchGap},
}

// A log collects what a watch reports.
type log struct {
	mu      sync.Mutex // guards changes
	changes []usrloc.Change
}

func (l *log) add(c usrloc.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changes = append(l.changes, c)
}

func (l *log) all() []usrloc.Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]usrloc.Change(nil), l.changes...)
}

// waitFor waits until n changes are reported; they may come after done.
func (l *log) waitFor(t testing.TB, n int) []usrloc.Change {
	t.Helper()
	for range 1000 {
		if got := l.all(); len(got) >= n {
			return got
		}
		pause(5 * time.Millisecond)
	}
	t.Fatalf("%d changes reported, want %d", len(l.all()), n)
	return nil
}

func mustWatch(t testing.TB, s usrloc.Store, aor usrloc.AOR, until time.Time, changed func(usrloc.Change)) (usrloc.Record, func()) {
	t.Helper()
	rec, cancel, err := s.Watch(t.Context(), aor, until, changed)
	if err != nil {
		t.Fatalf("Watch(%s): %v", aor, err)
	}
	return rec, cancel
}

func testWatch(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	a, b := Binding(aor, 1, now), Binding(aor, 2, now)
	before := mustUpdate(t, s, aor, Put(a)).rec
	var l log
	rec, cancel := mustWatch(t, s, aor, now.Add(time.Hour), l.add)
	defer cancel()
	if d := Diff(before, rec); d != "" {
		t.Errorf("Watch's Record (-want +got):\n%s", d)
	}
	var want []usrloc.Change
	a2 := a
	a2.CSeq++
	for _, fn := range []func(usrloc.Record) (usrloc.Record, error){
		Put(a2), Put(b), Keep, Remove(usrloc.CauseDeadToken, a.ID),
	} {
		want = append(want, mustUpdate(t, s, aor, fn).changes...)
	}
	if len(want) != 3 {
		t.Fatalf("%d changes, want 3", len(want))
	}
	if d := Diff(want, l.waitFor(t, 3)); d != "" {
		t.Errorf("reported (-committed +reported):\n%s", d)
	}
}

func testWatchOther(t *testing.T, s usrloc.Store) {
	now := clock()
	var l log
	_, cancel := mustWatch(t, s, AOR(1), now.Add(time.Hour), l.add)
	defer cancel()
	for i := 2; i < 50; i++ {
		mustUpdate(t, s, AOR(i), Put(Binding(AOR(i), 1, now)))
	}
	pause(50 * time.Millisecond)
	if got := l.all(); len(got) != 0 {
		t.Errorf("reported %+v", got)
	}
}

func testWatchUnknown(t *testing.T, s usrloc.Store) {
	now := clock()
	var l log
	rec, cancel := mustWatch(t, s, AOR(1), now.Add(time.Hour), l.add)
	defer cancel()
	if d := Diff(usrloc.Record{AOR: AOR(1)}, rec); d != "" {
		t.Errorf("Record of an unknown AOR (-want +got):\n%s", d)
	}
	mustUpdate(t, s, AOR(1), Put(Binding(AOR(1), 1, now)))
	if got := l.waitFor(t, 1); got[0].Kind != usrloc.Created {
		t.Errorf("reported %+v, want Created", got)
	}
}

func testWatchOrder(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	told := make(chan int, 10)
	cancels := make([]func(), 5)
	for i := range cancels {
		_, cancels[i] = mustWatch(t, s, aor, now.Add(time.Hour), func(usrloc.Change) { told <- i })
		defer cancels[i]()
	}
	cancels[1]()
	mustUpdate(t, s, aor, Put(Binding(aor, 1, now)))
	for _, want := range []int{0, 2, 3, 4} {
		if got := <-told; got != want {
			t.Fatalf("watch %d is told in the turn of watch %d", got, want)
		}
	}
}

func testWatchSeveral(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	logs := make([]log, 5)
	cancels := make([]func(), len(logs))
	for i := range logs {
		_, cancels[i] = mustWatch(t, s, aor, now.Add(time.Hour), logs[i].add)
	}
	mustUpdate(t, s, aor, Put(Binding(aor, 1, now)))
	for i := range logs {
		logs[i].waitFor(t, 1)
	}
	// One after the other leaves, in an order that is not that of coming.
	for n, i := range []int{2, 0, 4, 3, 1} {
		cancels[i]()
		mustUpdate(t, s, aor, Put(Binding(aor, 2+n, now)))
		for j := range logs {
			want := 2 + n
			for k, left := range []int{2, 0, 4, 3, 1} {
				if left == j && k <= n {
					want = 1 + k
				}
			}
			if got := logs[j].waitFor(t, want); len(got) != want {
				t.Fatalf("watch %d: %d changes after %d left, want %d", j, len(got), n+1, want)
			}
		}
	}
}

func testWatchCancel(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	var l log
	_, cancel := mustWatch(t, s, aor, now.Add(time.Hour), l.add)
	cancel()
	cancel()
	mustUpdate(t, s, aor, Put(Binding(aor, 1, now)))
	pause(50 * time.Millisecond)
	cancel()
	if got := l.all(); len(got) != 0 {
		t.Errorf("reported after cancel: %+v", got)
	}
}

func testWatchCancelInside(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	var l log
	var mu sync.Mutex
	var cancel func()
	mu.Lock()
	_, cancel = mustWatch(t, s, aor, now.Add(time.Hour), func(c usrloc.Change) {
		l.add(c)
		mu.Lock()
		defer mu.Unlock()
		cancel()
	})
	mu.Unlock()
	mustUpdate(t, s, aor, Put(Binding(aor, 1, now)))
	l.waitFor(t, 1)
	pause(20 * time.Millisecond)
	mustUpdate(t, s, aor, Put(Binding(aor, 2, now)))
	pause(50 * time.Millisecond)
	if got := l.all(); len(got) != 1 {
		t.Errorf("%d changes reported, want 1", len(got))
	}
}

func testWatchUntil(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	until := now.Add(500 * time.Millisecond)
	var l log
	_, cancel := mustWatch(t, s, aor, until, l.add)
	mustUpdate(t, s, aor, Put(Binding(aor, 1, now)))
	l.waitFor(t, 1)
	pause(time.Until(until))
	mustUpdate(t, s, aor, Put(Binding(aor, 2, now)))
	pause(50 * time.Millisecond)
	if got := l.all(); len(got) != 1 {
		t.Errorf("%d changes reported, want only the one before until", len(got))
	}
	cancel()
}

func testWatchPast(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	want := mustUpdate(t, s, aor, Put(Binding(aor, 1, now))).rec
	for _, until := range []time.Time{now, {}} {
		var l log
		rec, cancel := mustWatch(t, s, aor, until, l.add)
		if d := Diff(want, rec); d != "" {
			t.Errorf("Watch's Record (-want +got):\n%s", d)
		}
		want = mustUpdate(t, s, aor, Put(Binding(aor, 2, clock()))).rec
		pause(20 * time.Millisecond)
		cancel()
		if got := l.all(); len(got) != 0 {
			t.Errorf("reported after until: %+v", got)
		}
	}
}

func testWatchLastGone(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	b := Binding(aor, 1, now)
	mustUpdate(t, s, aor, Put(b))
	var l log
	_, cancel := mustWatch(t, s, aor, now.Add(time.Hour), l.add)
	defer cancel()
	mustUpdate(t, s, aor, Remove(usrloc.CauseRegister, b.ID))
	mustUpdate(t, s, aor, Put(b))
	got := l.waitFor(t, 2)
	if got[0].Kind != usrloc.Removed || got[1].Kind != usrloc.Created {
		t.Errorf("reported %v, %v, want removed, created", got[0].Kind, got[1].Kind)
	}
}

func testWatchSameChanges(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	var l log
	_, cancel := mustWatch(t, s, aor, now.Add(time.Hour), l.add)
	defer cancel()
	a, b, c := Binding(aor, 1, now), Binding(aor, 2, now), Binding(aor, 3, now)
	a.RetainUntil = now.Add(300 * time.Millisecond)
	want := mustUpdate(t, s, aor, Put(a, b)).changes
	pause(time.Until(a.RetainUntil))
	want = append(want, mustUpdate(t, s, aor, Put(c)).changes...)
	if d := Diff(want, l.waitFor(t, 4)); d != "" {
		t.Errorf("reported (-done +watch):\n%s", d)
	}
}

// testWatchGap starts watches while the AOR is being changed. Each CSeq is
// either in the Record that a watch began with or reported once, in order.
func testWatchGap(t *testing.T, s usrloc.Store) {
	const updates, watches = 400, 60
	aor, now := AOR(1), clock()
	b := Binding(aor, 1, now)
	b.CSeq = 0
	mustUpdate(t, s, aor, Put(b))

	var wg sync.WaitGroup
	var dones sync.WaitGroup
	wg.Go(func() {
		for range updates {
			dones.Add(1)
			s.Update(t.Context(), aor, func(rec usrloc.Record) (usrloc.Record, error) {
				next := rec.Bindings[0]
				next.CSeq++
				rec.Bindings = []usrloc.Binding{next}
				return rec, nil
			}, func(_ usrloc.Record, _ []usrloc.Change, err error) {
				if err != nil {
					t.Errorf("Update: %v", err)
				}
				dones.Done()
			})
			pause(50 * time.Microsecond)
		}
	})
	logs := make([]log, watches)
	first := make([]uint32, watches)
	for i := range logs {
		wg.Go(func() {
			pause(time.Duration(i) * 200 * time.Microsecond)
			rec, _, err := s.Watch(t.Context(), aor, now.Add(time.Hour), logs[i].add)
			if err != nil {
				t.Errorf("Watch: %v", err)
				return
			}
			first[i] = rec.Bindings[0].CSeq
		})
	}
	wg.Wait()
	dones.Wait()
	for i := range logs {
		got := logs[i].waitFor(t, updates-int(first[i]))
		for n, c := range got {
			if want := first[i] + uint32(n) + 1; c.New.CSeq != want || c.Old.CSeq != want-1 {
				t.Fatalf("watch %d began at CSeq %d; report %d is %d to %d, want %d", i, first[i], n, c.Old.CSeq, c.New.CSeq, want)
			}
		}
		if len(got) != updates-int(first[i]) {
			t.Errorf("watch %d began at CSeq %d; %d reports, want %d", i, first[i], len(got), updates-int(first[i]))
		}
	}
}
