package timeline

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reveille/internal/event"
)

// told remembers what was explained.
type told struct {
	mu   sync.Mutex
	list []event.Explained
}

func (s *told) Emit(e event.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x, ok := e.(event.Explained); ok {
		s.list = append(s.list, x)
	}
}

// explaining runs Explain of tl until the returned function is called. The events go to
// tl, too, as in the server.
func explaining(tl *Timeline) (s *told, stop func()) {
	s = &told{}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { tl.Explain(ctx, event.Fan{tl, s}) })
	return s, func() { cancel(); running.Wait() }
}

// TestExplain: each request that met a sleeping phone is told of once, when what came a
// moment too late is known.
func TestExplain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tl := New(Options{})
		got, stop := explaining(tl)
		defer stop()
		late, took, cancelled, awake := tell(tl, 1), tell(tl, 2), tell(tl, 3), tell(tl, 4)
		for _, s := range []*story{late, took, cancelled} {
			s.received()
			s.parked(25 * time.Second)
			s.pushed()
		}
		time.Sleep(2 * time.Second)
		took.woken(2 * time.Second)
		took.call("answered", func(e *event.Call) { e.Binding, e.Status, e.Phone = phone, 200, true })
		took.call("answered", func(e *event.Call) { e.Binding, e.Status, e.Phone = phone, 200, true }) // A second 2xx.
		time.Sleep(time.Second)
		cancelled.call("cancelled", nil)
		cancelled.failed(487, "")
		awake.call("failed", func(e *event.Call) { e.Asleep, e.Status = false, 486 })
		late.outcome("ok", "", 200)
		late.device("timed_out")
		late.failed(480, "Device Did Not Wake")
		time.Sleep(settle - time.Second - time.Millisecond)
		synctest.Wait()
		if len(got.list) != 0 {
			t.Fatalf("told too early: %+v", got.list)
		}
		late.register(alice, "created")
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(got.list) != 3 {
			t.Fatalf("%d were told: %+v", len(got.list), got.list)
		}
		a, c, l := got.list[0], got.list[1], got.list[2]
		if a.ID != formatID(2) || a.AOR != alice || a.CallID != took.callID || a.Outcome != OutcomeAnswered || a.Status != 200 || a.Code != CodeAnswered || a.Said == "" ||
			a.Binding != phone || a.Provider != "fcm" || a.Woke != 2*time.Second || a.Took != 2*time.Second || a.Late {
			t.Errorf("answered: %+v", a)
		}
		if c.Outcome != OutcomeCancelled || c.Took != 3*time.Second {
			t.Errorf("cancelled: %+v", c)
		}
		if l.Outcome != OutcomeFailed || l.Code != CodeWokeLate || l.Do == "" || !l.Late || l.Woke <= l.Took {
			t.Errorf("late: %+v", l)
		}
	})
}

// TestTimeline_ExpiredCertificate: the verdict names the app and the day.
func TestTimeline_ExpiredCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tell(New(Options{}), 1)
		s.received()
		s.parked(25 * time.Second)
		s.pushed()
		s.Emit(event.PushOutcome{
			PushID: "P" + s.callID, AOR: alice, Binding: phone, Provider: "apns", Class: "network", Reason: "NoAnswer", Request: s.number, CallID: s.callID,
			ExpiredApp: "ios", Expired: time.Date(2026, 11, 20, 1, 0, 0, 0, time.UTC),
		})
		s.failed(480, "Push Failed")
		if v := s.record(t).Verdict; v.Code != CodeCredential || !strings.Contains(v.Said, "push.apps ios expired on 2026-11-20") {
			t.Errorf("%+v", v)
		}
	})
}

// TestExplain_AtTheEnd: what waits is told when the server stops.
func TestExplain_AtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tl := New(Options{})
		got, stop := explaining(tl)
		for n := range 3 {
			s := tell(tl, uint64(n+1))
			s.received()
			s.parked(25 * time.Second)
			s.failed(480, "Device Did Not Wake")
		}
		began := time.Now()
		stop()
		if len(got.list) != 3 || time.Since(began) > 0 {
			t.Errorf("%d were told, after %v", len(got.list), time.Since(began))
		}
	})
}
