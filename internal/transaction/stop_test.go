package transaction

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"reveille/internal/sipmsg"
)

// stopping starts Stop with a limit and returns what it will return.
func (r *rig) stopping(limit time.Duration) <-chan error {
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(r.t.Context(), limit)
		defer cancel()
		done <- r.layer.Stop(ctx)
	}()
	synctest.Wait()
	return done
}

func TestStop_WaitsForWhatIsUndecided(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.receive(udpCaller, rq{via: branch(1)}.on(t, udpCaller))
		invite := r.server
		c := r.client(udpPhone, "INVITE")
		r.answer(c, 180)
		r.forget()
		done := r.stopping(time.Minute)
		// New requests are refused, the call goes on.
		r.receive(udpCaller, rq{method: "OPTIONS", via: branch(2)}.on(t, udpCaller))
		r.receive(udpCaller, rq{method: "ACK", via: branch(3)}.on(t, udpCaller))
		r.expect("0s > 503", "0s ack")
		r.advance(time.Second)
		r.on(invite, func() { invite.Reply(reply(200)) })
		select {
		case err := <-done:
			t.Fatalf("Stop() = %v while a branch rings", err)
		default:
		}
		r.answer(c, 200)
		if err := <-done; err != nil {
			t.Errorf("Stop() = %v, want nil", err)
		}
		// 64*T1 of lingering is not waited for.
		if at := time.Since(r.start); at != time.Second {
			t.Errorf("Stop() returned after %v, want 1s", at)
		}
	})
}

func TestStop_IsBounded(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.receive(udpCaller, rq{}.on(t, udpCaller))
		if err := <-r.stopping(5 * time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop() = %v, want DeadlineExceeded", err)
		}
		if at := time.Since(r.start); at != 5*time.Second {
			t.Errorf("Stop() returned after %v, want 5s", at)
		}
		if r.layer.Receive(udpCaller, rq{via: branch(1)}.on(t, udpCaller)) {
			t.Error("Receive() after Stop = true, want false")
		}
		r.server.Queue().Post(func() { t.Error("a function posted after Stop ran") })
		r.server.Queue().mu.Lock()
		left := len(r.server.Queue().in)
		r.server.Queue().mu.Unlock()
		if left != 0 {
			t.Errorf("%d items are kept after Stop, want 0", left)
		}
		<-r.stopping(time.Second) // a second time
	})
}

func TestStop_WithoutStart(t *testing.T) {
	l := New(Options{Queues: 2})
	if err := l.Stop(t.Context()); err != nil {
		t.Errorf("Stop() = %v, want nil", err)
	}
}

func TestStart_HandlesWhatCameBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, start: time.Now()}
		r.layer = New(Options{Sender: r, User: r, Queues: 1})
		r.layer.Queue("call").After(time.Second, func() { r.log("timer") })
		r.layer.Receive(tcpCaller, rq{method: "MESSAGE"}.on(t, tcpCaller))
		r.advance(2 * time.Second)
		r.layer.Start()
		r.expect("2s timer", "2s request MESSAGE")
		<-r.stopping(0)
	})
}

func TestStop_DoesNotWaitForWhatWasAbandoned(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		c := r.client(udpPhone, "INVITE")
		r.on(c, c.Abandon)
		if err := <-r.stopping(time.Minute); err != nil {
			t.Errorf("Stop() = %v, want nil", err)
		}
		if at := time.Since(r.start); at != 0 {
			t.Errorf("Stop() returned after %v, want at once", at)
		}
	})
}

// draining is stopping for Drain.
func (r *rig) draining(limit time.Duration) <-chan error {
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(r.t.Context(), limit)
		defer cancel()
		done <- r.layer.Drain(ctx)
	}()
	synctest.Wait()
	return done
}

func TestDrain_LetsFinishWhatIsUnderWay(t *testing.T) {
	bubble(t, Options{Spare: func(m *sipmsg.Message) bool { return m.RequestURI().User == "112" }}, func(r *rig) {
		r.receive(udpCaller, rq{via: branch(1)}.on(t, udpCaller))
		invite := r.server
		r.forget()
		done := r.draining(time.Minute)
		for n, method := range []string{"INVITE", "MESSAGE", "OPTIONS"} {
			r.receive(udpCaller, other(n, method).on(t, udpCaller))
			r.expect("0s > 503")
		}
		// A copy of what was admitted, calls that are up, calls for help, and who
		// registers: a call may wait for that phone.
		r.receive(udpCaller, rq{via: branch(1)}.on(t, udpCaller))
		bye := other(10, "BYE")
		bye.toTag = "phone"
		r.receive(udpCaller, bye.on(t, udpCaller))
		r.on(r.server, func() { r.server.Reply(reply(200)) })
		help := other(11, "INVITE")
		help.uri = "sip:112@example.com"
		r.receive(udpCaller, help.on(t, udpCaller))
		r.on(r.server, func() { r.server.Reply(reply(486)) })
		if !r.layer.Begin() {
			t.Error("Begin() = false while draining")
		}
		r.receive(tcpCaller, other(12, "REGISTER").on(t, tcpCaller))
		r.expect("0s > 100", "0s request BYE", "0s > 200", "0s request INVITE", "0s > 100", "0s > 486", "0s request REGISTER")
		register := r.server
		r.advance(time.Second)
		select {
		case err := <-done:
			t.Fatalf("Drain() = %v while a call waits", err)
		default:
		}
		r.on(invite, func() { invite.Reply(reply(200)) })
		// REGISTERs come for ever; they are waited for by Stop alone.
		if err := <-done; err != nil {
			t.Errorf("Drain() = %v, want nil", err)
		}
		stopped := r.stopping(time.Minute)
		r.forget()
		r.receive(udpCaller, other(13, "REGISTER").on(t, udpCaller))
		bye.seq = 2
		bye.via = branch(99)
		r.receive(udpCaller, bye.on(t, udpCaller))
		r.expect("1s > 503", "1s > 503")
		r.layer.End()
		select {
		case err := <-stopped:
			t.Fatalf("Stop() = %v while a REGISTER is unanswered", err)
		default:
		}
		r.on(register, func() { register.Reply(reply(200)) })
		if err := <-stopped; err != nil {
			t.Errorf("Stop() = %v, want nil", err)
		}
	})
}

func TestDrain_IsBounded(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.receive(udpCaller, rq{}.on(t, udpCaller))
		if err := <-r.draining(5 * time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Drain() = %v, want DeadlineExceeded", err)
		}
		if at := time.Since(r.start); at != 5*time.Second {
			t.Errorf("Drain() returned after %v, want 5s", at)
		}
	})
}
