package usrloctest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"reveille/usrloc"
)

var concurrencyCases = []testCase{
	{name: "NoUpdateIsLost", run: testNoLostUpdate},
	{name: "DoneInCommitOrderExactlyOnce", run: testDoneOrder},
	{name: "ReadersSeeWholeRecords", run: testWholeRecords},
	{name: "ManyAORs", run: testManyAORs},
}

// count is an Update function that adds 1 to the CSeq of the first binding.
func count(rec usrloc.Record) (usrloc.Record, error) {
	b := rec.Bindings[0]
	b.CSeq++
	rec.Bindings = []usrloc.Binding{b}
	return rec, nil
}

func testNoLostUpdate(t *testing.T, s usrloc.Store) {
	const writers, each = 16, 40
	aor := AOR(1)
	b := Binding(aor, 1, clock())
	b.CSeq = 0
	mustUpdate(t, s, aor, Put(b))
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				mustUpdateIn(t, s, aor, count)
			}
		})
	}
	wg.Wait()
	if got := mustGet(t, s, aor).Bindings[0].CSeq; got != writers*each {
		t.Errorf("CSeq = %d after %d Updates", got, writers*each)
	}
}

// mustUpdateIn is mustUpdate for a goroutine that is not the test's own.
func mustUpdateIn(t testing.TB, s usrloc.Store, aor usrloc.AOR, fn func(usrloc.Record) (usrloc.Record, error)) {
	if o := <-start(t.Context(), s, aor, fn); o.err != nil {
		t.Errorf("Update(%s): %v", aor, o.err)
	}
}

// testDoneOrder starts Updates without waiting for the one before, some of which
// fail or change nothing.
func testDoneOrder(t *testing.T, s usrloc.Store) {
	const writers, each = 8, 50
	aor := AOR(1)
	b := Binding(aor, 1, clock())
	b.CSeq = 0
	mustUpdate(t, s, aor, Put(b))

	var running atomic.Int32
	var last atomic.Uint32
	var calls atomic.Int32
	var wg, dones sync.WaitGroup
	dones.Add(writers * each)
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				fn, fails := count, false
				switch (w + i) % 5 {
				case 3:
					fn = Keep
				case 4:
					fails = true
					fn = func(rec usrloc.Record) (usrloc.Record, error) { return rec, fmt.Errorf("refused") }
				}
				s.Update(t.Context(), aor, fn, func(rec usrloc.Record, changes []usrloc.Change, err error) {
					defer dones.Done()
					if running.Add(1) != 1 {
						t.Errorf("two done functions of one AOR at once")
					}
					defer running.Add(-1)
					calls.Add(1)
					if (err != nil) != fails {
						t.Errorf("done got error %v", err)
					}
					if err != nil {
						return
					}
					want := last.Load()
					if len(changes) > 0 {
						want++
					}
					if got := rec.Bindings[0].CSeq; got != want {
						t.Errorf("done got CSeq %d, want %d", got, want)
					}
					last.Store(want)
				})
				if i%7 == 0 {
					pause(time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	dones.Wait()
	pause(50 * time.Millisecond)
	if got := calls.Load(); got != writers*each {
		t.Errorf("%d calls of done functions for %d Updates", got, writers*each)
	}
}

// testWholeRecords changes two bindings in each Update; no reader may see them
// differ.
func testWholeRecords(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	a, b := Binding(aor, 1, now), Binding(aor, 2, now)
	b.CSeq, b.CallID = a.CSeq, a.CallID
	mustUpdate(t, s, aor, Put(a, b))
	var wg sync.WaitGroup
	var stop atomic.Bool
	wg.Go(func() {
		defer stop.Store(true)
		for i := range 300 {
			mustUpdateIn(t, s, aor, func(rec usrloc.Record) (usrloc.Record, error) {
				a, b := rec.Bindings[0], rec.Bindings[1]
				a.CSeq++
				b.CSeq++
				a.CallID = fmt.Sprintf("%0*d", i, i) // of any length
				b.CallID = a.CallID
				rec.Bindings = []usrloc.Binding{a, b}
				return rec, nil
			})
		}
	})
	for range 4 {
		wg.Go(func() {
			var version uint64
			for !stop.Load() {
				rec, err := s.Get(t.Context(), aor)
				if err != nil || len(rec.Bindings) != 2 || rec.Bindings[0].CSeq != rec.Bindings[1].CSeq ||
					rec.Bindings[0].CallID != rec.Bindings[1].CallID {
					t.Errorf("Get = %+v, %v", rec, err)
					return
				}
				if rec.Version < version {
					t.Errorf("Version %d after %d", rec.Version, version)
				}
				version = rec.Version
				pause(200 * time.Microsecond)
			}
		})
	}
	wg.Wait()
}

func testManyAORs(t *testing.T, s usrloc.Store) {
	const writers, each = 8, 24
	now := clock()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				aor := AOR(w*each + i)
				mustUpdateIn(t, s, aor, Put(Binding(aor, 1, now), Binding(aor, 2, now)))
				if i%2 == 0 {
					mustUpdateIn(t, s, aor, Remove(usrloc.CauseFlow, ID(aor, 1)))
				}
				if i%3 == 0 {
					mustUpdateIn(t, s, aor, Remove(usrloc.CauseFlow, ID(aor, 2)))
				}
			}
		})
	}
	wg.Wait()
	for n := range writers * each {
		i, aor := n%each, AOR(n)
		var want []usrloc.Binding
		if i%2 != 0 {
			want = append(want, Binding(aor, 1, now))
		}
		if i%3 != 0 {
			want = append(want, Binding(aor, 2, now))
		}
		if d := Diff(want, mustGet(t, s, aor).Bindings); d != "" {
			t.Fatalf("%s (-want +got):\n%s", aor, d)
		}
	}
}
