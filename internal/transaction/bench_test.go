package transaction

import (
	"fmt"
	"runtime"
	"testing"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

// answerUser answers every request at once.
type answerUser struct{ quietUser }

var okWire = make([]byte, 400)

func (answerUser) Request(s *Server) { s.Respond(200, okWire) }

// bench feeds b.N messages made by next, in chunks, and waits for the queues.
func bench(b *testing.B, u User, f flow.Flow, next func(n int) *sipmsg.Message) {
	const chunk = 4096
	l := New(Options{Sender: quietUser{}, User: u, QueueLen: chunk, MaxTransactions: 1 << 30})
	l.Start()
	b.ReportAllocs()
	messages := make([]*sipmsg.Message, 0, chunk)
	for done := 0; done < b.N; {
		b.StopTimer()
		messages = messages[:0]
		for ; len(messages) < chunk && done < b.N; done++ {
			messages = append(messages, next(done))
		}
		b.StartTimer()
		for _, m := range messages {
			l.Receive(f, m)
		}
		for l.queued() != 0 {
			runtime.Gosched()
		}
	}
	b.StopTimer()
	l.undecided.Store(0)
	l.registering.Store(0)
	_ = l.Stop(b.Context())
}

func message(b *testing.B, f flow.Flow, n int) *sipmsg.Message {
	return rq{method: "MESSAGE", callID: fmt.Sprint(n), via: fmt.Sprintf("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK%d;rport", n)}.on(b, f)
}

// BenchmarkDispatchRespond is a request through the queue to its answer, parsing
// excluded: over UDP with Timer J left running, over a stream forgotten at once.
func BenchmarkDispatchRespond(b *testing.B) {
	for _, f := range []flow.Flow{udpCaller, tcpCaller} {
		b.Run(f.Transport.String(), func(b *testing.B) {
			bench(b, answerUser{}, f, func(n int) *sipmsg.Message { return message(b, f, n) })
		})
	}
}

// BenchmarkRetransmission is a retransmitted request and its stored answer.
func BenchmarkRetransmission(b *testing.B) {
	m := message(b, udpCaller, 1)
	bench(b, answerUser{}, udpCaller, func(int) *sipmsg.Message { return m })
}

// BenchmarkSuspendResume is a request whose handler suspends and resumes.
func BenchmarkSuspendResume(b *testing.B) {
	bench(b, suspendUser{}, tcpCaller, func(n int) *sipmsg.Message { return message(b, tcpCaller, n) })
}

type suspendUser struct{ quietUser }

func (suspendUser) Request(s *Server) {
	s.Suspend()(func() { s.Respond(200, okWire) })
}

// BenchmarkTimers sets and stops a timer among 100,000 running ones.
func BenchmarkTimers(b *testing.B) {
	var h timerHeap
	timers := make([]timer, 100000)
	for i := range timers {
		h.set(&timers[i], 0)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		t := &timers[i%len(timers)]
		h.stop(t)
		h.set(t, t.when+1)
		i += 7919
	}
}
