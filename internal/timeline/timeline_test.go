package timeline

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/flow"
	"reveille/internal/event"
)

const (
	alice = "sip:alice@example.com"
	bob   = "sip:bob@example.com"
	phone = "1f3a5c0d9be84772a1c0ffee12345678"
	urn   = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
)

// A story emits the events of one call.
type story struct {
	*Timeline
	callID string
	number uint64
	began  time.Time
}

func tell(tl *Timeline, number uint64) *story {
	return &story{Timeline: tl, callID: fmt.Sprintf("call-%d", number), number: number, began: time.Now()}
}

func at(addr string) flow.Flow {
	return flow.Flow{Listener: "main", Transport: flow.TCP, Remote: netip.MustParseAddrPort(addr), Conn: 7}
}

func (s *story) call(step string, change func(*event.Call)) {
	e := event.Call{
		Step: step, Method: "INVITE", CallID: s.callID, From: bob, To: alice, AOR: alice, Request: s.number, Asleep: true, Elapsed: time.Since(s.began),
	}
	if change != nil {
		change(&e)
	}
	s.Emit(e)
}

func (s *story) received() {
	s.call("received", func(e *event.Call) { e.Lookup, e.Phones, e.Flow = "push_only", 1, at("192.0.2.1:5060") })
}

func (s *story) parked(wait time.Duration) {
	s.call("parked", func(e *event.Call) {
		e.Binding, e.Sleeper = phone, &event.Sleeper{Instance: urn, Provider: "fcm", Param: "app", Deadline: time.Now().Add(wait)}
	})
}

func (s *story) pushed() {
	s.Emit(event.PushRequested{
		PushID: "P" + s.callID, AOR: alice, Binding: phone, Provider: "fcm", Param: "app", PushKind: "call", Method: "INVITE", CallID: s.callID,
		Request: s.number, Usual: 3 * time.Second, Spread: time.Second,
	})
}

func (s *story) outcome(class, reason string, status int) {
	now := time.Now()
	s.Emit(event.PushOutcome{
		PushID: "P" + s.callID, AOR: alice, Binding: phone, Provider: "fcm", PushKind: "call", Class: class, Reason: reason, Status: status, Attempts: 1,
		Request: s.number, CallID: s.callID, Tries: []event.Try{{Began: now.Add(-80 * time.Millisecond), Took: 80 * time.Millisecond, Class: class, Reason: reason, Status: status}},
	})
}

func (s *story) device(step string) { s.call(step, func(e *event.Call) { e.Binding = phone }) }

func (s *story) woken(took time.Duration) {
	s.call("woken", func(e *event.Call) { e.Binding, e.Elapsed, e.Flow = phone, took, at("192.0.2.7:40000") })
}

func (s *story) failed(status int, reason string) {
	s.call("failed", func(e *event.Call) { e.Status, e.Reason = status, reason })
}

func (s *story) register(aor, action string) {
	s.Emit(event.Registration{Action: action, Cause: "register", AOR: aor, Binding: phone, Instance: urn, Wakeable: true, Flow: at("192.0.2.7:40000")})
}

func (s *story) record(t *testing.T) Record {
	t.Helper()
	r, ok := s.Get(s.callID)
	if !ok {
		t.Fatalf("there is no record of %s", s.callID)
	}
	return r
}

func kinds(r *Record) string {
	var list []string
	for _, s := range r.Steps {
		list = append(list, s.Kind)
	}
	return strings.Join(list, " ")
}

// TestTimeline_RegistrationToldTwice: an event tells of it, and who still watches for the
// phone of an earlier call.
func TestTimeline_RegistrationToldTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tell(New(Options{}), 1<<40)
		s.received()
		s.parked(4 * time.Second)
		s.pushed()
		s.register(alice, "refreshed")
		s.registered(alice, Arrival{Binding: phone, Instance: urn, Flow: at("192.0.2.7:40000").String()}, time.Now())
		if r := s.record(t); strings.Count(kinds(&r), StepRegister) != 1 {
			t.Errorf("steps: %s", kinds(&r))
		}
	})
}

func TestTimeline_CallThatWakesItsPhone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tell(New(Options{}), 1<<40)
		s.received()
		s.parked(25 * time.Second)
		s.pushed()
		time.Sleep(100 * time.Millisecond)
		s.outcome("ok", "", 200)
		if list, n := s.Parked(10); n != 1 || list[0].Binding != phone || list[0].CallID != s.callID || list[0].Class != "ok" || time.Until(list[0].Deadline) != 25*time.Second-100*time.Millisecond {
			t.Errorf("waiting: %+v", list)
		}
		if r := s.record(t); r.State != StateWaiting || r.Verdict != nil {
			t.Errorf("state %s, verdict %v", r.State, r.Verdict)
		}
		time.Sleep(3 * time.Second)
		s.register(alice, "updated")
		s.woken(3100 * time.Millisecond)
		s.device("released")
		if _, n := s.Parked(10); n != 0 {
			t.Errorf("%d still wait", n)
		}
		s.device("ringing")
		time.Sleep(4 * time.Second)
		s.call("answered", func(e *event.Call) { e.Binding, e.Status = phone, 200 })

		r := s.record(t)
		if got, want := kinds(&r), "received parked push attempt register woken released ringing answered"; got != want {
			t.Errorf("steps %s, want %s", got, want)
		}
		if r.State != StateEnded || r.Outcome != OutcomeAnswered || r.Status != 200 || r.Verdict.Code != CodeAnswered || !strings.Contains(r.Verdict.Said, "3.1 s to wake") {
			t.Errorf("%+v, %+v", r.Summary, r.Verdict)
		}
		if r.Lookup != "push_only" || r.Phones != 1 || r.AOR != alice || r.From != bob {
			t.Errorf("%+v", r.Summary)
		}
		d := r.Devices[0]
		if d.WokeMS != 3100 || d.Class != "ok" || d.Late || d.UsualMS != 3000 || d.Answer != 200 || d.Instance != urn {
			t.Errorf("%+v", d)
		}
		woken := r.Steps[5]
		if woken.TookMS != 3100 || woken.Flow != "tcp:192.0.2.7:40000@main#7" || woken.OffsetMS != 3100 {
			t.Errorf("%+v", woken)
		}
		h := s.Hour()
		if h.Total.Asked != 1 || h.Total.Woke != 1 || len(h.Total.Failed) != 0 || len(h.Minutes) != 60 || h.Total.P50MS < 2900 || h.Total.P50MS > 3200 || h.Total.MaxMS != 3100 {
			t.Errorf("hour: %+v", h.Total)
		}
		if m := h.Minutes[59]; m.Woke != 1 {
			t.Errorf("this minute: %+v", m)
		}
	})
}

// TestTimeline_LateFactsCount: what comes after the end is added to what has ended.
func TestTimeline_LateFactsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for n, how := range []string{"event", "watch"} {
			var arrive func(Arrival)
			watched := ""
			tl := New(Options{Watch: func(aor string, until time.Time, registered func(Arrival)) (func(), error) {
				if time.Until(until) != lateFor {
					t.Errorf("watched for %v", time.Until(until))
				}
				watched, arrive = aor, registered
				return func() {}, nil
			}})
			s := tell(tl, uint64(n+1))
			s.received()
			s.parked(25 * time.Second)
			s.pushed()
			s.outcome("ok", "", 200)
			time.Sleep(6 * time.Second)
			s.call("cancelled", nil)
			s.failed(487, "")
			if r := s.record(t); r.Verdict.Code != CodeGaveUpEarly || r.Outcome != OutcomeCancelled || watched != alice {
				t.Errorf("%s: %+v, watched %q", how, r.Verdict, watched)
			}
			time.Sleep(3400 * time.Millisecond)
			if how == "event" {
				s.register(alice, "updated")
			} else {
				arrive(Arrival{Binding: phone, Flow: "tcp:192.0.2.7:40000@main"})
			}
			arrive(Arrival{Binding: phone}) // Again: it is late once.
			r := s.record(t)
			if got := kinds(&r); !strings.HasSuffix(got, "failed late") || r.Verdict.Code != CodeWokeLate || !strings.Contains(r.Verdict.Said, "9.4 s after the push, and the caller waited 6 s") {
				t.Errorf("%s: %s, %+v", how, got, r.Verdict)
			}
			if h := s.Hour(); h.Total.Late != 1 || h.Total.Failed[FailedCancelled] != 1 {
				t.Errorf("%+v", h.Total)
			}
		}
	})
}

func TestTimeline_WhatIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tl := New(Options{})
		for i, step := range []string{"received", "forwarded", "ringing", "answered"} {
			s := tell(tl, uint64(i+1))
			s.call(step, func(e *event.Call) { e.Asleep = false })
		}
		for _, step := range []string{"ringing", "answered", "woken", "cancelled"} {
			tell(tl, 99).call(step, nil) // Its beginning was forgotten.
		}
		if n, _ := tl.size(); n != 0 {
			t.Errorf("%d records of calls to phones that were awake", n)
		}
	})
}

// TestTimeline_FloodsPushOutNothingElse: scanners, callers of one phone, and failures
// each have room of their own.
func TestTimeline_FloodsPushOutNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		tl := New(Options{Keep: 200, Registerer: reg})
		real := tell(tl, 1)
		real.received()
		real.parked(25 * time.Second)
		real.failed(480, "Device Did Not Wake")
		missed := tell(tl, 2)
		missed.call("failed", func(e *event.Call) { e.Asleep, e.Lookup, e.Status, e.Reason = false, "none", 480, "Not Registered" })
		for n := range 5000 {
			scan := tell(tl, uint64(n+10))
			scan.call("failed", func(e *event.Call) { e.Asleep, e.Lookup, e.Status = false, "none", 404 })
		}
		if r := real.record(t); r.Method != "INVITE" {
			t.Errorf("%+v", r)
		}
		if r := missed.record(t); r.Verdict.Code != CodeNotRegistered {
			t.Errorf("%+v", r.Verdict)
		}
		if n, _ := tl.size(); n > 2+leastKept {
			t.Errorf("%d records", n)
		}
		for n := range 5000 {
			flood := tell(tl, uint64(n+10000))
			flood.received()
			flood.parked(time.Second)
			flood.failed(480, "Device Did Not Wake")
		}
		if list, _ := tl.Calls(Query{AOR: alice, Limit: 1000}); len(list) > maxOfUser || !list[0].Began.After(list[len(list)-1].Began) && list[0].ID <= list[1].ID {
			t.Errorf("%d records of one user", len(list))
		}
		if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
			t.Error(problems, err)
		}
	})
}

// TestTimeline_Refused: who is refused by a rule is remembered for the user, in the room
// of strangers, and hides no other.
func TestTimeline_Refused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tl := New(Options{Keep: 10000})
		for n := range maxOfUser {
			real := tell(tl, uint64(n+1))
			real.received()
			real.parked(25 * time.Second)
			real.failed(480, "Device Did Not Wake")
		}
		for n := range 1000 {
			tell(tl, uint64(n+1000)).call("refused", func(e *event.Call) {
				e.Asleep, e.Status, e.Rule, e.Flow = false, 403, event.RuleSource, at("192.0.2.66:5060")
			})
		}
		last := tl.Last(alice, 5)
		if len(last) != 10 || last[4].Rule != "acl.source" || last[5].Rule != "" {
			t.Fatalf("%d records: %+v", len(last), last)
		}
		if got := kinds(&last[0]); got != "received refused" || last[0].Verdict.Code != CodeForbidden || last[0].Steps[0].Flow == "" || last[0].Status != 403 {
			t.Errorf("%s: %+v", got, last[0])
		}
		list, _ := tl.Calls(Query{AOR: alice, Limit: 1000})
		refused := 0
		for i := range list {
			if list[i].Rule != "" {
				refused++
			}
		}
		if refused != maxStrangersOf || len(list) < maxOfUser-1 || len(list) > maxOfUser+maxStrangersOf {
			t.Errorf("%d records, %d of them refused", len(list), refused)
		}
	})
}

func TestTimeline_BoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tl := New(Options{Keep: 100000, MaxBytes: 1 << 20})
		for n := range 500 {
			s := tell(tl, uint64(n+1))
			s.callID = strings.Repeat("c", 400) + fmt.Sprint(n)
			s.received()
			s.parked(25 * time.Second)
			s.pushed()
			for range 200 {
				s.outcome("network", "Timeout", 0)
			}
			if r := s.record(t); len(r.Steps) > maxSteps || r.Dropped == 0 {
				t.Fatalf("%d steps, %d dropped", len(r.Steps), r.Dropped)
			}
		}
		if n, bytes := tl.size(); bytes > 1<<20 || n < 20 || bytes < 1<<19 {
			t.Errorf("%d records have %d bytes", n, bytes)
		}
	})
}

// TestTimeline_RefreshesAreNotMadeForIt: or none would be answered in place.
func TestTimeline_RefreshesAreNotMadeForIt(t *testing.T) {
	tl := New(Options{})
	if event.Heard(event.Fan{tl}, event.Registration{Action: "refreshed"}) || !event.Heard(tl, event.Registration{Action: "updated"}) || !event.Heard(tl, event.Call{}) {
		t.Error("refreshes are heard, or others are not")
	}
}

func TestTimeline_Query(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tl := New(Options{})
		for n := range 25 {
			s := tell(tl, uint64(n+1))
			s.received()
			s.parked(25 * time.Second)
			if n%5 == 0 {
				s.failed(480, "Device Did Not Wake")
			}
			time.Sleep(time.Millisecond)
		}
		var all []string
		before := ""
		for {
			list, more := tl.Calls(Query{Before: before, Limit: 10})
			for i := range list {
				all = append(all, list[i].CallID)
			}
			if !more {
				break
			}
			before = list[len(list)-1].ID
		}
		if len(all) != 25 || all[0] != "call-25" || all[24] != "call-1" {
			t.Errorf("pages: %v", all)
		}
		if list, more := tl.Calls(Query{Outcome: OutcomeFailed}); len(list) != 5 || more {
			t.Errorf("%d failed", len(list))
		}
		if list, _ := tl.Calls(Query{Outcome: StateWaiting, Limit: 50}); len(list) != 20 {
			t.Errorf("%d wait", len(list))
		}
		if list, _ := tl.Calls(Query{CallID: "call-7"}); len(list) != 1 || list[0].ID != "7" {
			t.Errorf("%v", list)
		}
		if list, _ := tl.Calls(Query{AOR: bob}); len(list) != 0 {
			t.Errorf("%v", list)
		}
		if last := tl.Last(alice, 3); len(last) != 3 || last[0].CallID != "call-25" {
			t.Errorf("%v", last)
		}
		if list, total := tl.Parked(5); len(list) != 5 || total != 20 || list[0].CallID != "call-2" {
			t.Errorf("%d of %d, first %s", len(list), total, list[0].CallID)
		}
		// What is long past its time is not shown as waiting, though nobody said so.
		time.Sleep(2 * time.Minute)
		if _, total := tl.Parked(5); total != 0 {
			t.Errorf("%d wait after their time", total)
		}
	})
}

func TestTimeline_Endings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tl := New(Options{})
		reg := func(action, cause, binding string, wakeable bool) {
			tl.Emit(event.Registration{Action: action, Cause: cause, AOR: alice, Binding: binding, Wakeable: wakeable, MovedTo: map[bool]string{true: bob}[cause == "token_moved"]})
		}
		reg("expired", "expiry", "1", true)
		reg("updated", "dead_token", "2", false)
		reg("removed", "token_moved", "3", true)
		es := tl.Endings(alice)
		if len(es) != 3 || es[0].Action != "expired" || es[1].Action != TokenDead || es[2].MovedTo != bob {
			t.Fatalf("%+v", es)
		}
		reg("created", "register", "1", true)
		reg("updated", "register", "2", false) // It has no token yet.
		if es := tl.Endings(alice); len(es) != 2 || es[0].Binding != "2" {
			t.Errorf("%+v", es)
		}
		reg("updated", "register", "2", true)
		reg("created", "register", "3", true)
		if es := tl.Endings(alice); len(es) != 0 {
			t.Errorf("%+v", es)
		}
		for n := range 20000 {
			tl.Emit(event.Registration{Action: "expired", Cause: "expiry", AOR: fmt.Sprintf("sip:%d@example.com", n), Binding: "1"})
		}
		n := 0
		for i := range tl.users.shards {
			n += len(tl.users.shards[i].endings)
			if len(tl.users.shards[i].endings) != tl.users.shards[i].order.Len() {
				t.Error("a user is forgotten by halves")
			}
		}
		if n > maxEnded*manyShards {
			t.Errorf("%d users", n)
		}
	})
}
