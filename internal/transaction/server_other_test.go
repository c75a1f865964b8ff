package transaction

import (
	"testing"
	"time"

	"reveille/flow"
)

func TestServerOther_AnswerIsKeptForTimerJ_RFC3261_17_2_2(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		message := rq{method: "MESSAGE"}.on(t, udpCaller)
		r.receive(udpCaller, message)
		r.receive(udpCaller, message) // Trying: absorbed
		r.on(r.server, func() { r.server.Reply(reply(200)) })
		r.advance(31 * time.Second)
		r.receive(udpCaller, message)
		r.on(r.server, func() { r.server.Reply(reply(480)) }) // discarded
		r.receive(udpCaller, message)
		r.expect("0s request MESSAGE", "0s > 200", "31s > 200", "31s > 200")
		r.advance(time.Second)
		r.checkEmpty()
	})
}

func TestServerOther_StreamForgetsAtOnce_RFC3261_17_2_2(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		ended := false
		r.request = func(s *Server) {
			s.OnEnd(func() { ended = true })
			s.Reply(reply(200))
			if ended {
				t.Error("OnEnd was called inside Reply, want after the handler")
			}
			if !s.Done() {
				t.Error("Done() = false after the answer, want true")
			}
		}
		r.receive(tcpCaller, rq{method: "OPTIONS"}.on(t, tcpCaller))
		if !ended {
			t.Error("OnEnd was not called")
		}
		r.checkEmpty()
	})
}

func TestServerOther_TryingWhenTimerEReachesT2_RFC4320_4_1(t *testing.T) {
	for _, f := range []flow.Flow{udpCaller, tcpCaller} {
		t.Run(f.Transport.String(), func(t *testing.T) {
			bubble(t, Options{}, func(r *rig) {
				message := rq{method: "MESSAGE"}.on(t, f)
				r.receive(f, message)
				r.advance(3 * time.Second)
				r.receive(f, message)
				r.expect("0s request MESSAGE")
				r.advance(time.Second)
				r.receive(f, message)
				r.expect("3.5s > 100", "4s > 100")
				r.on(r.server, func() { r.server.Reply(reply(200)) })
				r.expect("4s > 200")
				r.advance(time.Minute)
				r.checkEmpty()
			})
		})
	}
}

func TestServerOther_QuickAnswerStopsTheTrying_RFC4320_4_1(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.receive(udpCaller, rq{method: "MESSAGE"}.on(t, udpCaller))
		r.advance(3 * time.Second)
		r.on(r.server, func() { r.server.Reply(reply(200)) })
		r.advance(10 * time.Second)
		r.expect("0s request MESSAGE", "3s > 200")
	})
}

func TestServerOther_ProvisionalsOfTheUser_RFC4320_4_1(t *testing.T) {
	tests := []struct {
		name string
		f    flow.Flow
		code int
		want []string
	}{
		{"100 on a stream goes out once", tcpCaller, 100, []string{"0s request MESSAGE", "0s > 100"}},
		{"100 on UDP waits", udpCaller, 100, []string{"0s request MESSAGE", "3.5s > 100"}},
		{"183 never", tcpCaller, 183, []string{"0s request MESSAGE", "3.5s > 100"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Options{}, func(r *rig) {
				r.request = func(s *Server) { s.Reply(reply(tt.code)) }
				r.receive(tt.f, rq{method: "MESSAGE"}.on(t, tt.f))
				r.advance(10 * time.Second)
				r.expect(tt.want...)
				r.advance(time.Minute)
				r.checkEmpty()
			})
		})
	}
}

func TestServerOther_408IsNeverSent_RFC4320_4_2(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		message := rq{method: "MESSAGE"}.on(t, udpCaller)
		r.receive(udpCaller, message)
		r.advance(4 * time.Second)
		r.on(r.server, func() { r.server.Reply(reply(408)) })
		r.receive(udpCaller, message)
		r.expect("0s request MESSAGE", "3.5s > 100")
		r.on(r.server, func() {
			if !r.server.Done() {
				t.Error("Done() = false, want true")
			}
		})
		r.advance(32 * time.Second)
		r.checkEmpty()
	})
}

func TestServerOther_NothingAfterTimerF_RFC4320_4_2(t *testing.T) {
	for _, f := range []flow.Flow{udpCaller, tcpCaller} {
		t.Run(f.Transport.String(), func(t *testing.T) {
			bubble(t, Options{}, func(r *rig) {
				var ended time.Duration
				r.request = func(s *Server) { s.OnEnd(func() { ended = time.Since(r.start) }) }
				r.receive(f, rq{method: "MESSAGE"}.on(t, f))
				r.advance(33 * time.Second)
				r.on(r.server, func() { r.server.Reply(reply(200)) })
				r.expect("0s request MESSAGE", "3.5s > 100")
				if ended != 32*time.Second {
					t.Errorf("the transaction ended after %v, want 32s", ended)
				}
				r.advance(5 * time.Second)
				r.checkEmpty()
			})
		})
	}
}

// TestServerOther_LateCopyIsNoRequest: what the client sent just before its time-out may
// come after ours, which began when the first copy came.
func TestServerOther_LateCopyIsNoRequest_RFC3261_17_2_2(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		message := rq{method: "MESSAGE"}.on(t, udpCaller)
		r.receive(udpCaller, message)
		r.advance(36 * time.Second)
		r.receive(udpCaller, message)
		r.expect("0s request MESSAGE", "3.5s > 100")
		late := false
		r.on(r.server, func() { r.server.OnEnd(func() { late = true }) })
		if !late {
			t.Error("OnEnd was not called")
		}
		r.advance(2 * time.Second)
		r.checkEmpty()
	})
}

func TestUntilT2_RFC4320_4_1(t *testing.T) {
	tests := []struct{ t1, t2, want time.Duration }{
		{500 * time.Millisecond, 4 * time.Second, 3500 * time.Millisecond},
		{time.Second, 4 * time.Second, 3 * time.Second},
		{time.Second, time.Second, time.Second},
		{time.Second, 5 * time.Second, 7 * time.Second}, // 1+2+4, then min(8, 5)
	}
	for _, tt := range tests {
		if got := untilT2(tt.t1, tt.t2); got != tt.want {
			t.Errorf("untilT2(%v, %v) = %v, want %v", tt.t1, tt.t2, got, tt.want)
		}
	}
}
