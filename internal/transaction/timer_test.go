package transaction

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// FuzzTimerHeap compares the heap with a sorted list.
func FuzzTimerHeap(f *testing.F) {
	f.Add([]byte{0, 1, 5, 0, 2, 5, 0, 3, 1, 1, 2, 0, 2, 9, 0})
	f.Add([]byte("some timers, some stops, some pops"))
	f.Fuzz(func(t *testing.T, script []byte) {
		var h timerHeap
		var all [16]timer
		var model []*timer // running, in order
		for len(script) >= 3 {
			op, x, at := script[0]%3, &all[script[1]%16], time.Duration(script[2])
			script = script[3:]
			running := slices.Contains(model, x)
			if running != x.running() {
				t.Fatalf("running() = %v, want %v", x.running(), running)
			}
			switch op {
			case 0:
				model = slices.DeleteFunc(model, func(u *timer) bool { return u == x })
				h.set(x, at)
				i := 0
				for i < len(model) && model[i].when <= at {
					i++
				}
				model = slices.Insert(model, i, x)
			case 1:
				if got := h.stop(x); got != running {
					t.Fatalf("stop() = %v, want %v", got, running)
				}
				model = slices.DeleteFunc(model, func(u *timer) bool { return u == x })
			case 2:
				got := h.pop(at, h.seq)
				if len(model) == 0 || model[0].when > at {
					if got != nil {
						t.Fatalf("pop(%d) = timer of %d, want nil", at, got.when)
					}
					continue
				}
				if got != model[0] {
					t.Fatalf("pop(%d) = %+v, want %+v", at, got, model[0])
				}
				model = model[1:]
			}
			if when, ok := h.next(); ok != (len(model) > 0) || ok && when != model[0].when {
				t.Fatalf("next() = %d, %v with %d timers running", when, ok, len(model))
			}
		}
	})
}

func TestAfter_FiresInOrder(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		q := r.layer.Queue("call")
		q.Post(func() {
			for _, d := range rand.Perm(5) {
				q.After(time.Duration(d)*time.Second, func() { r.log("timer %d", d) })
			}
			// Timers of the same time fire in the order in which they were set.
			q.After(time.Minute, func() { r.log("first") })
			q.After(time.Minute, func() { r.log("second") })
			q.After(-time.Second, func() { r.log("past") })
		})
		r.advance(0)
		r.advance(time.Hour)
		r.mu.Lock()
		slices.Sort(r.journal[:2]) // "timer 0" and "past" are due at once, in either order
		r.mu.Unlock()
		r.expect("0s past", "0s timer 0", "1s timer 1", "2s timer 2", "3s timer 3", "4s timer 4", "1m0s first", "1m0s second")
		r.checkEmpty()
	})
}

func TestTimer_StopIsCertain(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		q := r.layer.Queue("call")
		var second *Timer
		q.Post(func() {
			// Both are due at the same time; the first stops the second.
			q.After(time.Second, func() {
				if !second.Stop() {
					t.Error("Stop() = false before the timer fired, want true")
				}
			})
			second = q.After(time.Second, func() { t.Error("a stopped timer fired") })
		})
		r.advance(time.Minute)
		q.Post(func() {
			if second.Stop() {
				t.Error("Stop() = true of a stopped timer, want false")
			}
			if (*Timer)(nil).Stop() {
				t.Error("Stop() = true of no timer, want false")
			}
		})
		r.advance(0)
	})
}

// A timer that sets itself anew for now must not starve the messages.
func TestAfter_ZeroDelayDoesNotStarveMessages(t *testing.T) {
	bubble(t, Options{Queues: 1}, func(r *rig) {
		q := r.layer.Queue("call")
		stop := false
		var again func()
		again = func() {
			if !stop {
				q.After(0, again)
			}
		}
		r.request = func(*Server) { stop = true }
		q.Post(again)
		r.receive(tcpCaller, rq{}.on(t, tcpCaller))
		r.expect("0s request INVITE", "0s > 100")
	})
}

func TestAfter_EarlierTimerMovesTheAlarm(t *testing.T) {
	bubble(t, Options{Queues: 1}, func(r *rig) {
		q := r.layer.Queue("call")
		q.Post(func() { q.After(time.Hour, func() { r.log("late") }) })
		r.advance(time.Minute)
		q.Post(func() { q.After(time.Second, func() { r.log("early") }) })
		r.advance(2 * time.Hour)
		r.expect("1m1s early", "1h0m0s late")
	})
}

func TestBackOff(t *testing.T) {
	var got []time.Duration
	d := time.Duration(0)
	for range 5 {
		d = backOff(d, 500*time.Millisecond, 3*time.Second)
		got = append(got, d)
	}
	want := []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("intervals (-want +got):\n%s", diff)
	}
}

// TestLinger_ForgottenTogether: transactions that ended one after the other are
// forgotten at one time, none early (RFC 3261 §17.2.2, Timer J).
func TestLinger_ForgottenTogether(t *testing.T) {
	bubble(t, Options{Queues: 1}, func(r *rig) {
		r.advance(time.Millisecond) // Beside the grid.
		for i := range 3 {
			r.request = func(s *Server) {
				s.OnEnd(func() { r.log("end %d", i) })
				s.Reply(reply(200))
			}
			r.receive(udpCaller, rq{method: "MESSAGE", via: fmt.Sprintf("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK%d", i)}.on(t, udpCaller))
			r.advance(5 * time.Millisecond)
		}
		r.forget()
		r.advance(time.Minute)
		r.expect("32.02s end 0", "32.02s end 1", "32.02s end 2")
		r.checkEmpty()
	})
}
