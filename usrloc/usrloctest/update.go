package usrloctest

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"reveille/flow"
	"reveille/usrloc"
)

var updateCases = []testCase{
	{name: "GetOfUnknownAOR", run: testGetUnknown},
	{name: "CreateIsVisibleWithAORAndVersion", run: testCreate},
	{name: "EveryFieldRoundTrips", run: testRoundTrip},
	{name: "TimesAreCutToMilliseconds", run: testMilliseconds},
	{name: "ErrorLeavesEverythingAsItWas", run: testFnError},
	{name: "ChangeKindsAndCause", run: testChangeKinds},
	{name: "EqualResultCommitsNothing", run: testUnchanged},
	{name: "EachFieldCounts", run: testEachFieldCounts},
	{name: "ChangeOfGRUUSetIsSilent", run: testSilent},
	{name: "OrderOfFirstRegistration", run: testOrder},
	{name: "VersionGrows", run: testVersionGrows},
	{name: "ForeignIDsAreRefused", run: testForeignID},
	{name: "Resolve", run: testResolve},
	{name: "DoneMayUseTheStore", run: testDoneReenters},
	{name: "EndedContext", run: testContext},
}

// Diff says how what a store returned differs from what is wanted, "" if it does not.
// Addresses compare by ==, nil and empty slices are the same.
func Diff(want, got any) string {
	if reflect.DeepEqual(want, got) {
		return "" // As nearly always, and so in a tenth of the time.
	}
	return cmp.Diff(want, got, cmpopts.EquateEmpty(),
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
		cmpopts.IgnoreFields(usrloc.Record{}, "Cause"))
}

// clock returns the time as a store keeps it.
func clock() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func testGetUnknown(t *testing.T, s usrloc.Store) {
	if d := Diff(usrloc.Record{AOR: AOR(1)}, mustGet(t, s, AOR(1))); d != "" {
		t.Errorf("Get of an unknown AOR (-want +got):\n%s", d)
	}
}

func testCreate(t *testing.T, s usrloc.Store) {
	aor := AOR(1)
	b := Binding(aor, 1, clock())
	ch := start(t.Context(), s, aor, func(rec usrloc.Record) (usrloc.Record, error) {
		if rec.AOR != aor || len(rec.Bindings) != 0 {
			t.Errorf("fn got %+v, want an empty Record of %s", rec, aor)
		}
		return usrloc.Record{AOR: "sip:wrong@example.com", Version: 1 << 40, Bindings: []usrloc.Binding{b}}, nil
	})
	o := <-ch
	if o.err != nil {
		t.Fatalf("Update: %v", o.err)
	}
	if o.rec.Version == 0 || o.rec.Version == 1<<40 {
		t.Errorf("Version = %d, want one that the store sets", o.rec.Version)
	}
	if d := Diff(usrloc.Record{AOR: aor, Version: o.rec.Version, Bindings: []usrloc.Binding{b}}, o.rec); d != "" {
		t.Errorf("done's Record (-want +got):\n%s", d)
	}
	if d := Diff([]usrloc.Change{{Kind: usrloc.Created, AOR: aor, Version: o.rec.Version, New: &b}}, o.changes); d != "" {
		t.Errorf("done's Changes (-want +got):\n%s", d)
	}
	if d := Diff(o.rec, mustGet(t, s, aor)); d != "" {
		t.Errorf("Get (-done +got):\n%s", d)
	}
	pause(50 * time.Millisecond)
	if len(ch) != 0 {
		t.Errorf("done ran again")
	}
}

// unusual are bindings that a codec may trip over.
func unusual(aor usrloc.AOR, now time.Time) []usrloc.Binding {
	bare := usrloc.Binding{ID: ID(aor, 1), Expires: now.Add(time.Hour), RetainUntil: now.Add(2 * time.Hour)}
	full := Binding(aor, 2, now)
	full.Path = []string{"<sip:edge1.example.com;lr>", "", "<sip:edge2.example.com;lr>"}
	full.Q = 1000
	escaped := Binding(aor, 3, now)
	escaped.Contact = "sip:a@[2001:db8::1]:5061;pn-provider=webpush;pn-param=BPk_x;PN-PRID=https%3A%2F%2Fpush.example.net%2fsend%2Fa%3Db%25;ob?Subject=x"
	escaped.Push = usrloc.Push{Provider: "webpush", Param: "BPk_x", PRID: "https://push.example.net/send/a=b%"}
	escaped.Flow = flow.Flow{Node: 1<<32 - 1, Listener: "lan", Transport: flow.UDP, Remote: netip.MustParseAddrPort("[2001:db8::1%eth0]:5060")}
	elsewhere := Binding(aor, 4, now)
	elsewhere.Push = usrloc.Push{Provider: "apns", Param: "not in the Contact", PRID: "nor is %41 this"}
	elsewhere.Instance = `<not in the params>"`
	mapped := Binding(aor, 5, now)
	mapped.Flow.Remote = netip.MustParseAddrPort("[::ffff:192.0.2.1]:1")
	mapped.Flow.Conn, mapped.CSeq, mapped.RegID = 1<<64-1, 1<<32-1, 1<<32-1
	long := Binding(aor, 6, now)
	long.Contact, long.Params = "sip:"+strings.Repeat("x", 65000), strings.Repeat(";\x00\xff", 400)
	long.UserAgent, long.CallID = strings.Repeat("u", 300), "\r\n"
	return []usrloc.Binding{bare, full, escaped, elsewhere, mapped, long}
}

func testRoundTrip(t *testing.T, s usrloc.Store) {
	aor := usrloc.AOR("sip:%00\xff@example.com")
	want := unusual(aor, clock())
	mustUpdate(t, s, aor, Put(want...))
	if d := Diff(want, mustGet(t, s, aor).Bindings); d != "" {
		t.Errorf("Get (-put +got):\n%s", d)
	}
}

func testMilliseconds(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	fine := Binding(aor, 1, now.Add(999_999*time.Nanosecond).In(time.FixedZone("", 3600)))
	want := Binding(aor, 1, now)
	o := mustUpdate(t, s, aor, Put(fine))
	if d := Diff([]usrloc.Binding{want}, o.rec.Bindings); d != "" {
		t.Errorf("done's Bindings (-want +got):\n%s", d)
	}
	if d := Diff([]usrloc.Binding{want}, mustGet(t, s, aor).Bindings); d != "" {
		t.Errorf("Get (-want +got):\n%s", d)
	}
	if o := mustUpdate(t, s, aor, Put(fine)); len(o.changes) != 0 {
		t.Errorf("the same again changed something: %+v", o.changes)
	}
}

func testFnError(t *testing.T, s usrloc.Store) {
	aor := AOR(1)
	before := mustUpdate(t, s, aor, Put(Binding(aor, 1, clock()))).rec
	cause := errors.New("refused")
	ch := start(t.Context(), s, aor, func(rec usrloc.Record) (usrloc.Record, error) {
		return usrloc.Record{}, cause
	})
	if o := <-ch; !errors.Is(o.err, cause) || len(o.changes) != 0 {
		t.Errorf("done got %v and %d changes, want fn's error and none", o.err, len(o.changes))
	}
	if d := Diff(before, mustGet(t, s, aor)); d != "" {
		t.Errorf("Get after an error (-before +after):\n%s", d)
	}
	pause(50 * time.Millisecond)
	if len(ch) != 0 {
		t.Errorf("done ran again")
	}
}

func testChangeKinds(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	a, b, c := Binding(aor, 1, now), Binding(aor, 2, now), Binding(aor, 3, now)
	mustUpdate(t, s, aor, Put(a, b))
	b2 := b
	b2.CSeq++
	b2.Flow.Conn = 77
	o := mustUpdate(t, s, aor, func(rec usrloc.Record) (usrloc.Record, error) {
		return usrloc.Record{Bindings: []usrloc.Binding{b2, c}, Cause: usrloc.CauseOperator}, nil
	})
	v := o.rec.Version
	want := []usrloc.Change{
		{Kind: usrloc.Removed, Cause: usrloc.CauseOperator, AOR: aor, Version: v, Old: &a},
		{Kind: usrloc.Updated, Cause: usrloc.CauseOperator, AOR: aor, Version: v, Old: &b, New: &b2},
		{Kind: usrloc.Created, Cause: usrloc.CauseOperator, AOR: aor, Version: v, New: &c},
	}
	if d := Diff(want, o.changes); d != "" {
		t.Errorf("Changes (-want +got):\n%s", d)
	}
	if d := Diff([]usrloc.Binding{b2, c}, mustGet(t, s, aor).Bindings); d != "" {
		t.Errorf("Get (-want +got):\n%s", d)
	}
}

func testUnchanged(t *testing.T, s usrloc.Store) {
	aor := AOR(1)
	bindings := unusual(aor, clock())
	before := mustUpdate(t, s, aor, Put(bindings...)).rec
	for name, fn := range map[string]func(usrloc.Record) (usrloc.Record, error){
		"same slice": Keep,
		"same bindings, no version, another cause": func(usrloc.Record) (usrloc.Record, error) {
			return usrloc.Record{Bindings: bindings, Cause: usrloc.CauseFlow}, nil
		},
	} {
		o := mustUpdate(t, s, aor, fn)
		if len(o.changes) != 0 {
			t.Errorf("%s: %d changes, want none", name, len(o.changes))
		}
		if d := Diff(before, o.rec); d != "" {
			t.Errorf("%s: done's Record (-before +got):\n%s", name, d)
		}
	}
	if o := mustUpdate(t, s, AOR(2), Keep); len(o.changes) != 0 || o.rec.Version != 0 {
		t.Errorf("an Update that leaves an unknown AOR empty: %+v", o)
	}
}

func testEachFieldCounts(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	b := Binding(aor, 1, now)
	mustUpdate(t, s, aor, Put(b))
	later := func(at *time.Time) { *at = at.Add(time.Millisecond) }
	for _, c := range []struct {
		name   string
		change func(*usrloc.Binding)
	}{
		{"Contact", func(b *usrloc.Binding) { b.Contact += ";x" }},
		{"Params", func(b *usrloc.Binding) { b.Params += ";x" }},
		{"Q", func(b *usrloc.Binding) { b.Q = 0 }},
		{"CallID", func(b *usrloc.Binding) { b.CallID = "new" }},
		{"CSeq", func(b *usrloc.Binding) { b.CSeq++ }},
		{"Created", func(b *usrloc.Binding) { later(&b.Created) }},
		{"Updated", func(b *usrloc.Binding) { later(&b.Updated) }},
		{"Expires", func(b *usrloc.Binding) { b.Expires = b.Expires.Add(-time.Second) }},
		{"RetainUntil", func(b *usrloc.Binding) { later(&b.RetainUntil) }},
		{"RefreshAt", func(b *usrloc.Binding) { b.RefreshAt = time.Time{} }},
		{"Flow", func(b *usrloc.Binding) { b.Flow.Listener = "other" }},
		{"Path", func(b *usrloc.Binding) { b.Path = []string{"<sip:edge.example.com;lr>"} }},
		{"Received", func(b *usrloc.Binding) { b.Received = "sip:192.0.2.1:5060" }},
		{"UserAgent", func(b *usrloc.Binding) { b.UserAgent = "" }},
		{"Methods", func(b *usrloc.Binding) { b.Methods ^= usrloc.MethodUpdate }},
		{"Instance", func(b *usrloc.Binding) { b.Instance += "0" }},
		{"RegID", func(b *usrloc.Binding) { b.RegID = 0 }},
		{"Attributes", func(b *usrloc.Binding) { b.Attributes = `{"b":"2"}` }},
		{"Push.Provider", func(b *usrloc.Binding) { b.Push.Provider = "FCM" }},
		{"Push.Param", func(b *usrloc.Binding) { b.Push.Param = "" }},
		{"Push.PRID", func(b *usrloc.Binding) { b.Push.PRID = "new" }},
		{"Push.SelfWaking", func(b *usrloc.Binding) { b.Push.SelfWaking = false }},
	} {
		c.change(&b)
		o := mustUpdate(t, s, aor, Put(b))
		if len(o.changes) != 1 || o.changes[0].Kind != usrloc.Updated {
			t.Errorf("%s: changes %+v, want one Updated", c.name, o.changes)
		}
		if d := Diff([]usrloc.Binding{b}, mustGet(t, s, aor).Bindings); d != "" {
			t.Errorf("%s: Get (-want +got):\n%s", c.name, d)
		}
	}
}

// testSilent changes the GRUUSet of two bindings; the device of one of them speaks.
func testSilent(t *testing.T, s usrloc.Store) {
	aor, at := AOR(1), clock().Add(time.Hour)
	silent := timed(t, s, aor, 1, at)
	due := one(t, s, at, usrloc.DueRefresh, silent, "when due")
	spoke := timed(t, s, aor, 2, time.Time{})
	heard := make(chan usrloc.Change, 4)
	_, cancel, err := s.Watch(t.Context(), aor, clock().Add(time.Hour), func(c usrloc.Change) { heard <- c })
	if err != nil {
		t.Fatal(err)
	}
	defer cancel()
	old := spoke
	silent.GRUUSet, spoke.GRUUSet, spoke.CSeq = 77, 77, 9
	o := mustUpdate(t, s, aor, Put(silent, spoke))
	want := usrloc.Change{Kind: usrloc.Updated, AOR: aor, Version: o.rec.Version, Old: &old, New: &spoke}
	if d := Diff([]usrloc.Change{want}, o.changes); d != "" {
		t.Errorf("Changes (-want +got):\n%s", d)
	}
	if d := Diff(want, <-heard); d != "" {
		t.Errorf("the watch was told (-want +got):\n%s", d)
	}
	silent.GRUUSet = 78
	if alone := mustUpdate(t, s, aor, Put(silent)); len(alone.changes) != 0 || alone.rec.Version <= o.rec.Version {
		t.Errorf("a silent change alone: version %d, changes %+v", alone.rec.Version, alone.changes)
	}
	if d := Diff([]usrloc.Binding{silent, spoke}, mustGet(t, s, aor).Bindings); d != "" {
		t.Errorf("Get (-want +got):\n%s", d)
	}
	pause(50 * time.Millisecond)
	if len(heard) != 0 {
		t.Errorf("the watch was told of a silent change: %+v", <-heard)
	}
	// The claim still counts.
	none(t, s, at, "after a silent change")
	s.Done(due, time.Time{})
	none(t, s, at.Add(usrloc.ClaimHold), "after Done")
}

func testOrder(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	a, b, c := Binding(aor, 1, now), Binding(aor, 2, now), Binding(aor, 3, now)
	mustUpdate(t, s, aor, Put(b))
	mustUpdate(t, s, aor, Put(a, c))
	b.CSeq++
	o := mustUpdate(t, s, aor, Put(b))
	want := []usrloc.Binding{b, a, c}
	if d := Diff(want, o.rec.Bindings); d != "" {
		t.Errorf("done's order (-want +got):\n%s", d)
	}
	mustUpdate(t, s, aor, Remove(usrloc.CauseRegister, b.ID))
	mustUpdate(t, s, aor, Put(b))
	if d := Diff([]usrloc.Binding{a, c, b}, mustGet(t, s, aor).Bindings); d != "" {
		t.Errorf("order after one left and came back (-want +got):\n%s", d)
	}
}

func testVersionGrows(t *testing.T, s usrloc.Store) {
	aor := AOR(1)
	b := Binding(aor, 1, clock())
	var last uint64
	for range 10 {
		b.CSeq++
		o := mustUpdate(t, s, aor, Put(b))
		if o.rec.Version <= last || mustGet(t, s, aor).Version != o.rec.Version {
			t.Fatalf("Version %d after %d", o.rec.Version, last)
		}
		last = o.rec.Version
	}
}

func testForeignID(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	other := AOR(2)
	for usrloc.Partition(other) == usrloc.Partition(aor) {
		other += "x"
	}
	b := Binding(aor, 1, now)
	zero := b
	zero.ID = usrloc.BindingID{}
	for name, bindings := range map[string][]usrloc.Binding{
		"of another AOR": {Binding(other, 1, now)},
		"zero":           {zero},
		"twice":          {b, b},
	} {
		o := update(t, s, aor, func(usrloc.Record) (usrloc.Record, error) {
			return usrloc.Record{Bindings: bindings}, nil
		})
		if !errors.Is(o.err, usrloc.ErrForeignID) {
			t.Errorf("%s: error %v, want ErrForeignID", name, o.err)
		}
	}
	if rec := mustGet(t, s, aor); len(rec.Bindings) != 0 {
		t.Errorf("refused bindings were stored: %+v", rec)
	}
}

func testResolve(t *testing.T, s usrloc.Store) {
	now := clock()
	for i := range 20 {
		mustUpdate(t, s, AOR(i), Put(Binding(AOR(i), 1, now), Binding(AOR(i), 2, now)))
	}
	for i := range 20 {
		for n := 1; n <= 2; n++ {
			if aor, err := s.Resolve(t.Context(), ID(AOR(i), n)); err != nil || aor != AOR(i) {
				t.Errorf("Resolve = %q, %v, want %q", aor, err, AOR(i))
			}
		}
	}
	mustUpdate(t, s, AOR(3), Remove(usrloc.CauseRegister, ID(AOR(3), 1)))
	if aor, err := s.Resolve(t.Context(), ID(AOR(3), 1)); !errors.Is(err, usrloc.ErrNotFound) {
		t.Errorf("Resolve of a removed binding = %q, %v, want ErrNotFound", aor, err)
	}
	if aor, err := s.Resolve(t.Context(), ID(AOR(3), 2)); err != nil || aor != AOR(3) {
		t.Errorf("Resolve of the other binding = %q, %v", aor, err)
	}
	if _, err := s.Resolve(t.Context(), ID(AOR(99), 1)); !errors.Is(err, usrloc.ErrNotFound) {
		t.Errorf("Resolve of an unknown binding: %v, want ErrNotFound", err)
	}
}

func testDoneReenters(t *testing.T, s usrloc.Store) {
	aor, now := AOR(1), clock()
	inner := make(chan outcome, 1)
	outer := make(chan error, 1)
	s.Update(t.Context(), aor, Put(Binding(aor, 1, now)), func(rec usrloc.Record, _ []usrloc.Change, err error) {
		// All of these take the locks that Update took.
		if got, err := s.Get(context.Background(), aor); err != nil || got.Version < rec.Version {
			t.Errorf("Get in done = %+v, %v", got, err)
		}
		if _, cancel, err := s.Watch(context.Background(), aor, now.Add(time.Minute), func(usrloc.Change) {}); err != nil {
			t.Errorf("Watch in done: %v", err)
		} else {
			cancel()
		}
		s.Update(context.Background(), aor, Put(Binding(aor, 2, now)), func(rec usrloc.Record, c []usrloc.Change, err error) {
			inner <- outcome{rec, c, err}
		})
		outer <- err
	})
	if err := <-outer; err != nil {
		t.Fatalf("Update: %v", err)
	}
	if o := <-inner; o.err != nil || len(o.rec.Bindings) != 2 {
		t.Errorf("Update in done: %d bindings, %v, want 2", len(o.rec.Bindings), o.err)
	}
}

func testContext(t *testing.T, s usrloc.Store) {
	aor := AOR(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := <-start(ctx, s, aor, Put(Binding(aor, 1, clock())))
	rec := mustGet(t, s, aor)
	if committed := len(rec.Bindings) == 1; committed != (o.err == nil) {
		t.Errorf("Update under an ended context: error %v, but committed is %v", o.err, committed)
	}
}
