package transaction

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAwait_AnswerAtOnceHoldsNothing(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.request = func(s *Server) {
			ok := Await(s, func(answer func(int)) { answer(200) }, func(code int) {
				if len(s.q.held) != 0 {
					t.Error("the key is suspended")
				}
				s.Reply(reply(code))
			})
			if !ok {
				t.Error("Await() = false, want true")
			}
			r.log("returned")
		}
		r.receive(tcpCaller, rq{method: "MESSAGE"}.on(t, tcpCaller))
		r.expect("0s request MESSAGE", "0s > 200", "0s returned")
		r.checkEmpty()
	})
}

func TestAwait_LateAnswerHoldsTheKey(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.request = func(s *Server) {
			Await(s,
				func(answer func(int)) { time.AfterFunc(time.Second, func() { answer(200) }) },
				func(code int) { s.Reply(reply(code)) })
		}
		r.receive(tcpCaller, rq{method: "MESSAGE", via: branch(1)}.on(t, tcpCaller))
		r.receive(tcpCaller, rq{method: "INFO", via: branch(2)}.on(t, tcpCaller))
		r.advance(time.Minute)
		r.expect("0s request MESSAGE", "1s > 200", "1s request INFO", "2s > 200")
		r.checkEmpty()
	})
}

// The answer may come from elsewhere at any instant while Await suspends.
func TestAwait_AnswerCrossesTheSuspension(t *testing.T) {
	r := &rig{t: t, start: time.Now()}
	r.layer = New(Options{Sender: quietUser{}, User: r, Queues: 1})
	r.layer.Start()
	const rounds = 2000
	answers := make(chan int, rounds)
	r.request = func(s *Server) {
		Await(s,
			func(answer func(int)) { go answer(200) },
			func(code int) { s.Reply(reply(code)); answers <- code })
	}
	for n := range rounds {
		r.layer.Receive(tcpCaller, rq{method: "MESSAGE", via: branch(n), callID: "a"}.on(t, tcpCaller))
		if code := <-answers; code != 200 {
			t.Fatalf("answer %d = %d, want 200", n, code)
		}
	}
	if err := r.layer.Stop(t.Context()); err != nil {
		t.Errorf("Stop() = %v, want nil", err)
	}
	if n := r.layer.live[kindServerOther].Load(); n != 0 {
		t.Errorf("%d transactions are left, want 0", n)
	}
}

func TestAwait_TooManyWait_Invariant9(t *testing.T) {
	bubble(t, Options{MaxSuspended: 1}, func(r *rig) {
		var resume func(func())
		r.request = func(s *Server) {
			if resume == nil {
				resume = s.Suspend()
				return
			}
			asked := false
			if Await(s, func(func(int)) { asked = true }, func(int) {}) || asked {
				t.Errorf("Await() asked = %v, want false and not asked", asked)
			}
		}
		r.receive(tcpCaller, rq{method: "MESSAGE", callID: "a", via: branch(1)}.on(t, tcpCaller))
		r.receive(tcpCaller, rq{method: "MESSAGE", callID: "b", via: branch(2)}.on(t, tcpCaller))
		if r.servers != 2 {
			t.Errorf("Request was called %d times, want 2", r.servers)
		}
		resume(nil)
	})
}

func TestAwait_PanicReleasesTheKey(t *testing.T) {
	tests := []struct {
		name string
		ask  func(answer func(int))
	}{
		{"of the question", func(func(int)) { panic("boom") }},
		{"behind an answer at once", func(answer func(int)) { answer(0) }},
		{"behind a late answer", func(answer func(int)) { go answer(0) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Options{}, func(r *rig) {
				r.request = func(s *Server) { Await(s, tt.ask, func(int) { panic("boom") }) }
				r.receive(tcpCaller, rq{method: "MESSAGE"}.on(t, tcpCaller))
				synctest.Wait()
				r.expect("0s request MESSAGE", "0s > 500")
				r.checkEmpty()
			})
		})
	}
}

func TestOnEnd_AllFunctionsRunInOrder(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.request = func(s *Server) {
			s.OnEnd(func() { r.log("first") })
			s.OnEnd(func() { r.log("second"); panic("boom") })
			s.OnEnd(func() { r.log("third") })
			s.Reply(reply(200))
		}
		r.receive(tcpCaller, rq{method: "MESSAGE"}.on(t, tcpCaller))
		r.expect("0s request MESSAGE", "0s > 200", "0s first", "0s second", "0s third")
	})
}

func TestResponseFlow_RFC3261_18_2_2(t *testing.T) {
	m := rq{via: "SIP/2.0/UDP host:7000;branch=z9hG4bKa"}.on(t, udpCaller)
	via := m.TopVia()
	if got := ResponseFlow(udpCaller, &via).Remote.String(); got != "192.0.2.1:7000" {
		t.Errorf("ResponseFlow() = %s, want 192.0.2.1:7000", got)
	}
}
