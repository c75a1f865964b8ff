package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/flow"
	"reveille/internal/memnet"
)

// An outcome is what Connect reported.
type outcome struct {
	f   flow.Flow
	err error
	at  time.Time
}

// connect calls Connect and returns a channel that holds its outcome once.
func (b *bench) connect(tp flow.Transport, remote string) chan outcome {
	out := make(chan outcome, 2)
	b.Connect(tp, netip.MustParseAddrPort(remote), func(f flow.Flow, err error) { out <- outcome{f, err, time.Now()} })
	return out
}

// pbx returns a listener of a host that reveille can dial.
func (b *bench) pbx(addr string) net.Listener {
	b.t.Helper()
	l, err := b.net.Host(addr).Listen(b.t.Context(), "tcp", ":5060")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { l.Close() })
	return l
}

func accept(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestConnect_DialsOnceAndShares(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, b *bench) {
		b.net.SetLink(memnet.Link{Delay: 50 * time.Millisecond})
		for _, remote := range []string{"192.0.2.50", "2001:db8::50"} {
			l := b.pbx(remote)
			to := netip.AddrPortFrom(netip.MustParseAddr(remote), 5060).String()
			waiting := []chan outcome{b.connect(flow.TCP, to), b.connect(flow.TCP, to), b.connect(flow.TCP, to)}
			start := time.Now()
			first := <-waiting[0]
			if first.err != nil || first.at.Sub(start) != 100*time.Millisecond {
				t.Fatalf("Connect: %v after %v", first.err, first.at.Sub(start))
			}
			if first.f.Remote.String() != to || first.f.Listener != "tcp" || !b.Open(first.f) {
				t.Errorf("flow %v", first.f)
			}
			for _, w := range append(waiting[1:], b.connect(flow.TCP, to)) {
				if o := <-w; o.err != nil || o.f != first.f {
					t.Errorf("another Connect: %v, %v", o.f, o.err)
				}
			}
			// The connection carries requests, and the answers come back on it.
			if err := b.Send(first.f, []byte(message(1, ""))); err != nil {
				t.Fatal(err)
			}
			peer := accept(t, l)
			time.Sleep(time.Second)
			if got, _ := readAvailable(t, peer); got != message(1, "") {
				t.Errorf("the peer read %q", got)
			}
			mustWrite(t, peer, message(2, ""))
			time.Sleep(time.Second)
			if diff := cmp.Diff([]string{message(2, "")}, b.take()); diff != "" || b.last() != first.f {
				t.Errorf("on %v: %s", b.last(), diff)
			}
			// It is not held to the haste of those who connect to us, and when it
			// ends the next Connect dials again.
			time.Sleep(10 * time.Minute)
			if !b.Open(first.f) {
				t.Fatal("closed while idle")
			}
			peer.Close()
			time.Sleep(time.Second)
			if err := b.cause(first.f); !errors.Is(err, io.EOF) {
				t.Errorf("closed with %v", err)
			}
			if o := <-b.connect(flow.TCP, to); o.err != nil || o.f == first.f {
				t.Errorf("Connect after the end: %v, %v", o.f, o.err)
			}
		}
	})
}

func TestConnect_SharesAConnectionThatThePeerMade(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, b *bench) {
		c := b.dial(b.net.Host("192.0.2.50"))
		mustWrite(t, c, message(1, ""))
		synctest.Wait()
		if o := <-b.connect(flow.TCP, c.LocalAddr().String()); o.err != nil || o.f != b.last() {
			t.Errorf("Connect = %v, %v, want %v", o.f, o.err, b.last())
		}
	})
}

// A phone that lost its connection unnoticed may come again from the same
// port: the end of the old connection must not hide the new one.
func TestConnect_FindsTheNewestConnectionOfAPeer(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, b *bench) {
		phone := b.net.Host("192.0.2.50")
		var flows []flow.Flow
		var conns []net.Conn
		for range 2 {
			c, err := phone.DialContext(t.Context(), "tcp", "192.0.2.50:7000", server4+":5060")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			mustWrite(t, c, message(1, ""))
			synctest.Wait()
			flows, conns = append(flows, b.last()), append(conns, c)
		}
		conns[0].Close()
		synctest.Wait()
		if b.Open(flows[0]) || !b.Open(flows[1]) {
			t.Fatalf("open: %v, %v", b.Open(flows[0]), b.Open(flows[1]))
		}
		if o := <-b.connect(flow.TCP, "192.0.2.50:7000"); o.err != nil || o.f != flows[1] {
			t.Errorf("Connect = %v, %v, want %v", o.f, o.err, flows[1])
		}
	})
}

func TestConnect_UDPNeedsNothing(t *testing.T) {
	inBubble(t, Options{Node: 4}, func(t *testing.T, b *bench) {
		want := flow.Flow{Node: 4, Listener: "udp", Transport: flow.UDP, Remote: netip.MustParseAddrPort("192.0.2.77:5060")}
		for _, remote := range []string{"192.0.2.77:5060", "[::ffff:192.0.2.77]:5060"} {
			if o := <-b.connect(flow.UDP, remote); o.err != nil || o.f != want {
				t.Errorf("Connect(%s) = %v, %v, want %v", remote, o.f, o.err, want)
			}
		}
	})
}

func TestConnect_Failures(t *testing.T) {
	o := Options{DialTimeout: 4 * time.Second, MaxConns: 1, Listeners: []ListenerOptions{
		{Name: "tcp", Transport: flow.TCP, Addr: server4 + ":5060"},
	}}
	for _, tc := range []struct {
		name, remote string
		tp           flow.Transport
		prepare      func(b *bench)
		want         error
		after        time.Duration
	}{
		{name: "nobody listens", remote: "192.0.2.50:5060", prepare: func(b *bench) { b.net.Host("192.0.2.50") }, want: syscall.ECONNREFUSED},
		{name: "nobody answers", remote: "192.0.2.50:5060", want: context.DeadlineExceeded, after: 4 * time.Second},
		{name: "no listener of the family", remote: "[2001:db8::50]:5060", want: ErrNoListener},
		{name: "no listener of the transport", remote: "192.0.2.50:5060", tp: flow.UDP, want: ErrNoListener},
		{name: "no port", remote: "192.0.2.50:0", want: ErrNoListener},
		{name: "too many connections", remote: "192.0.2.50:5060", prepare: func(b *bench) {
			b.pbx("192.0.2.50")
			b.dial(b.net.Host("192.0.2.51"))
			synctest.Wait()
		}, want: ErrBusy},
		{name: "stopped", remote: "192.0.2.50:5060", prepare: func(b *bench) { b.Stop(b.t.Context()) }, want: ErrStopped},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, o, func(t *testing.T, b *bench) {
				if tc.prepare != nil {
					tc.prepare(b)
				}
				if tc.tp == 0 {
					tc.tp = flow.TCP
				}
				start := time.Now()
				got := <-b.connect(tc.tp, tc.remote)
				if !errors.Is(got.err, tc.want) || !got.f.IsZero() {
					t.Errorf("Connect = %v, %v, want %v", got.f, got.err, tc.want)
				}
				if d := got.at.Sub(start); d != tc.after {
					t.Errorf("took %v, want %v", d, tc.after)
				}
				if len(b.closed) != 0 {
					t.Errorf("FlowClosed for a flow that nobody knew: %v", b.closed)
				}
			})
		})
	}
}

func TestConnect_DialsAndWaitersAreBounded(t *testing.T) {
	inBubble(t, Options{MaxDials: 2, DialTimeout: 5 * time.Second}, func(t *testing.T, b *bench) {
		start := time.Now()
		var waiting []chan outcome
		for _, remote := range []string{"192.0.2.50:1", "192.0.2.51:1", "192.0.2.52:1", "192.0.2.50:1", "192.0.2.50:1"} {
			waiting = append(waiting, b.connect(flow.TCP, remote))
		}
		for i, busy := range []bool{false, false, true, false, true} {
			o := <-waiting[i]
			if errors.Is(o.err, ErrBusy) != busy || busy && o.at != start {
				t.Errorf("Connect %d: %v after %v", i, o.err, o.at.Sub(start))
			}
		}
		if o := <-b.connect(flow.TCP, "192.0.2.52:1"); errors.Is(o.err, ErrBusy) {
			t.Error("no dial is free after all have ended")
		}
	})
}

func TestStop_EndsDials(t *testing.T) {
	inBubble(t, Options{DialTimeout: time.Hour}, func(t *testing.T, b *bench) {
		o := b.connect(flow.TCP, "192.0.2.50:1")
		synctest.Wait()
		start := time.Now()
		if err := b.Stop(t.Context()); err != nil || time.Since(start) > 0 {
			t.Errorf("Stop = %v after %v", err, time.Since(start))
		}
		if got := <-o; !errors.Is(got.err, context.Canceled) {
			t.Errorf("Connect = %v", got.err)
		}
	})
}

// The transport names that a rule or the address itself asks for.
func TestConnect_ListenerByRuleAndInterface(t *testing.T) {
	o := Options{
		Listeners: []ListenerOptions{
			{Name: "wan", Transport: flow.UDP, Addr: "198.51.100.1:5060", Sockets: 1, Advertise: "sip.example.com"},
			{Name: "lan", Transport: flow.UDP, Addr: "10.0.0.1:5060", Sockets: 1},
			{Name: "lan-tcp", Transport: flow.TCP, Addr: "10.0.0.1:5060"},
			{Name: "six", Transport: flow.UDP, Addr: "[2001:db8::1]:5060", Sockets: 1},
		},
		Rules: []Rule{
			{Prefix: netip.MustParsePrefix("172.16.0.0/12"), Listener: "lan-tcp"},
			{Prefix: netip.MustParsePrefix("172.16.0.0/12"), Listener: "lan"},
			{Prefix: netip.MustParsePrefix("::/0"), Listener: "six"},
		},
	}
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(1)
		b := &bench{recorder: newRecorder(t), net: n, host: n.Host("198.51.100.1", "10.0.0.1", "2001:db8::1")}
		b.Transport = b.restart(o)
		defer b.Stop(t.Context())
		for remote, want := range map[string]string{
			"203.0.113.9:5060":    "wan",
			"198.51.100.200:5060": "wan",
			"10.0.0.77:5060":      "lan",
			"10.0.1.77:5060":      "wan",
			"172.20.1.1:5060":     "lan",
			"[2001:db8::9]:5060":  "six",
			"[2001:db9::9]:5060":  "six",
		} {
			if o := <-b.connect(flow.UDP, remote); o.err != nil || o.f.Listener != want {
				t.Errorf("Connect(%s) chose %q, %v, want %q", remote, o.f.Listener, o.err, want)
			}
		}
		// And the datagram leaves from that listener's address.
		phone := b.phone("10.0.0.77")
		o := <-b.connect(flow.UDP, "10.0.0.77:5060")
		if err := b.Send(o.f, []byte("INVITE")); err != nil {
			t.Fatal(err)
		}
		if data, from := heard(t, phone); data != "INVITE" || from != "10.0.0.1:5060" {
			t.Errorf("heard %q from %s", data, from)
		}
	})
}
