package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/flow"
)

// bothWays runs test with sockets that move datagrams as the system can, and
// one by one.
func bothWays(t *testing.T, test func(t *testing.T, change func(*Transport))) {
	t.Run("batched", func(t *testing.T) { test(t, func(*Transport) {}) })
	t.Run("one by one", func(t *testing.T) {
		test(t, func(tr *Transport) {
			for _, l := range tr.listeners() {
				for _, s := range l.sockets {
					s.bulk, s.poster.bulk = single{s.conn}, single{s.conn}
				}
			}
		})
	})
}

// unstarted returns a Transport with one real UDP socket that is not read yet.
func unstarted(t *testing.T, o Options, change func(*Transport)) (*Transport, *listener) {
	t.Helper()
	if o.Listeners == nil {
		o.Listeners = []ListenerOptions{{Name: "udp", Transport: flow.UDP, Addr: "127.0.0.1:0", Sockets: 1}}
	}
	tr, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	change(tr)
	t.Cleanup(func() { stop(t, tr) })
	return tr, tr.listeners()[0]
}

func stop(t *testing.T, tr *Transport) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := tr.Stop(ctx); err != nil {
		t.Errorf("Stop: %v", err)
	}
}

// A pen is a peer's UDP socket.
type pen struct {
	*net.UDPConn
	t *testing.T
}

func newPen(t *testing.T, host string) pen {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(host), 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetReadBuffer(1 << 20); err != nil {
		t.Fatal(err)
	}
	return pen{c, t}
}

func (p pen) addr() netip.AddrPort { return addrPort(p.LocalAddr()) }

func (p pen) write(to netip.AddrPort, messages ...string) {
	p.t.Helper()
	for _, m := range messages {
		if _, err := p.WriteToUDPAddrPort([]byte(m), to); err != nil {
			p.t.Fatal(err)
		}
	}
}

// read returns the next n datagrams, or fewer if they do not come.
func (p pen) read(n int) (got []string) {
	p.t.Helper()
	if err := p.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		p.t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	for len(got) < n {
		n, _, err := p.ReadFromUDPAddrPort(buf)
		if err != nil {
			p.t.Errorf("after %d datagrams: %v", len(got), err)
			break
		}
		got = append(got, string(buf[:n]))
	}
	return got
}

// silent fails if anything else has come.
func (p pen) silent() {
	p.t.Helper()
	if err := p.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		p.t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	if n, _, err := p.ReadFromUDPAddrPort(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Errorf("heard %q too, %v", buf[:n], err)
	}
}

func numbered(prefix string, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("%s %d", prefix, i))
	}
	return out
}

// TestBatch_Boundaries has as many datagrams wait as one system call reads, one
// less and some more.
func TestBatch_Boundaries(t *testing.T) {
	bothWays(t, func(t *testing.T, change func(*Transport)) {
		for _, n := range []int{1, batchLen - 1, batchLen, batchLen + 1, 3*batchLen + 7} {
			r := newRecorder(t)
			tr, l := unstarted(t, Options{Handler: r, Answerer: &answerer{}}, change)
			p := newPen(t, "127.0.0.1")
			p.write(l.Addr, numbered("answer", n)...)
			p.write(l.Addr, numbered("hand on", n)...)
			tr.Start()
			if diff := cmp.Diff(numbered("200 answer", n), p.read(n)); diff != "" {
				t.Errorf("%d answers: %s", n, diff)
			}
			r.until("Receive", func() bool { return len(r.messages) == n })
			if diff := cmp.Diff(numbered("hand on", n), r.take()); diff != "" {
				t.Errorf("%d handed on: %s", n, diff)
			}
			stop(t, tr)
			p.silent()
			if got := testutil.ToFloat64(l.metrics.received); got != float64(2*n) {
				t.Errorf("%v of %d counted as received", got, 2*n)
			}
			if got := testutil.ToFloat64(l.metrics.sent); got != float64(n) {
				t.Errorf("%v of %d counted as sent", got, n)
			}
		}
	})
}

// TestBatch_OrderOfAnswers mixes messages that the Answerer takes with such as
// the Handler answers, and with what nobody answers.
func TestBatch_OrderOfAnswers(t *testing.T) {
	bothWays(t, func(t *testing.T, change func(*Transport)) {
		r := newRecorder(t)
		tr, l := unstarted(t, Options{Handler: r, Answerer: &answerer{}, MaxMessage: 2000}, change)
		r.receive = func(f flow.Flow, b []byte) {
			if err := tr.Send(f, append([]byte("slow "), b...)); err != nil {
				t.Error(err)
			}
		}
		p := newPen(t, "127.0.0.1")
		var want []string
		for i := range 2 * batchLen {
			a, b := fmt.Sprint("answer ", i), fmt.Sprint("hand on ", i)
			p.write(l.Addr, a, "", "\r\n\r\n", "\x00\x01\x00\x00", "swallow", strings.Repeat("x", 2001), a, b)
			want = append(want, "200 "+a, "200 "+a, "slow "+b)
			if i == 0 {
				tr.Start() // The rest of the way both work at once.
			}
			if diff := cmp.Diff(want, p.read(len(want))); diff != "" {
				t.Fatal(diff)
			}
			want = nil
		}
		stop(t, tr)
		p.silent()
		for name, c := range map[string]struct{ got, want float64 }{
			"keep-alives": {testutil.ToFloat64(l.metrics.keepAlives), 3 * 2 * batchLen},
			"dropped":     {testutil.ToFloat64(l.metrics.dropped), 2 * batchLen},
			"received":    {testutil.ToFloat64(l.metrics.received), 4 * 2 * batchLen},
			"sent":        {testutil.ToFloat64(l.metrics.sent), 3 * 2 * batchLen},
		} {
			if c.got != c.want {
				t.Errorf("%s: %v counted, want %v", name, c.got, c.want)
			}
		}
	})
}

// TestBatch_LongestMessage: no slot may be shorter than the longest message, nor
// one datagram run into the next.
func TestBatch_LongestMessage(t *testing.T) {
	bothWays(t, func(t *testing.T, change func(*Transport)) {
		r := newRecorder(t)
		tr, l := unstarted(t, Options{Handler: r}, change)
		p := newPen(t, "127.0.0.1")
		var want []string
		for i := range 3 {
			want = append(want, strings.Repeat(fmt.Sprint(i), maxDatagram), fmt.Sprint("short ", i))
		}
		p.write(l.Addr, want...)
		tr.Start()
		r.until("Receive", func() bool { return len(r.messages) == len(want) })
		if got := r.take(); !cmp.Equal(got, want) {
			for i := range got {
				t.Errorf("message %d has %d bytes, want %d", i, len(got[i]), len(want[i]))
			}
		}
	})
}

// TestBatch_LongAnswers: what does not fit beside the other answers of a batch
// takes nothing from them.
func TestBatch_LongAnswers(t *testing.T) {
	bothWays(t, func(t *testing.T, change func(*Transport)) {
		tr, l := unstarted(t, Options{Handler: ignore{}, Answerer: &answerer{}}, change)
		p := newPen(t, "127.0.0.1")
		var want []string
		for i, n := range []int{10, answerRoom - 100, answerRoom + 100, 20, outboxSize, 30, outboxSize / 2, outboxSize / 2, 40} {
			m := fmt.Sprint("answer ", i, strings.Repeat("x", n))
			p.write(l.Addr, m)
			want = append(want, "200 "+m)
		}
		tr.Start()
		if got := p.read(len(want)); !cmp.Equal(got, want) {
			for i := range got {
				t.Errorf("answer %d: %.20q of %d bytes, want %.20q of %d", i, got[i], len(got[i]), want[i], len(want[i]))
			}
		}
	})
}

// TestBatch_BadDestinationLosesNothingElse: each of these is refused by the
// system at once, in the midst of others.
func TestBatch_BadDestinationLosesNothingElse(t *testing.T) {
	bothWays(t, func(t *testing.T, change func(*Transport)) {
		_, l := unstarted(t, Options{Handler: ignore{}}, change)
		p := newPen(t, "127.0.0.1")
		good := func(i int) datagram { return datagram{data: fmt.Append(nil, i), peer: p.addr()} }
		for _, bad := range []datagram{
			{data: []byte("no address")},
			{data: []byte("other family"), peer: netip.MustParseAddrPort("[2001:db8::1]:5060")},
			{data: []byte("no port"), peer: netip.AddrPortFrom(p.addr().Addr(), 0)},
			{data: make([]byte, maxDatagram+1), peer: p.addr()},
		} {
			for _, out := range [][]datagram{
				{bad, good(0), good(1)}, {good(0), bad, bad, good(1)}, {good(0), good(1), bad},
			} {
				failed, sent := testutil.ToFloat64(l.metrics.sendError(errors.New("any"))), testutil.ToFloat64(l.metrics.sent)
				l.sendAll(l.sockets[0].bulk, out)
				if diff := cmp.Diff([]string{"0", "1"}, p.read(2)); diff != "" {
					t.Errorf("beside %.20q: %s", bad.data, diff)
				}
				failed = testutil.ToFloat64(l.metrics.sendError(errors.New("any"))) - failed
				sent = testutil.ToFloat64(l.metrics.sent) - sent
				if sent != 2 || failed != float64(len(out)-2) {
					t.Errorf("beside %.20q: %v sent, %v failed", bad.data, sent, failed)
				}
			}
		}
		p.silent()
	})
}

// TestBatch_ClosedSocket: what waits for a socket that is closed meanwhile is
// lost, and counted.
func TestBatch_ClosedSocket(t *testing.T) {
	bothWays(t, func(t *testing.T, change func(*Transport)) {
		tr, l := unstarted(t, Options{Handler: ignore{}}, change)
		stop(t, tr)
		d := datagram{data: []byte("late"), peer: netip.MustParseAddrPort("127.0.0.1:9")}
		l.sendAll(l.sockets[0].bulk, []datagram{d, d})
		if got := testutil.ToFloat64(l.metrics.sendError(ErrFlowDead)); got != 2 {
			t.Errorf("%v of 2 counted", got)
		}
		if _, err := l.sockets[0].bulk.receive([]datagram{{data: make([]byte, 9)}}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("receive = %v", err)
		}
	})
}

// TestBatch_AddressFamilies answers and posts to peers of both families, also on
// a socket of both, where IPv4 addresses are mapped into IPv6.
func TestBatch_AddressFamilies(t *testing.T) {
	bothWays(t, func(t *testing.T, change func(*Transport)) {
		for _, tc := range []struct{ listen, peer string }{
			{"127.0.0.1:0", "127.0.0.1"}, {"[::1]:0", "::1"}, {":0", "127.0.0.1"}, {":0", "::1"}, {"0.0.0.0:0", "127.0.0.1"}, {"[::]:0", "::1"},
		} {
			if l, err := net.Listen("tcp6", "[::1]:0"); err != nil {
				t.Log("no IPv6 on this machine")
				return
			} else {
				l.Close()
			}
			r := newRecorder(t)
			tr, l := unstarted(t, Options{Handler: r, Answerer: &answerer{}, Listeners: []ListenerOptions{
				{Name: "udp", Transport: flow.UDP, Addr: tc.listen, Sockets: 1},
			}}, change)
			tr.Start()
			p := newPen(t, tc.peer)
			p.write(netip.AddrPortFrom(p.addr().Addr(), l.Addr.Port()), "answer", "hand on")
			r.until("Receive", func() bool { return len(r.messages) == 1 })
			f := r.last()
			if f.Remote != p.addr() {
				t.Errorf("%s on %s: the flow is %v, want %v", tc.peer, tc.listen, f.Remote, p.addr())
			}
			if err := tr.Post(f, []byte("post")); err != nil {
				t.Error(err)
			}
			got := p.read(2)
			if !cmp.Equal(got, []string{"200 answer", "post"}) && !cmp.Equal(got, []string{"post", "200 answer"}) {
				t.Errorf("%s on %s heard %q", tc.peer, tc.listen, got)
			}
		}
	})
}
