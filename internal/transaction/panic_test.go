package transaction

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

func TestPanic_AnswersTheRequestAtHand500(t *testing.T) {
	tests := []struct {
		name string
		do   func(r *rig)
	}{
		{"in Request", func(r *rig) {
			r.request = func(*Server) { panic("boom") }
			r.receive(tcpCaller, rq{}.on(r.t, tcpCaller))
		}},
		{"in Cancel", func(r *rig) {
			r.cancel = func(*Server, *sipmsg.Message) { panic("boom") }
			r.receive(tcpCaller, rq{}.on(r.t, tcpCaller))
			r.receive(tcpCaller, rq{method: "CANCEL"}.on(r.t, tcpCaller))
		}},
		{"in a timer", func(r *rig) {
			r.request = func(s *Server) { s.Queue().After(time.Second, func() { panic("boom") }) }
			r.receive(tcpCaller, rq{}.on(r.t, tcpCaller))
			r.advance(2 * time.Second)
		}},
		{"in a resumed handler", func(r *rig) {
			r.request = func(s *Server) { s.Suspend()(func() { panic("boom") }) }
			r.receive(tcpCaller, rq{}.on(r.t, tcpCaller))
		}},
		{"in a posted function", func(r *rig) {
			r.receive(tcpCaller, rq{}.on(r.t, tcpCaller))
			r.server.Post(func() { panic("boom") })
		}},
		{"in the response to a branch", func(r *rig) {
			r.request = func(s *Server) { forward(r, s) }
			r.response = func(*Client, *sipmsg.Message) { panic("boom") }
			r.receive(tcpCaller, rq{}.on(r.t, tcpCaller))
			synctest.Wait()
			sent := r.wires[0]
			r.receive(tcpPhone, r.parse(tcpPhone, sent.AppendReply(nil, reply(180))))
		}},
		{"in the failure of a branch", func(r *rig) {
			r.request = func(s *Server) { forward(r, s) }
			r.failed = func(*Client, error) { panic("boom") }
			r.receive(tcpCaller, rq{}.on(r.t, tcpCaller))
			r.layer.FlowClosed(tcpPhone)
		}},
		{"in the time-out of a branch", func(r *rig) {
			r.request = func(s *Server) { forward(r, s) }
			r.failed = func(*Client, error) { panic("boom") }
			r.receive(tcpCaller, rq{}.on(r.t, tcpCaller))
			r.advance(33 * time.Second)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			o := Options{Logger: slog.New(slog.NewTextHandler(&out, nil))}
			bubble(t, o, func(r *rig) {
				tt.do(r)
				synctest.Wait()
				if m := r.last(); m.Status() != 500 || m.Method() != "INVITE" {
					t.Errorf("last message = %s %d, want 500 to the INVITE", m.Method(), m.Status())
				}
				if n := testutil.ToFloat64(r.layer.metrics.panics); n != 1 {
					t.Errorf("panics = %v, want 1", n)
				}
				// The queue goes on.
				r.request = nil
				r.receive(tcpCaller, rq{via: branch(7), method: "OPTIONS"}.on(t, tcpCaller))
				if r.servers != 2 {
					t.Errorf("Request was called %d times, want 2", r.servers)
				}
			})
			for _, want := range []string{"level=ERROR", "boom", "panic_test.go", "call_id=call", "method=INVITE"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("log lacks %q:\n%s", want, out.String())
				}
			}
		})
	}
}

// forward sends the request of s to the phone, as a proxy does.
func forward(r *rig, s *Server) {
	wire := []byte(rq{method: s.Message().Method(), via: "SIP/2.0/TCP proxy.example;branch=z9hG4bKfork"}.text())
	if _, err := s.Queue().NewClient(tcpPhone, wire, r); err != nil {
		r.t.Errorf("NewClient(): %v", err)
	}
}

func TestPanic_SparesTheOthers(t *testing.T) {
	bubble(t, Options{Queues: 1}, func(r *rig) {
		// Two calls ring on one connection; the user fails on the first.
		for n, id := range []string{"a", "b"} {
			q := r.layer.Queue(id)
			q.Post(func() {
				wire := []byte(rq{callID: id, via: branch(n)}.text())
				if _, err := q.NewClient(tcpPhone, wire, r); err != nil {
					t.Errorf("NewClient(): %v", err)
				}
			})
		}
		r.failed = func(*Client, error) { panic("boom") }
		synctest.Wait()
		r.layer.FlowClosed(tcpPhone)
		r.expect("0s > INVITE", "0s > INVITE", "0s failed transport", "0s failed transport")
		r.checkEmpty()
	})
}

func TestPanic_ReleasesTheKey(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.request = func(s *Server) {
			if s.Message().Method() == "MESSAGE" {
				resume := s.Suspend()
				time.AfterFunc(time.Second, func() { resume(func() { panic("boom") }) })
				return
			}
			panic("boom")
		}
		r.receive(tcpCaller, rq{method: "MESSAGE", via: branch(1)}.on(t, tcpCaller))
		r.receive(tcpCaller, rq{method: "INFO", via: branch(2)}.on(t, tcpCaller))
		r.receive(tcpCaller, rq{method: "UPDATE", via: branch(3)}.on(t, tcpCaller))
		r.advance(2 * time.Second)
		r.expect("0s request MESSAGE", "1s > 500", "1s request INFO", "1s > 500", "1s request UPDATE", "1s > 500")
		r.checkEmpty()
	})
}

func TestPanic_BehindTheAnswerChangesNothing(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.request = func(s *Server) { s.Reply(reply(200)); panic("boom") }
		r.ack = func(*Queue, flow.Flow, *sipmsg.Message) { panic("boom") }
		r.receive(udpCaller, rq{}.on(t, udpCaller))
		r.receive(udpCaller, rq{method: "ACK", via: branch(1)}.on(t, udpCaller))
		r.expect("0s request INVITE", "0s > 200", "0s ack")
	})
}
