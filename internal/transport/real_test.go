package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"reveille/flow"
)

// onLoopback returns a started Transport with real sockets, UDP and TCP on
// each address, named after their family.
func onLoopback(t testing.TB, h Handler, change ...func(*Options)) *Transport {
	t.Helper()
	o := Options{Handler: h}
	for _, c := range change {
		c(&o)
	}
	addrs := map[string]string{"4": "127.0.0.1:0"}
	if l, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		l.Close()
		addrs["6"] = "[::1]:0"
		addrs["46"] = ":0"
	}
	for name, addr := range addrs {
		o.Listeners = append(o.Listeners,
			ListenerOptions{Name: "udp" + name, Transport: flow.UDP, Addr: addr, Sockets: 3},
			ListenerOptions{Name: "tcp" + name, Transport: flow.TCP, Addr: addr})
	}
	tr, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	tr.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := tr.Stop(ctx); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	return tr
}

// toward returns a listener's address as a peer of that address family dials it.
func toward(tr *Transport, listener, host string) string {
	return netip.AddrPortFrom(netip.MustParseAddr(host), addrPort(tr.Addr(listener)).Port()).String()
}

func TestReal_MessagesBothWays(t *testing.T) {
	r := newRecorder(t)
	tr := onLoopback(t, r)
	for _, tc := range []struct{ network, listener, host string }{
		{"udp", "udp4", "127.0.0.1"},
		{"udp", "udp6", "::1"},
		{"udp", "udp46", "127.0.0.1"},
		{"udp", "udp46", "::1"},
		{"tcp", "tcp4", "127.0.0.1"},
		{"tcp", "tcp6", "::1"},
		{"tcp", "tcp46", "127.0.0.1"},
		{"tcp", "tcp46", "::1"},
	} {
		t.Run(tc.listener+" "+tc.host, func(t *testing.T) {
			if tr.Addr(tc.listener) == nil {
				t.Logf("no IPv6 on this machine")
				return
			}
			c, err := net.Dial(tc.network, toward(tr, tc.listener, tc.host))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			r.take()
			mustWrite(t, c, message(1, "x"))
			r.until("Receive", func() bool { return len(r.messages) == 1 })
			f := r.last()
			if f.Remote != addrPort(c.LocalAddr()) || f.Listener != tc.listener || f.Stream() != (tc.network == "tcp") {
				t.Errorf("flow %v, want that of %v", f, c.LocalAddr())
			}
			if !tr.Alive(f, time.Now()) {
				t.Error("not alive")
			}
			if err := tr.Send(f, []byte(message(2, "y"))); err != nil {
				t.Fatal(err)
			}
			// A connected UDP socket hears only the address that it dialled.
			buf := make([]byte, len(message(2, "y")))
			if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, buf); err != nil || string(buf) != message(2, "y") {
				t.Errorf("the peer read %q, %v", buf, err)
			}
			if tc.network == "tcp" {
				c.Close()
				r.until("FlowClosed", func() bool { return r.closed[f] != nil })
			}
		})
	}
}

func TestReal_SharedAddressIsExclusiveToOneServer(t *testing.T) {
	tr := onLoopback(t, newRecorder(t))
	o := Options{Handler: newRecorder(t), Listeners: []ListenerOptions{
		{Name: "udp", Transport: flow.UDP, Addr: tr.Addr("udp4").String(), Sockets: 2},
	}}
	if _, err := New(o); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("New on the address of another server = %v", err)
	}
}

func TestReal_Connect(t *testing.T) {
	a, b := newRecorder(t), newRecorder(t)
	from, to := onLoopback(t, a), onLoopback(t, b)
	for _, tp := range []flow.Transport{flow.UDP, flow.TCP} {
		remote := addrPort(to.Addr(strings.ToLower(tp.String()) + "4"))
		done := make(chan outcome, 1)
		from.Connect(tp, remote, func(f flow.Flow, err error) { done <- outcome{f: f, err: err} })
		o := <-done
		if o.err != nil {
			t.Fatal(o.err)
		}
		if err := from.Send(o.f, []byte(message(1, ""))); err != nil {
			t.Fatal(err)
		}
		b.until("Receive", func() bool { return len(b.messages) > 0 })
		b.take()
		if err := to.Send(b.last(), []byte(message(2, ""))); err != nil {
			t.Fatal(err)
		}
		a.until("the answer", func() bool { return len(a.messages) > 0 })
		a.take()
		if a.last() != o.f {
			t.Errorf("the answer came on %v, want %v", a.last(), o.f)
		}
	}
}

func TestReal_StopLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	r := newRecorder(t)
	tr := onLoopback(t, r)
	var peers []net.Conn
	for i := range 20 {
		c, err := net.Dial("tcp", tr.Addr("tcp4").String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		mustWrite(t, c, message(i, ""))
		peers = append(peers, c)
	}
	r.until("20 messages", func() bool { return len(r.messages) == 20 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := tr.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if len(r.closed) != 20 {
		t.Errorf("%d of 20 flows closed", len(r.closed))
	}
	for _, c := range peers {
		if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the peer sees %v", err)
		}
	}
	// What Stop waited for may still be on its last instruction.
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if runtime.NumGoroutine() <= before {
			return
		}
		runtime.Gosched()
	}
	buf := make([]byte, 1<<20)
	t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
}

// An echo is a Handler that answers each message with the same bytes.
type echo struct {
	tr     *Transport
	answer []byte
	done   chan struct{}
}

func (e *echo) Receive(f flow.Flow, _ []byte, _ time.Time) {
	if err := e.tr.Send(f, e.answer); err != nil {
		panic(fmt.Sprint("benchmark: ", err))
	}
	e.done <- struct{}{}
}

func (e *echo) FlowClosed(flow.Flow, error) {}

// The path of a refresh: a datagram in, one out, on real sockets. The client's
// own cost is in it too.
func BenchmarkUDP_ReceiveAndSend(b *testing.B) {
	e := &echo{answer: []byte(message(1, strings.Repeat("x", 300))), done: make(chan struct{}, 1)}
	e.tr = onLoopback(b, e)
	c, err := net.Dial("udp", e.tr.Addr("udp4").String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	request, answer := []byte(message(2, strings.Repeat("x", 600))), make([]byte, 2000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		<-e.done
		if _, err := c.Read(answer); err != nil {
			b.Fatal(err)
		}
	}
}

// receive alone, without the system call.
func BenchmarkUDP_Receive(b *testing.B) {
	tr := onLoopback(b, ignore{})
	r := newDatagramReader(tr.named("udp4").sockets[0])
	batch := []datagram{{data: []byte(message(2, strings.Repeat("x", 600))), peer: netip.MustParseAddrPort("192.0.2.1:5060")}}
	b.ReportAllocs()
	for b.Loop() {
		r.receive(batch)
	}
}

func BenchmarkStream_SendAndReceive(b *testing.B) {
	e := &echo{answer: []byte(message(1, strings.Repeat("x", 300))), done: make(chan struct{}, 1)}
	e.tr = onLoopback(b, e)
	c, err := net.Dial("tcp", e.tr.Addr("tcp4").String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	request, answer := []byte(message(2, strings.Repeat("x", 600))), make([]byte, len(e.answer))
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
}

type ignore struct{}

func (ignore) Receive(flow.Flow, []byte, time.Time) {}
func (ignore) FlowClosed(flow.Flow, error)          {}

func TestUDP_ReceiveAndSendAllocateNothing(t *testing.T) {
	tr := onLoopback(t, ignore{})
	peer, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	l := tr.named("udp4")
	f, request := l.flow(addrPort(peer.LocalAddr())), []byte(message(1, ""))
	r, batch := newDatagramReader(l.sockets[0]), []datagram{{data: request, peer: f.Remote}}
	if n := testing.AllocsPerRun(100, func() {
		r.receive(batch)
		if err := tr.Send(f, request); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a datagram in and one out", n)
	}
}
