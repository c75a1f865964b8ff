package usrloctest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"reveille/usrloc"
)

// A toucher is a store that has a Touch. It may decline any of them: the tests
// make an Update then, as its callers do.
type toucher interface {
	usrloc.Store
	Touch(aor usrloc.AOR, now time.Time, fn func([]usrloc.Binding) int, wait usrloc.Waiter) usrloc.Touched
}

var touchCases = []testCase{
	{name: "IsUpdate", run: touching(testTouchIsUpdate)},
	{name: "VisibleToReadersAndTimers", run: touching(testTouchVisible)},
	{name: "KeepsWhatItMayNotChange", run: touching(testTouchKeeps)},
	{name: "Declines", run: touching(testTouchDeclines)},
	{name: "WatchMissesNothing", run: touching(testTouchWatch)},
	{name: "WaiterMayUseTheStore", run: touching(testTouchReenters)},
	{name: "ToldInCommitOrderExactlyOnce", run: touching(testTouchOrder)},
}

// touching is a case for stores that have a Touch; for others there is nothing
// to test.
func touching(run func(*testing.T, toucher)) func(*testing.T, usrloc.Store) {
	return func(t *testing.T, s usrloc.Store) {
		if s, ok := s.(toucher); ok {
			run(t, s)
		}
	}
}

// A waiter hands an end on.
type waiter func(error)

func (w waiter) Settled(err error) { w(err) }

// refresh makes a Touch, or an Update if that is declined, of the first binding of
// an AOR. done is called exactly once if the store is right.
func refresh(s toucher, aor usrloc.AOR, fn func(*usrloc.Binding), done func(error)) (touched usrloc.Touched) {
	return refreshAt(s, aor, 0, func(all []usrloc.Binding) { fn(&all[0]) }, done)
}

// refreshAt is refresh of the binding at index i. fn gets all of them; what it
// changes of the others is not to be kept.
func refreshAt(s toucher, aor usrloc.AOR, i int, fn func([]usrloc.Binding), done func(error)) (touched usrloc.Touched) {
	touched = s.Touch(aor, time.Now(), func(all []usrloc.Binding) int { fn(all); return i }, waiter(done))
	switch touched {
	case usrloc.TouchPending:
	case usrloc.TouchDone:
		done(nil)
	case usrloc.TouchDeclined:
		s.Update(context.Background(), aor, func(rec usrloc.Record) (usrloc.Record, error) {
			next, shown := slices.Clone(rec.Bindings), slices.Clone(rec.Bindings)
			fn(shown)
			next[i] = shown[i]
			rec.Bindings = next
			return rec, nil
		}, func(_ usrloc.Record, _ []usrloc.Change, err error) { done(err) })
	}
	return touched
}

// plain returns a binding that a Touch may change.
func plain(aor usrloc.AOR, now time.Time) usrloc.Binding { return sibling(aor, 1, now) }

// sibling returns the i-th binding of an AOR with several that a Touch may change.
func sibling(aor usrloc.AOR, i int, now time.Time) usrloc.Binding {
	b := Binding(aor, i, now)
	b.CSeq = 0
	return b
}

// comeBack is what a refresh may change, at random.
func comeBack(r *rand.Rand, b *usrloc.Binding, now time.Time) {
	b.CSeq++
	b.Updated = now
	b.Expires = now.Add(time.Duration(1+r.IntN(100)) * time.Hour)
	b.RetainUntil = b.Expires.Add(time.Duration(r.IntN(2)) * time.Hour)
	b.RefreshAt = []time.Time{{}, b.Expires.Add(-time.Minute)}[r.IntN(2)]
	switch r.IntN(7) {
	case 0:
		b.CallID = strings.Repeat("c", r.IntN(300))
	case 1:
		b.UserAgent = strings.Repeat("u", r.IntN(128))
	case 2:
		b.Flow.Listener, b.Flow.Conn = strings.Repeat("l", r.IntN(20)), r.Uint64()
	case 3:
		addr := []string{"192.0.2.9:1", "[2001:db8::1]:5060", "[fe80::1%eth0]:9", "[::ffff:192.0.2.1]:7"}[r.IntN(4)]
		b.Flow.Remote = netip.MustParseAddrPort(addr)
	case 4:
		b.Flow.Incarnation, b.Flow.Node = r.Uint64(), r.Uint32()
	case 5:
		b.GRUUSet = r.Uint64N(2) * r.Uint64()
	}
}

// testTouchIsUpdate refreshes at random, with and without waiting, AORs with one
// binding and with more, and compares with what the same changes make of plain
// values.
func testTouchIsUpdate(t *testing.T, s toucher) {
	const aors = 6
	r, now := rand.New(rand.NewPCG(1, 3)), clock()
	var want [aors][]usrloc.Binding
	for i := range want {
		for n := range 1 + i%4 {
			want[i] = append(want[i], sibling(AOR(i), n, now))
		}
		mustUpdate(t, s, AOR(i), Put(want[i]...))
	}
	var ends sync.WaitGroup
	for range 300 {
		i := r.IntN(aors)
		n := r.IntN(len(want[i]))
		next := want[i][n]
		comeBack(r, &next, now)
		ends.Add(1)
		refreshAt(s, AOR(i), n, func(all []usrloc.Binding) {
			if d := Diff(want[i], all); d != "" {
				t.Errorf("fn is shown (-want +got):\n%s", d)
			}
			clear(all)
			all[n] = next
		}, func(err error) {
			if err != nil {
				t.Errorf("refresh: %v", err)
			}
			ends.Done()
		})
		want[i][n] = next
		if r.IntN(4) == 0 {
			ends.Wait()
		}
	}
	ends.Wait()
	for i := range want {
		if d := Diff(want[i], mustGet(t, s, AOR(i)).Bindings); d != "" {
			t.Errorf("%s (-want +got):\n%s", AOR(i), d)
		}
	}
}

func testTouchVisible(t *testing.T, s toucher) {
	aor, now := AOR(1), clock()
	b := plain(aor, now)
	b.RefreshAt = now.Add(-time.Second)
	before := mustUpdate(t, s, aor, Put(b)).rec
	due := mustClaim(t, s, now, 2)
	if len(due) != 1 || due[0].Kind != usrloc.DueRefresh {
		t.Fatalf("Claim = %+v, want the refresh", due)
	}
	b.CSeq, b.RefreshAt = 7, now.Add(30*time.Minute)
	ended := make(chan error, 2)
	refresh(s, aor, func(c *usrloc.Binding) { *c = b }, func(err error) { ended <- err })
	rec := mustGet(t, s, aor) // perhaps before it is durable
	if d := Diff([]usrloc.Binding{b}, rec.Bindings); d != "" || rec.Version <= before.Version {
		t.Errorf("Get at Version %d after %d (-want +got):\n%s", rec.Version, before.Version, d)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	s.Done(due[0], now.Add(time.Minute)) // too late: the binding has changed
	if due := mustClaim(t, s, b.RefreshAt.Add(-time.Second), 2); len(due) != 0 {
		t.Errorf("Claim before the new time = %+v", due)
	}
	if due := mustClaim(t, s, b.RefreshAt, 2); len(due) != 1 || !due[0].At.Equal(b.RefreshAt) {
		t.Errorf("Claim at the new time = %+v", due)
	}
}

func testTouchKeeps(t *testing.T, s toucher) {
	aor, now := AOR(1), clock()
	want := plain(aor, now)
	mustUpdate(t, s, aor, Put(want))
	pause(50 * time.Millisecond) // the Update has been told of
	ended := make(chan error, 2)
	switch s.Touch(aor, now, First(func(b *usrloc.Binding) bool {
		b.ID[5]++
		b.Contact, b.Params, b.Instance, b.RegID, b.Q = "sip:eve@example.com", ";x", "i", 9, 3
		b.Push, b.Created, b.Path, b.Methods = usrloc.Push{}, now.Add(-time.Hour), []string{"<sip:p>"}, usrloc.MethodRefer
		b.Received, b.Attributes = "sip:192.0.2.1", `{"a":"1"}`
		b.CSeq++
		return true
	}), waiter(func(err error) { ended <- err })) {
	case usrloc.TouchDeclined:
		return
	case usrloc.TouchDone:
	case usrloc.TouchPending:
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	want.CSeq++
	if d := Diff([]usrloc.Binding{want}, mustGet(t, s, aor).Bindings); d != "" {
		t.Errorf("Get (-want +got):\n%s", d)
	}
}

// withOther returns two bindings, the second of which is changed.
func withOther(aor usrloc.AOR, now time.Time, change func(*usrloc.Binding)) []usrloc.Binding {
	other := sibling(aor, 2, now)
	change(&other)
	return []usrloc.Binding{plain(aor, now), other}
}

func testTouchDeclines(t *testing.T, s toucher) {
	now := clock()
	path, lapsed := plain(AOR(3), now), plain(AOR(4), now)
	path.Path = []string{"<sip:edge.example.com;lr>"}
	lapsed.RetainUntil = now.Add(100 * time.Millisecond)
	mustUpdate(t, s, AOR(3), Put(path))
	mustUpdate(t, s, AOR(4), Put(lapsed))
	mustUpdate(t, s, AOR(2), Put(withOther(AOR(2), now, func(b *usrloc.Binding) { b.Path = path.Path })...))
	mustUpdate(t, s, AOR(7), Put(withOther(AOR(7), now, func(b *usrloc.Binding) { b.RetainUntil = lapsed.RetainUntil })...))
	mustUpdate(t, s, AOR(5), Put(plain(AOR(5), now)))
	mustUpdate(t, s, AOR(6), Put(plain(AOR(6), now)))
	_, cancel := mustWatch(t, s, AOR(5), now.Add(time.Hour), func(c usrloc.Change) { t.Errorf("reported %v", c.Kind) })
	defer cancel()
	pause(200 * time.Millisecond)
	for i, name := range map[int]string{1: "no binding", 2: "another has a Path", 3: "Path", 4: "lapsed", 5: "watched", 6: "refused by fn", 7: "another has lapsed"} {
		before := mustGet(t, s, AOR(i))
		got := s.Touch(AOR(i), time.Now(), First(func(b *usrloc.Binding) bool { b.CSeq++; return i != 6 }),
			waiter(func(error) { t.Errorf("%s: the Waiter was told", name) }))
		if got != usrloc.TouchDeclined {
			t.Errorf("%s: Touch = %v, want TouchDeclined", name, got)
		}
		if d := Diff(before, mustGet(t, s, AOR(i))); d != "" {
			t.Errorf("%s: (-before +after)\n%s", name, d)
		}
	}
	pause(50 * time.Millisecond)
}

// testTouchWatch: what a watch's Record does not show yet, it reports.
func testTouchWatch(t *testing.T, s toucher) {
	aor, now := AOR(1), clock()
	mustUpdate(t, s, aor, Put(plain(aor, now)))
	next := func(b *usrloc.Binding) { b.CSeq++ }
	for range 20 {
		var ends sync.WaitGroup
		ends.Add(6)
		done := func(error) { ends.Done() }
		for range 3 {
			refresh(s, aor, next, done)
		}
		var l log
		rec, cancel := mustWatch(t, s, aor, now.Add(time.Hour), l.add)
		for range 3 {
			refresh(s, aor, next, done)
		}
		ends.Wait()
		got := l.waitFor(t, 3)
		for i, c := range got {
			if want := rec.Bindings[0].CSeq + uint32(i) + 1; c.New.CSeq != want || c.Old.CSeq != want-1 {
				t.Errorf("report %d is CSeq %d to %d, want to %d", i, c.Old.CSeq, c.New.CSeq, want)
			}
		}
		if len(got) != 3 {
			t.Errorf("%d reports, want 3", len(got))
		}
		cancel()
		pause(time.Millisecond)
	}
}

func testTouchReenters(t *testing.T, s toucher) {
	aor, now := AOR(1), clock()
	mustUpdate(t, s, aor, Put(plain(aor, now)))
	ended := make(chan error, 3)
	next := func(b *usrloc.Binding) { b.CSeq++ }
	refresh(s, aor, next, func(error) {
		// All of these take the locks that Touch took.
		if rec, err := s.Get(context.Background(), aor); err != nil || rec.Bindings[0].CSeq == 0 {
			t.Errorf("Get in Settled = %+v, %v", rec, err)
		}
		refresh(s, aor, next, func(err error) { ended <- err })
		s.Update(context.Background(), aor, count, func(_ usrloc.Record, _ []usrloc.Change, err error) { ended <- err })
	})
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if got := mustGet(t, s, aor).Bindings[0].CSeq; got != 3 {
		t.Errorf("CSeq = %d, want 3", got)
	}
}

// testTouchOrder has many goroutines change one AOR by Touch and by Update, some
// of which change nothing, and none of which waits for another. Who learns from
// the result that a Touch is durable may be overtaken before it says so: with
// such a store only the number of ends is compared.
func testTouchOrder(t *testing.T, s toucher) {
	const writers, each = 8, 60
	aor := AOR(1)
	mustUpdate(t, s, aor, Put(plain(aor, clock())))
	var mu sync.Mutex // guards what follows
	var last uint32
	calls, problem, inline := 0, "", false
	told := func(cseq uint32, changed bool, err error) {
		mu.Lock()
		defer mu.Unlock()
		calls++
		want := last
		if changed {
			want++
		}
		if err != nil {
			t.Errorf("told: %v", err)
		}
		if cseq != want {
			problem = fmt.Sprintf("told of CSeq %d after %d", cseq, last)
		}
		last = cseq
	}
	var wg, ends sync.WaitGroup
	ends.Add(writers * each)
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				var cseq uint32
				switch (w + i) % 5 {
				case 0:
					s.Update(t.Context(), aor, Keep, func(rec usrloc.Record, _ []usrloc.Change, err error) {
						defer ends.Done()
						told(rec.Bindings[0].CSeq, false, err)
					})
				case 1:
					s.Update(t.Context(), aor, count, func(rec usrloc.Record, _ []usrloc.Change, err error) {
						defer ends.Done()
						told(rec.Bindings[0].CSeq, true, err)
					})
				default:
					if refresh(s, aor, func(b *usrloc.Binding) { b.CSeq++; cseq = b.CSeq }, func(err error) {
						defer ends.Done()
						told(cseq, true, err)
					}) == usrloc.TouchDone {
						mu.Lock()
						inline = true
						mu.Unlock()
					}
				}
				if i%7 == 0 {
					pause(5 * time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	ends.Wait()
	pause(50 * time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	if problem != "" && !inline || calls != writers*each {
		t.Errorf("%d ends of %d changes; %s", calls, writers*each, problem)
	}
}
