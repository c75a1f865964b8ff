package transaction

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

func TestReceive_FullQueueDrops_Invariant9(t *testing.T) {
	bubble(t, Options{Queues: 1, QueueLen: 3}, func(r *rig) {
		q, hold := r.layer.Queue("call"), make(chan struct{})
		q.Post(func() { <-hold })
		synctest.Wait()
		got := ""
		for n := range 5 {
			got += fmt.Sprint(r.layer.Receive(tcpCaller, rq{method: "MESSAGE", via: branch(n)}.on(t, tcpCaller)), " ")
		}
		q.Post(func() { r.log("posted") }) // no bound for what belongs to a transaction
		if want := "true true true false false "; got != want {
			t.Errorf("Receive() = %s, want %s", got, want)
		}
		if n := r.layer.queued(); n != 3 {
			t.Errorf("queued() = %d, want 3", n)
		}
		close(hold)
		r.expect("0s request MESSAGE", "0s request MESSAGE", "0s request MESSAGE", "0s posted")
		r.receive(tcpCaller, rq{method: "MESSAGE", via: branch(9)}.on(t, tcpCaller))
		r.expect("0s request MESSAGE")
	})
}

func TestRequest_TooManyTransactionsGet503WithoutMemory_Invariant9(t *testing.T) {
	bubble(t, Options{MaxTransactions: 2, RetryAfter: 1500 * time.Millisecond}, func(r *rig) {
		r.receive(tcpCaller, rq{via: branch(1), callID: "a"}.on(t, tcpCaller))
		r.receive(tcpCaller, rq{via: branch(2), callID: "b"}.on(t, tcpCaller))
		r.forget()
		for range 2 {
			r.receive(tcpCaller, rq{via: branch(3), callID: "c"}.on(t, tcpCaller))
		}
		r.expect("0s > 503", "0s > 503")
		if got, _ := r.last().HeaderNamed("Retry-After"); got != "2" && got != "3" && got != "4" {
			t.Errorf("Retry-After = %q, want 2 to 4", got)
		}
		// The answer was not kept, yet its ACK goes no further.
		r.receive(tcpCaller, rq{method: "ACK", via: branch(3), callID: "c", toTag: r.last().ToTag()}.on(t, tcpCaller))
		// The calls that are up go on: CANCEL is no new request.
		r.receive(tcpCaller, rq{method: "CANCEL", via: branch(1), callID: "a"}.on(t, tcpCaller))
		r.expect("0s > 200 CANCEL", "0s cancel INVITE")
		if n := r.layer.live[kindServerInvite].Load(); n != 2 {
			t.Errorf("%d INVITEs are alive, want 2", n)
		}
	})
}

func TestNewClient_TooMany_Invariant9(t *testing.T) {
	bubble(t, Options{MaxClients: 1}, func(r *rig) {
		c := r.client(tcpPhone, "INVITE")
		r.answer(c, 180)
		r.on(c, func() {
			_, err := c.Queue().NewClient(tcpPhone, []byte(rq{via: branch(2)}.text()), r)
			if !errors.Is(err, ErrTooMany) {
				t.Errorf("NewClient() error = %v, want ErrTooMany", err)
			}
			c.Cancel() // must always be possible
		})
		r.expect("0s > INVITE", "0s response 180", "0s > CANCEL")
	})
}

func TestRefuse_KeepsNothing_Invariant9(t *testing.T) {
	for _, method := range []string{"REGISTER", "INVITE"} {
		for _, f := range []flow.Flow{udpCaller, tcpCaller} {
			t.Run(method+" "+f.Transport.String(), func(t *testing.T) {
				bubble(t, Options{}, func(r *rig) {
					ends := 0
					r.request = func(s *Server) {
						s.OnEnd(func() { ends++ })
						s.Refuse(sipmsg.Reply{Code: 401})
						if !s.Done() {
							t.Error("Done() = false after Refuse, want true")
						}
						s.OnEnd(func() { ends++ })
					}
					r.receive(f, rq{method: method}.on(t, f))
					r.checkEmpty()
					tag := r.last().ToTag()
					r.receive(f, rq{method: method}.on(t, f))
					r.expect("0s request "+method, "0s > 401", "0s request "+method, "0s > 401")
					if got := r.last().ToTag(); got != tag || tag == "" {
						t.Errorf("To tags of two copies of the answer = %q, %q, want one tag (RFC 3261 §8.2.7)", tag, got)
					}
					if ends != 4 {
						t.Errorf("OnEnd functions ran %d times, want 4", ends)
					}
					r.receive(f, rq{method: "ACK", toTag: tag}.on(t, f))
					r.receive(f, rq{method: "ACK", toTag: "forged"}.on(t, f))
					r.expect("0s ack") // the forged one only
				})
			})
		}
	}
}

// Behind a 100 the client repeats the INVITE no more. A stranger's loss of our
// answer is still the lesser evil: with Timer G whoever forges his address could
// send him eleven of them.
func TestRefuse_BehindA100IsSentOnce_RFC3261_26_3_2_4(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.receive(udpCaller, rq{}.on(t, udpCaller))
		r.on(r.server, func() { r.server.Refuse(sipmsg.Reply{Code: 407}) })
		r.advance(time.Second)
		r.expect("0s request INVITE", "0s > 100", "0s > 407")
		r.on(r.server, func() { r.server.Refuse(sipmsg.Reply{Code: 403}) }) // too late
		r.receive(udpCaller, rq{}.on(t, udpCaller))
		r.expect("1s > 407")
		r.advance(time.Minute)
		r.expect()
		r.checkEmpty()
	})
}

// A 100 may wait for 200 ms while it is looked up who calls, so that a stranger
// gets one datagram for one of his.
func TestTrying_WaitsWhileTheSenderIsLookedUp_RFC3261_17_2_1(t *testing.T) {
	tests := []struct {
		name string
		flow flow.Flow
		took time.Duration
		code int
		want []string
	}{
		{"refused in time", udpCaller, 199 * time.Millisecond, 407, []string{"0s request INVITE", "199ms > 407"}},
		{"refused late", udpCaller, 300 * time.Millisecond, 407, []string{"0s request INVITE", "200ms > 100", "300ms > 407"}},
		{"answered in time", udpCaller, 100 * time.Millisecond, 180, []string{"0s request INVITE", "100ms > 180"}},
		{"accepted in time", udpCaller, 100 * time.Millisecond, 200, []string{"0s request INVITE", "100ms > 200"}},
		{"answered late", udpCaller, time.Second, 180, []string{"0s request INVITE", "200ms > 100", "1s > 180"}},
		{"on a connection", tcpCaller, 100 * time.Millisecond, 407, []string{"0s request INVITE", "0s > 100", "100ms > 407"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Options{}, func(r *rig) {
				r.request = func(s *Server) {
					Await(s,
						func(answer func(int)) { time.AfterFunc(tt.took, func() { answer(tt.code) }) },
						func(code int) {
							if code == 407 {
								s.Refuse(reply(code))
								return
							}
							s.Reply(reply(code))
						})
				}
				r.receive(tt.flow, rq{}.on(t, tt.flow))
				r.advance(2 * time.Second)
				r.expect(tt.want...)
			})
		})
	}
}

func TestLayerRefuse_DamagedRequest(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		wire := strings.ReplaceAll(rq{}.text(), "Max-Forwards: 70", "Max-Forwards: many")
		m, err := sipmsg.Parse([]byte(wire), udpCaller.Remote)
		if err == nil || m == nil {
			t.Fatalf("Parse() = %v, %v, want a request that can be answered, and an error", m, err)
		}
		r.layer.Refuse(udpCaller, m, sipmsg.ErrorReply(err, ""))
		r.expect("0s > 400")
		r.receive(udpCaller, rq{method: "ACK", toTag: r.last().ToTag()}.on(t, udpCaller))
		r.expect()
		ack := rq{method: "ACK"}.on(t, udpCaller)
		r.layer.Refuse(udpCaller, ack, reply(400))
		r.layer.Refuse(udpCaller, r.parse(udpCaller, ack.AppendReply(nil, reply(200))), reply(400))
		r.expect() // never answered
	})
}
