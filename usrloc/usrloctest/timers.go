package usrloctest

import (
	"cmp"
	"slices"
	"sync"
	"testing"
	"time"

	"reveille/usrloc"
)

var timerCases = []testCase{
	{name: "RefreshIsDueAtRefreshAt", run: testRefreshDue},
	{name: "NoRefreshWithoutRefreshAt", run: testNoRefresh},
	{name: "ExpiryIsDueAtRetainUntil", run: testExpiryDue},
	{name: "ExpiryRemovesAndPublishes", run: testExpiryPublishes},
	{name: "NoRefreshOfWhatExpired", run: testNoRefreshAfterExpiry},
	{name: "AtMostNOldestFirst", run: testClaimOrder},
	{name: "HiddenForClaimHold", run: testClaimHold},
	{name: "DoneWithZeroNext", run: testDoneZero},
	{name: "DoneWithNext", run: testDoneNext},
	{name: "DoneAfterChangeDoesNothing", run: testDoneAfterChange},
	{name: "DoneAfterChangeOfAnotherBinding", run: testDoneAfterOtherChange},
	{name: "DoneAfterRemovalDoesNothing", run: testDoneAfterRemoval},
	{name: "DoneOfALostClaimDoesNothing", run: testDoneLate},
	{name: "TimersAreIndependent", run: testTimersIndependent},
	{name: "ChangeMovesTheTimer", run: testTimerMoves},
	{name: "RemovalEndsTheTimer", run: testTimerRemoved},
	{name: "OneClaimerAtATime", run: testOneClaimer},
}

// far is a RetainUntil that the timer tests never reach.
const far = 1000 * time.Hour

// timed stores a binding of aor that is to be refreshed at refresh.
func timed(t testing.TB, s usrloc.Store, aor usrloc.AOR, i int, refresh time.Time) usrloc.Binding {
	t.Helper()
	b := Binding(aor, i, clock())
	b.RefreshAt = refresh
	b.Expires = b.Updated.Add(far)
	b.RetainUntil = b.Expires
	mustUpdate(t, s, aor, Put(b))
	return b
}

// none checks that nothing is due at now.
func none(t testing.TB, s usrloc.Store, now time.Time, when string) {
	t.Helper()
	if due := mustClaim(t, s, now, 10); len(due) != 0 {
		t.Errorf("%s: Claim = %+v, want nothing", when, due)
	}
}

// one claims at now and checks that this is what is due.
func one(t testing.TB, s usrloc.Store, now time.Time, kind usrloc.DueKind, b usrloc.Binding, when string) usrloc.Due {
	t.Helper()
	due := mustClaim(t, s, now, 10)
	if len(due) != 1 || due[0].Kind != kind || due[0].ID != b.ID || due[0].At.After(now) {
		t.Fatalf("%s: Claim = %+v, want one timer of kind %d of %s", when, due, kind, b.ID)
	}
	return due[0]
}

func testRefreshDue(t *testing.T, s usrloc.Store) {
	at := clock().Add(time.Hour)
	b := timed(t, s, AOR(1), 1, at)
	none(t, s, at.Add(-time.Millisecond), "before RefreshAt")
	due := one(t, s, at, usrloc.DueRefresh, b, "at RefreshAt")
	if due.AOR != AOR(1) || !due.At.Equal(at) {
		t.Errorf("Due = %+v, want AOR %s at %s", due, AOR(1), at)
	}
}

func testNoRefresh(t *testing.T, s usrloc.Store) {
	timed(t, s, AOR(1), 1, time.Time{})
	none(t, s, clock().Add(far-time.Hour), "until RetainUntil")
}

func testExpiryDue(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	b := Binding(aor, 1, now)
	b.RefreshAt = time.Time{}
	b.RetainUntil = now.Add(2 * time.Hour) // Expires is earlier
	mustUpdate(t, s, aor, Put(b))
	none(t, s, b.RetainUntil.Add(-time.Millisecond), "before RetainUntil")
	due := one(t, s, b.RetainUntil, usrloc.DueExpiry, b, "at RetainUntil")
	if due.AOR != aor || !due.At.Equal(b.RetainUntil) {
		t.Errorf("Due = %+v, want AOR %s at %s", due, aor, b.RetainUntil)
	}
}

func testExpiryPublishes(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	b := Binding(aor, 1, now)
	b.RefreshAt = time.Time{}
	b.RetainUntil = now.Add(300 * time.Millisecond)
	mustUpdate(t, s, aor, Put(b))
	var l log
	_, cancel := mustWatch(t, s, aor, now.Add(time.Hour), l.add)
	defer cancel()
	pause(time.Until(b.RetainUntil))
	due := one(t, s, time.Now(), usrloc.DueExpiry, b, "at RetainUntil")
	mustUpdate(t, s, due.AOR, Keep)
	s.Done(due, time.Time{})
	if got := l.waitFor(t, 1); got[0].Kind != usrloc.Expired || got[0].Old.ID != b.ID {
		t.Errorf("reported %+v, want Expired", got)
	}
	none(t, s, time.Now().Add(far), "after the removal")
}

func testNoRefreshAfterExpiry(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	b := Binding(aor, 1, now)
	b.RefreshAt = b.RetainUntil.Add(-time.Minute)
	mustUpdate(t, s, aor, Put(b))
	// Nobody claimed for an hour: the device must not be woken any more.
	one(t, s, b.RetainUntil.Add(time.Hour), usrloc.DueExpiry, b, "long after RetainUntil")
}

func testClaimOrder(t *testing.T, s usrloc.Store) {
	now := clock()
	var want []usrloc.BindingID
	for i := range 50 {
		// The order of time is none of insertion.
		timed(t, s, AOR(i), 1, now.Add(time.Minute+time.Duration(i*37%50)*time.Second))
	}
	for at := range 50 {
		for i := range 50 {
			if i*37%50 == at {
				want = append(want, ID(AOR(i), 1))
			}
		}
	}
	var got []usrloc.BindingID
	end := now.Add(time.Hour)
	for _, n := range []int{0, 1, 20, 100, 100} {
		due := mustClaim(t, s, end, n)
		if len(due) > n {
			t.Fatalf("Claim(%d) returned %d", n, len(due))
		}
		slices.SortStableFunc(due, func(a, b usrloc.Due) int { return cmp.Compare(a.At.UnixMilli(), b.At.UnixMilli()) })
		for _, d := range due {
			got = append(got, d.ID)
		}
	}
	if d := Diff(want, got); d != "" {
		t.Errorf("order of claims (-want +got):\n%s", d)
	}
}

func testClaimHold(t *testing.T, s usrloc.Store) {
	at := clock().Add(time.Hour)
	b := timed(t, s, AOR(1), 1, at)
	for range 3 {
		one(t, s, at, usrloc.DueRefresh, b, "when due")
		none(t, s, at, "at once")
		none(t, s, at.Add(usrloc.ClaimHold-time.Millisecond), "before the end of ClaimHold")
		at = at.Add(usrloc.ClaimHold)
	}
}

func testDoneZero(t *testing.T, s usrloc.Store) {
	at := clock().Add(time.Hour)
	b := timed(t, s, AOR(1), 1, at)
	s.Done(one(t, s, at, usrloc.DueRefresh, b, "when due"), time.Time{})
	none(t, s, b.RetainUntil.Add(-time.Hour), "after Done")
	b.CSeq++
	mustUpdate(t, s, AOR(1), Put(b))
	one(t, s, at, usrloc.DueRefresh, b, "after a change")
}

func testDoneNext(t *testing.T, s usrloc.Store) {
	at := clock().Add(time.Hour)
	b := timed(t, s, AOR(1), 1, at)
	for range 3 {
		due := one(t, s, at, usrloc.DueRefresh, b, "when due")
		next := at.Add(5 * time.Minute)
		s.Done(due, next)
		none(t, s, next.Add(-time.Millisecond), "before next")
		at = next
	}
	// Sooner than ClaimHold is possible, too.
	s.Done(one(t, s, at, usrloc.DueRefresh, b, "when due"), at.Add(time.Second))
	one(t, s, at.Add(time.Second), usrloc.DueRefresh, b, "at the early next")
}

func testDoneAfterChange(t *testing.T, s usrloc.Store) {
	at := clock().Add(time.Hour)
	b := timed(t, s, AOR(1), 1, at)
	due := one(t, s, at, usrloc.DueRefresh, b, "when due")
	b.CSeq++
	b.RefreshAt = at.Add(time.Hour)
	mustUpdate(t, s, AOR(1), Put(b))
	s.Done(due, time.Time{})
	none(t, s, b.RefreshAt.Add(-time.Millisecond), "before the new RefreshAt")
	one(t, s, b.RefreshAt, usrloc.DueRefresh, b, "at the new RefreshAt")
}

func testDoneAfterOtherChange(t *testing.T, s usrloc.Store) {
	at := clock().Add(time.Hour)
	b := timed(t, s, AOR(1), 1, at)
	due := one(t, s, at, usrloc.DueRefresh, b, "when due")
	timed(t, s, AOR(1), 2, time.Time{})
	mustUpdate(t, s, AOR(1), Keep)
	none(t, s, at.Add(usrloc.ClaimHold-time.Millisecond), "before the end of ClaimHold")
	s.Done(due, time.Time{})
	none(t, s, b.RetainUntil.Add(-time.Hour), "after Done")
}

func testDoneAfterRemoval(t *testing.T, s usrloc.Store) {
	at := clock().Add(time.Hour)
	b := timed(t, s, AOR(1), 1, at)
	due := one(t, s, at, usrloc.DueRefresh, b, "when due")
	mustUpdate(t, s, AOR(1), Remove(usrloc.CauseRegister, b.ID))
	s.Done(due, at.Add(time.Second))
	none(t, s, at.Add(time.Hour), "after removal and Done")
	mustUpdate(t, s, AOR(1), Put(b)) // the same identity again
	s.Done(due, time.Time{})
	one(t, s, at, usrloc.DueRefresh, b, "after its return")
}

func testDoneLate(t *testing.T, s usrloc.Store) {
	at := clock().Add(time.Hour)
	b := timed(t, s, AOR(1), 1, at)
	first := one(t, s, at, usrloc.DueRefresh, b, "when due")
	at = at.Add(usrloc.ClaimHold)
	second := one(t, s, at, usrloc.DueRefresh, b, "after ClaimHold")
	s.Done(first, time.Time{})
	at = at.Add(usrloc.ClaimHold)
	third := one(t, s, at, usrloc.DueRefresh, b, "after a Done of the first claim")
	s.Done(third, at.Add(time.Hour))
	s.Done(second, time.Time{})
	s.Done(third, time.Time{})
	one(t, s, at.Add(time.Hour), usrloc.DueRefresh, b, "after a second Done of the third claim")
}

func testTimersIndependent(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	b := Binding(aor, 1, now)
	b.RetainUntil = b.RefreshAt.Add(10 * time.Second) // within ClaimHold
	mustUpdate(t, s, aor, Put(b))
	refresh := one(t, s, b.RefreshAt, usrloc.DueRefresh, b, "at RefreshAt")
	s.Done(refresh, time.Time{})
	expiry := one(t, s, b.RetainUntil, usrloc.DueExpiry, b, "at RetainUntil")
	s.Done(refresh, b.RetainUntil.Add(time.Second))
	none(t, s, b.RetainUntil.Add(2*time.Second), "after the first's second Done")
	s.Done(expiry, b.RetainUntil.Add(3*time.Second))
	one(t, s, b.RetainUntil.Add(3*time.Second), usrloc.DueExpiry, b, "at its next time")
	s.Done(usrloc.Due{Kind: 99, AOR: aor, ID: b.ID, Stamp: expiry.Stamp}, time.Time{})
}

func testTimerMoves(t *testing.T, s usrloc.Store) {
	now := clock()
	b := timed(t, s, AOR(1), 1, now.Add(time.Hour))
	for _, at := range []time.Duration{3 * time.Hour, 2 * time.Minute, 24 * time.Hour, 700 * time.Hour, time.Second} {
		b.RefreshAt = now.Add(at)
		mustUpdate(t, s, AOR(1), Put(b))
		none(t, s, now.Add(min(at, time.Hour)-time.Millisecond), "before its time")
	}
	one(t, s, now.Add(time.Second), usrloc.DueRefresh, b, "at the last time set")
	b.RefreshAt = time.Time{}
	mustUpdate(t, s, AOR(1), Put(b))
	none(t, s, b.RetainUntil.Add(-time.Millisecond), "without RefreshAt")
}

func testTimerRemoved(t *testing.T, s usrloc.Store) {
	at := clock().Add(time.Hour)
	b := timed(t, s, AOR(1), 1, at)
	mustUpdate(t, s, AOR(1), Remove(usrloc.CauseOperator, b.ID))
	none(t, s, at.Add(2*far), "after the removal")
}

func testOneClaimer(t *testing.T, s usrloc.Store) {
	const bindings, claimers = 200, 8
	at := clock().Add(time.Hour)
	for i := range bindings {
		timed(t, s, AOR(i), 1, at.Add(time.Duration(i)*time.Millisecond))
	}
	var mu sync.Mutex
	seen := make(map[usrloc.BindingID]int)
	var wg sync.WaitGroup
	for range claimers {
		wg.Go(func() {
			for {
				due, err := s.Claim(t.Context(), at.Add(time.Second), 7)
				if err != nil {
					t.Errorf("Claim: %v", err)
				}
				if len(due) == 0 {
					return
				}
				mu.Lock()
				for _, d := range due {
					seen[d.ID]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s was claimed %d times at once", id, n)
		}
	}
	if len(seen) != bindings {
		t.Errorf("%d bindings claimed, want %d", len(seen), bindings)
	}
}
