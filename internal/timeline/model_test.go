package timeline

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"reveille/internal/event"
)

// FuzzTimeline gives events in any order, of few requests, users and phones, and then
// looks whether all that finds Records agrees, and the bounds hold.
func FuzzTimeline(f *testing.F) {
	f.Add(uint64(1), uint16(200), uint8(20))
	f.Add(uint64(7), uint16(2000), uint8(3))
	f.Add(uint64(42), uint16(900), uint8(0))
	f.Fuzz(func(t *testing.T, seed uint64, n uint16, keep uint8) {
		synctest.Test(t, func(t *testing.T) { random(t, rand.New(rand.NewPCG(seed, 1)), int(n)%3000, int(keep)) })
	})
}

func random(t *testing.T, rnd *rand.Rand, n, keep int) {
	const maxBytes = 1 << 18
	var watching []func(Arrival)
	tl := New(Options{Keep: keep, MaxBytes: maxBytes, Watch: func(_ string, _ time.Time, registered func(Arrival)) (func(), error) {
		watching = append(watching, registered)
		if rnd.IntN(10) == 0 {
			return nil, fmt.Errorf("the store cannot say")
		}
		return func() {}, nil
	}})
	one := func(of ...string) string { return of[rnd.IntN(len(of))] }
	for range n {
		number := uint64(rnd.IntN(40))
		callID, aor := fmt.Sprintf("c%d", number%11), one(alice, bob, "sip:carol@example.com", "")
		binding, instance := one("1", "2", "3", ""), one(urn, "URN:UUID:F81D4FAE-7dec-11d0-a765-00a0c91e6bf6", "urn:x", "")
		now := time.Now()
		switch rnd.IntN(9) {
		case 0, 1, 2, 3:
			e := event.Call{
				Step:   one("received", "silent", "parked", "ringback", "woken", "released", "forwarded", "ringing", "answered", "timed_out", "branch_ended", "diverted", "cancelled", "failed", "refused", "new"),
				Method: one("INVITE", "MESSAGE", "BYE"), CallID: callID, From: bob, To: alice, AOR: aor, Binding: binding, Request: number, Asleep: rnd.IntN(4) > 0,
				Phone: rnd.IntN(2) == 0, Status: []int{0, 180, 200, 202, 404, 480, 486, 487, 503}[rnd.IntN(9)], Reason: one("", "Kept", "x"), Elapsed: time.Duration(rnd.IntN(int(time.Minute))),
				Lookup: one("", "found", "none", "error"), Flow: at("192.0.2.1:1"),
			}
			if rnd.IntN(2) == 0 {
				e.Sleeper = &event.Sleeper{Instance: instance, Provider: one("fcm", ""), Deadline: now.Add(time.Duration(rnd.IntN(int(time.Minute)))), Lacks: one("", "NoToken")}
			}
			tl.Emit(e)
		case 4:
			tl.Emit(event.PushRequested{PushID: one("p", "q"), AOR: aor, Binding: binding, Provider: "fcm", CallID: callID, Request: number, Deadline: now.Add(time.Second)})
		case 5:
			tl.Emit(event.PushOutcome{
				PushID: one("p", "q"), SentAs: one("", "r"), Binding: binding, Class: one("ok", "gone", "shed", "forbidden", "never heard of"), Reason: one("", "Canceled"),
				CallID: callID, Request: number, Tries: make([]event.Try, rnd.IntN(4)),
			})
		case 6:
			tl.Emit(event.Registration{
				Action: one("created", "updated", "refreshed", "removed", "expired", "dormant", "refused"), Cause: one("register", "expiry", "token_moved", "dead_token"),
				AOR: aor, Binding: binding, Instance: instance, MovedTo: one("", bob), Wakeable: rnd.IntN(2) == 0,
			})
		case 7:
			tl.Emit(event.PushReported{PushID: one("p", ""), AOR: aor, Binding: binding, Result: "gone"})
			tl.Emit(event.AuthFailed{Method: "REGISTER", User: one("alice", "x"), Realm: "example.com", Reason: "password"})
		case 8:
			if len(watching) > 0 {
				watching[rnd.IntN(len(watching))](Arrival{Binding: binding, Instance: instance})
			}
			time.Sleep(time.Duration(rnd.IntN(int(20 * time.Second))))
		}
	}
	check(t, tl, keep, maxBytes)
}

// check compares all ways to find Records.
func check(t *testing.T, tl *Timeline, keep int, maxBytes int64) {
	t.Helper()
	if keep == 0 {
		keep = DefaultKeep
	}
	all, more := tl.Calls(Query{Limit: MaxLimit})
	count, bytes := tl.size()
	if more || len(all) != count || count > keep+keep/4+keep/16+2*leastKept+1 || bytes > maxBytes+1<<16 || bytes < 0 {
		t.Fatalf("%d are listed of %d, which have %d bytes (more: %v)", len(all), count, bytes, more)
	}
	ofUser, awaited := 0, int64(0)
	for i := range tl.users.shards {
		for aor, l := range tl.users.shards[i].records {
			if l.Len() == 0 || l.Len() > maxOfUser {
				t.Errorf("%s has %d records", aor, l.Len())
			}
			ofUser += l.Len()
		}
		for key, list := range tl.awaited.shards[i].by {
			if len(list) == 0 || len(list) > maxAwaiting {
				t.Errorf("%d wait for %s", len(list), key)
			}
			awaited += int64(len(list))
			for _, w := range list {
				if w.r.shard.byNumber[w.r.number] != w.r {
					t.Errorf("%s is waited for by what was forgotten", key)
				}
			}
		}
	}
	if n := tl.awaited.count.Load(); n != awaited {
		t.Errorf("%d are awaited, and %d counted", awaited, n)
	}
	var sum int64
	filed, placed, chained := 0, 0, 0
	for _, s := range tl.shards {
		for _, r := range s.byNumber {
			if sum += int64(r.bytes); r.bytes != r.size() {
				t.Errorf("%s has %d bytes, of which %d are counted", r.ID, r.size(), r.bytes)
			}
			if r.ofUser != nil {
				filed++
			}
			if (r.State == StateEnded) != (r.in == &s.kept[r.quota].ended) {
				t.Errorf("%s is %s and in the wrong list", r.ID, r.State)
			}
			if len(r.resolved) != len(r.Devices) || len(r.Devices) > maxDevices || len(r.steps) > maxSteps {
				t.Errorf("%s has %d phones and %d steps", r.ID, len(r.Devices), len(r.steps))
			}
		}
		for q := range s.kept {
			placed += s.kept[q].len()
		}
		for id, r := range s.byCall {
			for ; r != nil; r = r.older {
				if chained++; r.CallID != id || s.byNumber[r.number] != r {
					t.Errorf("%s is found as %s", r.CallID, id)
				}
			}
		}
	}
	if filed != ofUser || placed != count || chained != count {
		t.Errorf("of %d records %d are placed, %d chained, %d filed, %d found by user", count, placed, chained, filed, ofUser)
	}
	if b := tl.shards[0].bytes; len(tl.shards) == 1 && b != sum {
		t.Errorf("%d bytes are counted, want %d", b, sum)
	}
	for i := range all {
		rec, ok := tl.Get(all[i].ID)
		if !ok || rec.ID != all[i].ID || (rec.Verdict == nil) != (rec.State != StateEnded) {
			t.Errorf("%s is not found by its ID, or has the wrong verdict: %+v", all[i].ID, rec.Verdict)
		}
		for n := range rec.Steps {
			if rec.Steps[n].Text == "" {
				t.Errorf("no words for %+v", rec.Steps[n])
			}
		}
		if byCall, _ := tl.Calls(Query{CallID: rec.CallID, Limit: MaxLimit}); len(byCall) == 0 {
			t.Errorf("%s is not found by its Call-ID", rec.ID)
		}
	}
	h := tl.Hour()
	for i := range h.Minutes {
		m := &h.Minutes[i]
		if m.P50MS > m.P95MS || m.P95MS > m.P99MS || m.P99MS > m.MaxMS || m.Woke == 0 && m.MaxMS != 0 {
			t.Errorf("%+v", m)
		}
	}
	tl.Parked(10)
}

// TestTimeline_Concurrent is for the race detector, and for locks that are taken in two
// orders.
func TestTimeline_Concurrent(t *testing.T) {
	tl := New(Options{Keep: 2000})
	done := make(chan struct{})
	for g := range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			for n := range 400 {
				s := tell(tl, uint64(g*1000+n+1))
				s.received()
				s.parked(time.Second)
				s.pushed()
				s.register(alice, "updated")
				s.outcome("ok", "", 200)
				s.woken(time.Second)
				s.failed(480, "")
				if n%50 == 0 {
					tl.Calls(Query{AOR: alice})
					tl.Parked(10)
					tl.Hour()
				}
			}
		}()
	}
	for range 4 {
		<-done
	}
	check(t, tl, 2000, DefaultMaxBytes)
}

// BenchmarkEmit is what events cost: of a call to a phone that was awake, and all of one
// that woke its phone.
func BenchmarkEmit(b *testing.B) {
	tl := New(Options{})
	b.Run("awake", func(b *testing.B) {
		b.ReportAllocs()
		var e event.Event = event.Call{Step: "ringing", Method: "INVITE", CallID: "c", AOR: alice}
		for b.Loop() {
			tl.Emit(e)
		}
	})
	b.Run("woken", func(b *testing.B) {
		b.ReportAllocs()
		n := uint64(1 << 20)
		for b.Loop() {
			n++
			s := tell(tl, n)
			s.received()
			s.parked(time.Second)
			s.pushed()
			s.outcome("ok", "", 200)
			s.woken(time.Second)
			s.device("released")
			s.device("ringing")
			s.call("answered", func(e *event.Call) { e.Binding, e.Status = phone, 200 })
		}
	})
	b.Run("registration of others", func(b *testing.B) {
		b.ReportAllocs()
		var e event.Event = event.Registration{Action: "updated", Cause: "register", AOR: "sip:dave@example.com", Binding: "9", Instance: "urn:uuid:9", Wakeable: true}
		for b.Loop() {
			tl.Emit(e)
		}
	})
}
