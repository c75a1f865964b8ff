package usrloctest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"reveille/usrloc"
)

var listCases = []testCase{
	{name: "EveryAOROnce", run: listing(testListAll)},
	{name: "WalkVisitsWhatIsWanted", run: listing(testWalk)},
	{name: "WalkReturnsSoon", run: listing(testWalkLook)},
	{name: "CursorsAreText", run: listing(testCursorText)},
	{name: "CursorOfAnotherStore", run: listing(testForeignCursor)},
	{name: "WhoStaysIsListedOnce", run: listing(testListMeanwhile)},
	{name: "EndedContext", run: listing(testListContext)},
}

// A listStore is a store that can be gone through.
type listStore interface {
	usrloc.Store
	usrloc.Lister
}

// listing is a case for stores that can be gone through; for others there is
// nothing to test.
func listing(run func(*testing.T, listStore)) func(*testing.T, usrloc.Store) {
	return func(t *testing.T, s usrloc.Store) {
		if l, ok := s.(listStore); ok {
			run(t, l)
		}
	}
}

// walk goes through all of the store in pages of n, and counts how often each AOR
// was listed. between runs after each page.
func walk(t *testing.T, s usrloc.Lister, n int, between func()) map[usrloc.AOR]int {
	t.Helper()
	seen := map[usrloc.AOR]int{}
	for c := (usrloc.Cursor{}); ; {
		recs, next, err := s.List(t.Context(), c, n)
		if err != nil || len(recs) > n {
			t.Fatalf("List(%q, %d) = %d Records, %v", c, n, len(recs), err)
		}
		for i := range recs {
			if len(recs[i].Bindings) == 0 {
				t.Errorf("%s is listed without bindings", recs[i].AOR)
			}
			seen[recs[i].AOR]++
		}
		if c = next; c.IsZero() {
			return seen
		}
		between()
	}
}

func testListAll(t *testing.T, s listStore) {
	const aors = 300
	now := clock()
	for n := range aors {
		mustUpdate(t, s, AOR(n), Put(Binding(AOR(n), 1, now), Binding(AOR(n), 2, now)))
	}
	short := Binding(AOR(7), 1, now)
	short.Expires, short.RetainUntil = now.Add(20*time.Millisecond), now.Add(20*time.Millisecond)
	mustUpdate(t, s, AOR(7), func(rec usrloc.Record) (usrloc.Record, error) {
		return usrloc.Record{Bindings: []usrloc.Binding{short}}, nil
	})
	mustUpdate(t, s, AOR(8), Remove(usrloc.CauseRegister, ID(AOR(8), 1), ID(AOR(8), 2)))
	pause(50 * time.Millisecond)
	for _, n := range []int{1, 7, 64, aors, 10 * aors} {
		seen := walk(t, s, n, func() {})
		if len(seen) != aors-2 || seen[AOR(7)]+seen[AOR(8)] != 0 {
			t.Errorf("pages of %d: %d AORs, want %d; of the lapsed %d, of the removed %d", n, len(seen), aors-2, seen[AOR(7)], seen[AOR(8)])
		}
		for aor, times := range seen {
			if times != 1 {
				t.Errorf("pages of %d: %s is listed %d times", n, aor, times)
			}
		}
	}
	recs, _, err := s.List(t.Context(), usrloc.Cursor{}, 1)
	if err != nil || len(recs) != 1 {
		t.Fatalf("List: %d Records, %v", len(recs), err)
	}
	if d := Diff(mustGet(t, s, recs[0].AOR), recs[0]); d != "" {
		t.Errorf("List (-get +list):\n%s", d)
	}
}

// testWalk wants some, and stops after each third.
func testWalk(t *testing.T, s listStore) {
	now := clock()
	var want []usrloc.AOR
	for n := range 200 {
		mustUpdate(t, s, AOR(n), Put(Binding(AOR(n), 1, now)))
		if strings.Contains(string(AOR(n)), "7") {
			want = append(want, AOR(n))
		}
	}
	var got []usrloc.AOR
	for c := (usrloc.Cursor{}); ; {
		n := 0
		next, err := s.Walk(t.Context(), c, 50, func(aor usrloc.AOR) bool { return strings.Contains(string(aor), "7") }, func(rec usrloc.Record) bool {
			// A store may be asked meanwhile: no lock is held.
			if d := Diff(mustGet(t, s, rec.AOR), rec); d != "" {
				t.Errorf("Walk (-get +walk):\n%s", d)
			}
			got = append(got, rec.AOR)
			n++
			return n < 3
		})
		if err != nil || n > 3 {
			t.Fatalf("Walk: %d Records after it was told to end, %v", n, err)
		}
		if c = next; c.IsZero() {
			break
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if d := Diff(want, got); d != "" {
		t.Errorf("found (-want +got):\n%s", d)
	}
}

func testWalkLook(t *testing.T, s listStore) {
	now := clock()
	for n := range 1000 {
		mustUpdate(t, s, AOR(n), Put(Binding(AOR(n), 1, now)))
	}
	looked := 0
	next, err := s.Walk(t.Context(), usrloc.Cursor{}, 100, func(usrloc.AOR) bool { looked++; return false }, func(rec usrloc.Record) bool {
		t.Errorf("Walk found %s, whom nobody wants", rec.AOR)
		return true
	})
	if err != nil || next.IsZero() {
		t.Errorf("Walk for nobody: next %q, %v; want a place to go on", next, err)
	}
	if looked > 200 {
		t.Errorf("Walk looked at %d AORs, want about 100", looked)
	}
}

func testCursorText(t *testing.T, s listStore) {
	now := clock()
	for n := range 200 {
		mustUpdate(t, s, AOR(n), Put(Binding(AOR(n), 1, now)))
	}
	seen, pages := map[usrloc.AOR]int{}, 0
	for text := ""; ; pages++ {
		c, err := usrloc.ParseCursor(text)
		if err != nil {
			t.Fatalf("ParseCursor(%q): %v", text, err)
		}
		recs, next, err := s.List(t.Context(), c, 9)
		if err != nil {
			t.Fatal(err)
		}
		for i := range recs {
			seen[recs[i].AOR]++
		}
		if text = next.String(); text == "" {
			break
		}
	}
	if len(seen) != 200 || pages == 0 {
		t.Errorf("%d AORs in %d pages by cursors as text, want 200", len(seen), pages+1)
	}
	for _, text := range []string{"-", "1", "1-2", "1-2-3-4", "0-0-0", "01-2-3", "A-1-1", "-1-2-3", "1-2-ffffffff1", " 1-2-3", "1-2-3\n"} {
		if c, err := usrloc.ParseCursor(text); !errors.Is(err, usrloc.ErrCursor) {
			t.Errorf("ParseCursor(%q) = %q, %v", text, c, err)
		}
	}
}

func testForeignCursor(t *testing.T, s listStore) {
	other := usrloc.NewMemory(usrloc.MemoryOptions{})
	now := clock()
	for n := range 4 {
		mustUpdate(t, s, AOR(n), Put(Binding(AOR(n), 1, now)))
		mustUpdate(t, other, AOR(n), Put(Binding(AOR(n), 1, now)))
	}
	_, c, err := other.List(t.Context(), usrloc.Cursor{}, 1)
	if err != nil || c.IsZero() {
		t.Fatalf("List of another store: next %q, %v", c, err)
	}
	if _, _, err := s.List(t.Context(), c, 1); !errors.Is(err, usrloc.ErrCursor) {
		t.Errorf("List from a place in another store: %v, want ErrCursor", err)
	}
	if c, err = usrloc.ParseCursor("1-ffff-1"); err != nil {
		t.Fatal(err)
	}
	if recs, _, err := s.List(t.Context(), c, 1); !errors.Is(err, usrloc.ErrCursor) && (err != nil || len(recs) != 0) {
		t.Errorf("List from a place that is none: %d Records, %v", len(recs), err)
	}
}

// testListMeanwhile goes through the store while half of the AORs come, go and
// change.
func testListMeanwhile(t *testing.T, s listStore) {
	const aors = 240
	now := clock()
	for n := range aors {
		mustUpdate(t, s, AOR(n), Put(Binding(AOR(n), 1, now)))
	}
	var wg sync.WaitGroup
	var stop atomic.Bool
	for w := range 4 {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				n := w + 4*(i%(aors/4))
				switch aor := AOR(n); {
				case n%2 == 0: // it stays, with another second phone
					if i%3 == 0 {
						mustUpdateIn(t, s, aor, Remove(usrloc.CauseRegister, ID(aor, 2)))
					} else {
						mustUpdateIn(t, s, aor, Put(Binding(aor, 2, now)))
					}
				case i%3 == 0:
					mustUpdateIn(t, s, aor, Put(Binding(aor, 1, now)))
				default:
					mustUpdateIn(t, s, aor, Remove(usrloc.CauseRegister, ID(aor, 1)))
				}
				pause(100 * time.Microsecond)
			}
		})
	}
	for range 5 {
		seen := walk(t, s, 5, func() { pause(300 * time.Microsecond) })
		for n := 0; n < aors; n += 2 {
			if seen[AOR(n)] != 1 {
				t.Errorf("%s, which stays, is listed %d times", AOR(n), seen[AOR(n)])
			}
		}
	}
	stop.Store(true)
	wg.Wait()
}

func testListContext(t *testing.T, s listStore) {
	mustUpdate(t, s, AOR(1), Put(Binding(AOR(1), 1, clock())))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.List(ctx, usrloc.Cursor{}, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("List with an ended context: %v", err)
	}
}
