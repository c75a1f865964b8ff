package transaction

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

// quietUser parks every INVITE and answers nothing.
type quietUser struct{}

func (quietUser) Request(*Server)                        {}
func (quietUser) Ack(*Queue, flow.Flow, *sipmsg.Message) {}
func (quietUser) Cancel(s *Server, _ *sipmsg.Message)    { s.Reply(reply(487)) }
func (quietUser) Stray(flow.Flow, *sipmsg.Message)       {}
func (quietUser) Response(c *Client, m *sipmsg.Message)  {}
func (quietUser) Failed(*Client, error)                  {}
func (quietUser) Send(flow.Flow, []byte) error           { return nil }
func waitingInvite(n int) rq {
	return rq{via: fmt.Sprintf("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-caller-%d", n), callID: fmt.Sprintf("%d@caller.example", n)}
}

// 20,000 waiting INVITEs cost no goroutine, and when they are cancelled nothing
// is left of them after 64*T1.
func TestWaiting_NoGoroutinePerRequest(t *testing.T) {
	const calls = 20000
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{QueueLen: calls})
		r.layer.o.User, r.layer.o.Sender = quietUser{}, quietUser{}
		before := runtime.NumGoroutine()
		for n := range calls {
			if !r.layer.Receive(tcpCaller, waitingInvite(n).on(t, tcpCaller)) {
				t.Fatal("Receive() = false")
			}
		}
		synctest.Wait()
		if n := r.layer.live[kindServerInvite].Load(); n != calls {
			t.Errorf("%d INVITEs wait, want %d", n, calls)
		}
		if n := runtime.NumGoroutine(); n > before+2 {
			t.Errorf("%d goroutines with %d INVITEs waiting, %d before", n, calls, before)
		}
		r.advance(time.Minute)
		for n := range calls {
			cancel := waitingInvite(n)
			cancel.method = "CANCEL"
			r.layer.Receive(tcpCaller, cancel.on(t, tcpCaller))
		}
		r.advance(64*500*time.Millisecond + time.Millisecond)
		r.checkEmpty()
	})
}

// BenchmarkWaitingInvite measures what a waiting INVITE costs besides its
// message.
func BenchmarkWaitingInvite(b *testing.B) {
	benchMemory(b, quietUser{}, "INVITE")
}

// BenchmarkAnsweredRequest measures what a request over UDP costs, besides its
// message and the response of 400 bytes, until Timer J fires.
func BenchmarkAnsweredRequest(b *testing.B) {
	benchMemory(b, answerUser{}, "MESSAGE")
}

func benchMemory(b *testing.B, u User, method string) {
	l := New(Options{Sender: quietUser{}, User: u, QueueLen: 1 << 30, MaxTransactions: 1 << 30})
	messages := make([]*sipmsg.Message, b.N)
	empty := heap()
	for n := range messages {
		q := waitingInvite(n)
		q.method = method
		messages[n] = q.on(b, udpCaller)
	}
	l.Start()
	before := heap()
	b.ResetTimer()
	for _, m := range messages {
		l.Receive(udpCaller, m)
	}
	for l.queued() != 0 {
		runtime.Gosched()
	}
	b.StopTimer()
	b.ReportMetric(float64(heap()-before)/float64(b.N), "heap-B/transaction")
	b.ReportMetric(float64(before-empty)/float64(b.N), "heap-B/message")
	runtime.KeepAlive(messages)
	l.undecided.Store(0)
	l.registering.Store(0)
	_ = l.Stop(b.Context())
}

// heap returns the live heap in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}
