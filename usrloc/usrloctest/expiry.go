package usrloctest

import (
	"errors"
	"testing"
	"time"

	"reveille/usrloc"
)

var expiryCases = []testCase{
	{name: "GoneForEveryReaderAtRetainUntil", run: testLapse},
	{name: "RetainedBeyondExpires", run: testRetained},
	{name: "FnDoesNotSeeWhatExpired", run: testLapsedHidden},
	{name: "ErrorDoesNotPublishExpiry", run: testLapsedError},
	{name: "SameIDComesBack", run: testLapsedReturns},
	{name: "ResultWithoutTimeLeft", run: testBornDead},
}

func testLapse(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	short, long := Binding(aor, 1, now), Binding(aor, 2, now)
	short.Expires = now.Add(500 * time.Millisecond)
	short.RetainUntil = short.Expires
	mustUpdate(t, s, aor, Put(short, long))
	if rec := mustGet(t, s, aor); len(rec.Bindings) != 2 {
		t.Fatalf("before RetainUntil: %d bindings, want 2", len(rec.Bindings))
	}
	pause(time.Until(short.RetainUntil)) // the very instant counts as passed
	if d := Diff([]usrloc.Binding{long}, mustGet(t, s, aor).Bindings); d != "" {
		t.Errorf("Get at RetainUntil (-want +got):\n%s", d)
	}
	if _, err := s.Resolve(t.Context(), short.ID); !errors.Is(err, usrloc.ErrNotFound) {
		t.Errorf("Resolve at RetainUntil: %v, want ErrNotFound", err)
	}
	rec, cancel, err := s.Watch(t.Context(), aor, now.Add(time.Hour), func(usrloc.Change) {})
	if err != nil {
		t.Fatalf("Watch: %v", err)
	}
	defer cancel()
	if d := Diff([]usrloc.Binding{long}, rec.Bindings); d != "" {
		t.Errorf("Watch at RetainUntil (-want +got):\n%s", d)
	}
	o := mustUpdate(t, s, aor, Keep)
	want := []usrloc.Change{{Kind: usrloc.Expired, Cause: usrloc.CauseExpiry, AOR: aor, Version: o.rec.Version, Old: &short}}
	if d := Diff(want, o.changes); d != "" {
		t.Errorf("Changes of the next Update (-want +got):\n%s", d)
	}
	if o := mustUpdate(t, s, aor, Keep); len(o.changes) != 0 {
		t.Errorf("expiry published again: %+v", o.changes)
	}
}

func testRetained(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	b := Binding(aor, 1, now)
	b.Expires = now.Add(10 * time.Millisecond)
	b.RetainUntil = now.Add(time.Hour)
	mustUpdate(t, s, aor, Put(b))
	pause(50 * time.Millisecond)
	if d := Diff([]usrloc.Binding{b}, mustGet(t, s, aor).Bindings); d != "" {
		t.Errorf("dormant binding (-want +got):\n%s", d)
	}
}

func testLapsedHidden(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	short := Binding(aor, 1, now)
	short.RetainUntil = now.Add(300 * time.Millisecond)
	mustUpdate(t, s, aor, Put(short))
	pause(time.Until(short.RetainUntil))
	next := Binding(aor, 2, now)
	o := mustUpdate(t, s, aor, func(rec usrloc.Record) (usrloc.Record, error) {
		if len(rec.Bindings) != 0 {
			t.Errorf("fn saw %d bindings, want none", len(rec.Bindings))
		}
		rec.Bindings, rec.Cause = []usrloc.Binding{next}, usrloc.CauseRegister
		return rec, nil
	})
	want := []usrloc.Change{
		{Kind: usrloc.Expired, Cause: usrloc.CauseExpiry, AOR: aor, Version: o.rec.Version, Old: &short},
		{Kind: usrloc.Created, AOR: aor, Version: o.rec.Version, New: &next},
	}
	if d := Diff(want, o.changes); d != "" {
		t.Errorf("Changes (-want +got):\n%s", d)
	}
}

func testLapsedError(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	b := Binding(aor, 1, now)
	b.RetainUntil = now.Add(300 * time.Millisecond)
	mustUpdate(t, s, aor, Put(b))
	pause(time.Until(b.RetainUntil))
	refused := errors.New("refused")
	o := update(t, s, aor, func(rec usrloc.Record) (usrloc.Record, error) { return rec, refused })
	if !errors.Is(o.err, refused) || len(o.changes) != 0 {
		t.Errorf("done got %d changes, %v, want none and fn's error", len(o.changes), o.err)
	}
	if o := mustUpdate(t, s, aor, Keep); len(o.changes) != 1 || o.changes[0].Kind != usrloc.Expired {
		t.Errorf("changes of the next Update: %+v, want one Expired", o.changes)
	}
}

func testLapsedReturns(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	b := Binding(aor, 1, now)
	b.RetainUntil = now.Add(300 * time.Millisecond)
	mustUpdate(t, s, aor, Put(b))
	pause(time.Until(b.RetainUntil))
	again := Binding(aor, 1, now)
	o := mustUpdate(t, s, aor, Put(again))
	want := []usrloc.Change{
		{Kind: usrloc.Expired, Cause: usrloc.CauseExpiry, AOR: aor, Version: o.rec.Version, Old: &b},
		{Kind: usrloc.Created, AOR: aor, Version: o.rec.Version, New: &again},
	}
	if d := Diff(want, o.changes); d != "" {
		t.Errorf("Changes (-want +got):\n%s", d)
	}
	if got, err := s.Resolve(t.Context(), b.ID); err != nil || got != aor {
		t.Errorf("Resolve = %q, %v", got, err)
	}
}

func testBornDead(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	alive, dead := Binding(aor, 1, now), Binding(aor, 2, now)
	dead.RetainUntil = now
	o := mustUpdate(t, s, aor, Put(alive, dead))
	if d := Diff([]usrloc.Binding{alive}, o.rec.Bindings); d != "" {
		t.Errorf("done's Bindings (-want +got):\n%s", d)
	}
	alive.RetainUntil = now
	o = mustUpdate(t, s, aor, Put(alive))
	if len(o.changes) != 1 || o.changes[0].Kind != usrloc.Removed || len(o.rec.Bindings) != 0 {
		t.Errorf("a binding whose time was ended: %+v, want one Removed", o)
	}
}
