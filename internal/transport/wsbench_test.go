package transport

import (
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

// What a message and its answer cost by TCP and by WebSocket, on real sockets.
// The client's own cost is in it too; it is the same for both.
func BenchmarkWS_SendAndReceive(b *testing.B) {
	for _, tp := range []flow.Transport{flow.TCP, flow.WS} {
		b.Run(tp.String(), func(b *testing.B) {
			e := &echo{answer: []byte(message(1, strings.Repeat("x", 300))), done: make(chan struct{}, 1)}
			e.tr = listenOn(b, tp, e)
			c := connected(b, e.tr)
			request, answer := []byte(message(2, strings.Repeat("x", 600))), make([]byte, len(e.answer))
			if tp == flow.WS {
				request, answer = []byte(text(string(request))), make([]byte, len(serverFrame(ws.OpText, string(e.answer))))
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(request); err != nil {
					b.Fatal(err)
				}
				<-e.done
				if _, err := io.ReadFull(c, answer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The framing alone: a request of 900 bytes in and an answer of 600 out.
func BenchmarkWS_Framing(b *testing.B) {
	request, answer := message(2, strings.Repeat("x", 640)), []byte(message(1, strings.Repeat("x", 340)))
	for _, tc := range []struct {
		name    string
		framing framing
		in      string
	}{
		{"TCP", plainFraming{sipmsg.NewFramer(0)}, request},
		{"WS", &wsFraming{limit: sipmsg.MaxMessage, buffered: &budget{}}, text(request)},
	} {
		b.Run(tc.name, func(b *testing.B) {
			in, out := make([]byte, len(tc.in)), make([]byte, 0, 2048)
			b.ReportAllocs()
			for b.Loop() {
				copy(in, tc.in) // It was unmasked in place.
				if kind, n, _, err := tc.framing.next(in); kind != sipmsg.FrameMore && n != len(in) || err != nil {
					b.Fatal(kind, n, err)
				}
				out = tc.framing.appendMessage(out[:0], answer)
			}
		})
	}
}

// The memory of a connection that is idle after its first message, heap and
// stacks, client included, which is the same small net.Conn for both.
func BenchmarkWS_Idle(b *testing.B) {
	const n = 2000
	for _, tp := range []flow.Transport{flow.TCP, flow.WS} {
		b.Run(tp.String(), func(b *testing.B) {
			for b.Loop() {
				e := &counter{done: make(chan struct{}, n)}
				tr := listenOn(b, tp, e)
				before := memory()
				request := message(2, strings.Repeat("x", 600))
				if tp == flow.WS {
					request = text(request)
				}
				conns := make([]net.Conn, n)
				for i := range conns {
					conns[i] = connected(b, tr)
					if _, err := io.WriteString(conns[i], request); err != nil {
						b.Fatal(err)
					}
					<-e.done
				}
				b.ReportMetric(float64(memory()-before)/n, "B/conn")
				runtime.KeepAlive(conns)
				if err := tr.Stop(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func listenOn(b *testing.B, tp flow.Transport, h Handler) *Transport {
	b.Helper()
	tr, err := New(Options{Handler: h, MaxConnsPerSource: 1 << 20, Listeners: []ListenerOptions{{Name: "it", Transport: tp, Addr: "127.0.0.1:0"}}})
	if err != nil {
		b.Fatal(err)
	}
	tr.Start()
	b.Cleanup(func() { _ = tr.Stop(b.Context()) })
	return tr
}

// connected returns a connection on which messages can be sent.
func connected(b *testing.B, tr *Transport) net.Conn {
	b.Helper()
	c, err := net.Dial("tcp", tr.Addr("it").String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		b.Fatal(err)
	}
	if tr.listeners()[0].Transport == flow.WS {
		if _, err := io.WriteString(c, wsHandshake); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, len(wsAccepted))); err != nil {
			b.Fatal(err)
		}
	}
	return c
}

type counter struct {
	ignore
	done chan struct{}
}

func (c *counter) Receive(flow.Flow, []byte, time.Time) { c.done <- struct{}{} }

func memory() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // What pools hold goes with the second.
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
