package transaction

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// branch is a Via with a branch of its own.
func branch(n int) string { return fmt.Sprintf("SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK%d", n) }

// suspendFirst makes the first request suspend its key.
func (r *rig) suspendFirst(resume *func(func())) {
	r.request = func(s *Server) {
		if *resume == nil {
			*resume = s.Suspend()
			return
		}
		s.Reply(reply(200))
	}
}

func TestSuspend_HoldsItsKeyOnly_Invariant1(t *testing.T) {
	bubble(t, Options{Queues: 1}, func(r *rig) {
		var resume func(func())
		r.suspendFirst(&resume)
		r.receive(tcpCaller, rq{method: "MESSAGE", via: branch(1)}.on(t, tcpCaller))
		r.receive(tcpCaller, rq{method: "INFO", via: branch(2)}.on(t, tcpCaller))
		r.receive(tcpCaller, rq{method: "CANCEL", via: branch(1)}.on(t, tcpCaller))
		r.receive(tcpCaller, rq{method: "MESSAGE", via: branch(3), callID: "other"}.on(t, tcpCaller))
		r.receive(tcpPhone, rq{method: "OPTIONS", via: branch(4)}.on(t, tcpPhone)) // other flow
		r.expect("0s request MESSAGE", "0s request MESSAGE", "0s > 200", "0s request OPTIONS", "0s > 200")

		first := r.layer.Queue("call")
		resume(func() { r.log("resumed") })
		resume(func() { r.log("resumed twice") })
		r.receive(tcpCaller, rq{method: "UPDATE", via: branch(5)}.on(t, tcpCaller))
		r.expect("0s resumed", "0s request INFO", "0s > 200", "0s > 200 CANCEL", "0s request UPDATE", "0s > 200")
		first.Post(func() {})
		r.advance(time.Minute)
		r.checkEmpty()
	})
}

func TestSuspend_ResumeFromAnyGoroutine(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.request = func(s *Server) {
			resume := s.Suspend()
			go func() {
				time.Sleep(time.Second) // a user source that takes its time
				resume(func() { s.Reply(reply(200)) })
			}()
		}
		r.receive(tcpCaller, rq{method: "MESSAGE"}.on(t, tcpCaller))
		r.advance(2 * time.Second)
		r.expect("0s request MESSAGE", "1s > 200")
		r.checkEmpty()
	})
}

func TestSuspend_HeldHandlerMaySuspendAgain(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		var resume []func(func())
		r.request = func(s *Server) { resume = append(resume, s.Suspend()) }
		for n := range 3 {
			r.receive(tcpCaller, rq{method: "MESSAGE", via: branch(n), seq: n + 1}.on(t, tcpCaller))
		}
		for n := range 3 {
			if len(resume) != n+1 {
				t.Fatalf("%d requests came up before resumption %d, want %d", len(resume), n, n+1)
			}
			resume[n](func() { r.server.Reply(reply(200)) })
			synctest.Wait()
			if seq := r.last().CSeq().Seq; int(seq) != n+1 {
				t.Errorf("answer %d is for CSeq %d, want %d", n, seq, n+1)
			}
		}
		r.checkEmpty()
	})
}

func TestSuspend_TwiceNeedsTwoResumptions(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		var one, two func(func())
		r.request = func(s *Server) {
			if one == nil {
				one, two = s.Suspend(), s.Suspend()
			}
		}
		r.receive(tcpCaller, rq{method: "MESSAGE", via: branch(1)}.on(t, tcpCaller))
		r.receive(tcpCaller, rq{method: "INFO", via: branch(2)}.on(t, tcpCaller))
		r.forget()
		two(nil)
		r.expect()
		one(nil)
		r.expect("0s request INFO")
	})
}

func TestSuspend_HoldsResponsesAndACKsToo_Invariant1(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		c := r.client(tcpCaller, "INVITE")
		var resume func(func())
		r.suspendFirst(&resume)
		r.receive(tcpCaller, rq{method: "MESSAGE", via: branch(1)}.on(t, tcpCaller))
		r.answer(c, 180)
		r.answer(c, 200)
		r.receive(tcpCaller, rq{method: "ACK", toTag: "x", via: branch(2)}.on(t, tcpCaller))
		r.expect("0s > INVITE", "0s request MESSAGE")
		resume(nil)
		r.expect("0s response 180", "0s response 200", "0s ack")
	})
}

func TestSuspend_Bounds_Invariant9(t *testing.T) {
	bubble(t, Options{MaxSuspended: 2, MaxHeld: 3}, func(r *rig) {
		var resume []func(func())
		r.request = func(s *Server) {
			if s.Message().Method() == "MESSAGE" {
				resume = append(resume, s.Suspend())
			}
		}
		for n, id := range []string{"a", "b", "c"} {
			r.receive(tcpCaller, rq{method: "MESSAGE", callID: id, via: branch(n)}.on(t, tcpCaller))
		}
		if resume[0] == nil || resume[1] == nil || resume[2] != nil {
			t.Fatal("Suspend() must be refused the third time, and only then")
		}
		r.forget()
		for n := range 5 {
			r.receive(tcpCaller, rq{method: "INFO", callID: "a", via: branch(10 + n)}.on(t, tcpCaller))
		}
		resume[0](nil)
		r.expect("0s request INFO", "0s request INFO", "0s request INFO") // two were dropped
		resume[1](nil)
		synctest.Wait()
		r.advance(time.Minute)
		r.checkEmpty()
	})
}
