package transport

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/flow"
	"reveille/internal/memnet"
)

func TestUDP_ReplyLeavesFromTheSocketOfTheRequest_RFC3581_4(t *testing.T) {
	o := Options{Node: 7, Listeners: []ListenerOptions{
		{Name: "four", Transport: flow.UDP, Addr: server4 + ":5060", Sockets: 1},
		{Name: "six", Transport: flow.UDP, Addr: "[" + server6 + "]:5060", Sockets: 1},
		{Name: "both", Transport: flow.UDP, Addr: ":5070", Sockets: 3},
		{Name: "other", Transport: flow.UDP, Addr: "0.0.0.0:5080", Sockets: 2},
	}}
	for _, tc := range []struct{ listener, phone, to string }{
		{"four", "192.0.2.50", "192.0.2.1:5060"},
		{"six", "2001:db8::50", "[2001:db8::1]:5060"},
		{"both", "192.0.2.50", "192.0.2.1:5070"},
		{"both", "2001:db8::50", "[2001:db8::1]:5070"},
		{"other", "192.0.2.50", "192.0.2.1:5080"},
	} {
		t.Run(tc.listener+" "+tc.phone, func(t *testing.T) {
			inBubble(t, o, func(t *testing.T, b *bench) {
				phone := b.phone(tc.phone)
				sendTo(t, phone, tc.to, "OPTIONS")
				synctest.Wait()
				want := flow.Flow{Node: 7, Listener: tc.listener, Transport: flow.UDP, Remote: remoteOf(tc.phone)}
				if diff := cmp.Diff(want, b.last(), cmp.Comparer(func(a, b flow.Flow) bool { return a == b })); diff != "" {
					t.Fatal(diff)
				}
				if !b.Open(want) || !b.Alive(want, time.Now()) {
					t.Errorf("Open = %v, Alive = %v", b.Open(want), b.Alive(want, time.Now()))
				}
				if err := b.Send(want, []byte("200")); err != nil {
					t.Fatal(err)
				}
				if data, from := heard(t, phone); data != "200" || from != tc.to {
					t.Errorf("the phone heard %q from %s", data, from)
				}
			})
		})
	}
}

// remoteOf returns the address of a pretend phone's socket.
func remoteOf(addr string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(addr), 5060) }

func TestUDP_KeepAlivesGetNoAnswer_RFC5626_4_4_1(t *testing.T) {
	for name, keepAlive := range map[string]string{
		"double CRLF": "\r\n\r\n", "CRLF": "\r\n", "empty": "", "zeros": "\x00\x00\x00\x00", "STUN": "\x00\x01\x00\x00\x21\x12\xa4\x42",
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Options{}, func(t *testing.T, b *bench) {
				phone := b.phone("192.0.2.50")
				f := flow.Flow{Listener: "udp", Transport: flow.UDP, Remote: remoteOf("192.0.2.50")}
				if b.Alive(f, time.Now()) {
					t.Error("alive before the first datagram")
				}
				sendTo(t, phone, "192.0.2.1:5060", keepAlive)
				synctest.Wait()
				if got := b.take(); got != nil {
					t.Errorf("handed on: %q", got)
				}
				if data, _ := heard(t, phone); data != "" {
					t.Errorf("answered: %q", data)
				}
				if now := time.Now(); !b.Alive(f, now) || !b.Alive(f, now.Add(29*time.Second)) || b.Alive(f, now.Add(31*time.Second)) {
					t.Error("not alive for 30 s")
				}
			})
		})
	}
}

func TestUDP_FlowSurvivesRestart(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, b *bench) {
		phone := b.phone("192.0.2.50")
		sendTo(t, phone, "192.0.2.1:5060", "REGISTER")
		synctest.Wait()
		f := b.last()
		if err := b.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.Send(f, []byte("x")); !errors.Is(err, ErrFlowDead) {
			t.Errorf("Send after Stop = %v", err)
		}
		stored, _, err := flow.ParseBinary(f.AppendBinary(nil))
		if err != nil {
			t.Fatal(err)
		}
		b.Transport = b.restart(Options{})
		if err := b.Send(stored, []byte("INVITE")); err != nil {
			t.Fatal(err)
		}
		if data, from := heard(t, phone); data != "INVITE" || from != "192.0.2.1:5060" {
			t.Errorf("the phone heard %q from %s", data, from)
		}
	})
}

func TestUDP_SendErrors(t *testing.T) {
	inBubble(t, Options{Node: 1}, func(t *testing.T, b *bench) {
		good := flow.Flow{Node: 1, Listener: "udp", Transport: flow.UDP, Remote: remoteOf("192.0.2.50")}
		for _, tc := range []struct {
			name   string
			change func(*flow.Flow)
			size   int
			want   error
		}{
			{name: "longest", size: maxDatagram},
			{name: "too long", size: maxDatagram + 1, want: ErrTooLong},
			{name: "no flow", change: func(f *flow.Flow) { *f = flow.Flow{} }, want: ErrFlowDead},
			{name: "listener is gone", change: func(f *flow.Flow) { f.Listener = "old" }, want: ErrFlowDead},
			{name: "listener of another transport", change: func(f *flow.Flow) { f.Listener = "tcp" }, want: ErrFlowDead},
			{name: "another node", change: func(f *flow.Flow) { f.Node = 2 }, want: ErrFlowDead},
		} {
			f := good
			if tc.change != nil {
				tc.change(&f)
			}
			if err := b.Send(f, make([]byte, tc.size)); !errors.Is(err, tc.want) {
				t.Errorf("%s: Send = %v, want %v", tc.name, err, tc.want)
			}
			if open := b.Open(f); open != !errors.Is(tc.want, ErrFlowDead) {
				t.Errorf("%s: Open = %v", tc.name, open)
			}
		}
	})
}

func TestUDP_LongDatagramIsDropped(t *testing.T) {
	inBubble(t, Options{MaxMessage: 1000}, func(t *testing.T, b *bench) {
		phone := b.phone("192.0.2.50")
		for _, size := range []int{1000, 1001, 60_000} {
			sendTo(t, phone, "192.0.2.1:5060", strings.Repeat("x", size))
		}
		synctest.Wait()
		if got := b.take(); len(got) != 1 || len(got[0]) != 1000 {
			t.Errorf("%d messages handed on", len(got))
		}
	})
}

func TestUDP_ReadErrorsDoNotEndTheListener(t *testing.T) {
	inBubble(t, Options{Listeners: []ListenerOptions{{Name: "udp", Transport: flow.UDP, Addr: ":5060", Sockets: 1}}}, func(t *testing.T, b *bench) {
		phone := b.phone("192.0.2.50")
		socket := b.listeners()[0].sockets[0].conn.(*memnet.PacketConn)
		for i := range 20 {
			socket.Fail(syscall.ENOBUFS)
			start := time.Now()
			sendTo(t, phone, "192.0.2.1:5060", fmt.Sprint(i))
			time.Sleep(2 * time.Second)
			if got := b.take(); len(got) != 1 || got[0] != fmt.Sprint(i) {
				t.Fatalf("after failure %d, %v: %q", i, time.Since(start), got)
			}
		}
	})
}

func TestUDP_OrderOfOnePeerIsKept(t *testing.T) {
	inBubble(t, Options{Listeners: []ListenerOptions{{Name: "udp", Transport: flow.UDP, Addr: ":5060", Sockets: 4}}}, func(t *testing.T, b *bench) {
		phones := []*memnet.PacketConn{b.phone("192.0.2.50"), b.phone("192.0.2.51"), b.phone("192.0.2.52"), b.phone("2001:db8::50")}
		for i := range 100 {
			for p, phone := range phones {
				to := "192.0.2.1:5060"
				if p == 3 {
					to = "[2001:db8::1]:5060"
				}
				sendTo(t, phone, to, fmt.Sprintf("%d %d", p, i))
			}
		}
		synctest.Wait()
		next := [4]int{}
		for _, m := range b.take() {
			var p, i int
			if _, err := fmt.Sscan(m, &p, &i); err != nil {
				t.Fatal(err)
			}
			if i != next[p] {
				t.Fatalf("phone %d: message %d came when %d was next", p, i, next[p])
			}
			next[p]++
		}
		if next != [4]int{100, 100, 100, 100} {
			t.Errorf("received %v", next)
		}
	})
}

func TestUDP_AnyPacketConnServes(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, b *bench) {
		inner, err := b.host.Packet("udp4", server4+":7000", false)
		if err != nil {
			t.Fatal(err)
		}
		l := b.listeners()[0]
		s, err := newUDPSocket(l, struct{ net.PacketConn }{inner}, 1)
		if err != nil {
			t.Fatal(err)
		}
		phone := b.phone("192.0.2.50")
		sendTo(t, phone, "192.0.2.1:7000", "OPTIONS")
		buf := make([]byte, 100)
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if err != nil || string(buf[:n]) != "OPTIONS" || from.String() != "192.0.2.50:5060" {
			t.Errorf("read %q from %v, %v", buf[:n], from, err)
		}
		if _, err := s.conn.WriteToUDPAddrPort([]byte("200"), from); err != nil {
			t.Fatal(err)
		}
		if data, from := heard(t, phone); data != "200" || from != "192.0.2.1:7000" {
			t.Errorf("heard %q from %s", data, from)
		}
		s.conn.Close()
		if _, _, err := s.conn.ReadFromUDPAddrPort(buf); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read after close: %v", err)
		}
	})
}

func TestUDP_PhoneBehindNAT(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, b *bench) {
		b.net.SetLink(memnet.Link{Delay: 20 * time.Millisecond})
		nat := b.net.NAT("198.51.100.1", 30*time.Second)
		phone, err := nat.Host("10.0.0.2").Packet("udp4", ":5060", false)
		if err != nil {
			t.Fatal(err)
		}
		defer phone.Close()
		sendTo(t, phone, "192.0.2.1:5060", "REGISTER")
		time.Sleep(time.Second)
		f := b.last()
		if f.Remote.Addr().String() != "198.51.100.1" {
			t.Fatalf("flow %v", f)
		}
		for range 10 { // The phone's keep-alives hold the mapping and the flow.
			time.Sleep(25 * time.Second)
			sendTo(t, phone, "192.0.2.1:5060", "\r\n\r\n")
		}
		time.Sleep(time.Second)
		if !b.Alive(f, time.Now()) {
			t.Error("the flow is kept but not alive")
		}
		if err := b.Send(f, []byte("INVITE")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if data, _ := heard(t, phone); data != "INVITE" {
			t.Errorf("heard %q", data)
		}
		time.Sleep(time.Minute)
		if b.Alive(f, time.Now()) {
			t.Error("the flow is alive without keep-alives")
		}
	})
}

func TestUDP_SourcePortZeroIsDropped(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, b *bench) {
		newDatagramReader(b.listeners()[0].sockets[0]).receive([]datagram{{data: []byte("OPTIONS"), peer: netip.MustParseAddrPort("192.0.2.50:0")}})
		if got := b.take(); got != nil {
			t.Errorf("handed on: %q", got)
		}
	})
}

// TestWaited: a clock that was set tells nothing.
func TestWaited(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		name  string
		stamp int64
		want  time.Duration
	}{
		{"unknown", 0, 0},
		{"just now", now.UnixNano(), 0},
		{"a while ago", now.Add(-150 * time.Millisecond).UnixNano(), 150 * time.Millisecond},
		{"a minute ago", now.Add(-time.Minute).UnixNano(), time.Minute},
		{"the clock was set forward", now.Add(-time.Minute - 1).UnixNano(), 0},
		{"the clock was set back", now.Add(1).UnixNano(), 0},
	} {
		if got := waited(now.UnixNano(), tt.stamp); got != tt.want {
			t.Errorf("%s: waited %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestDirect_SendersTogether: datagrams that many send at a time arrive whole, also at
// an address of IPv4 in the form of IPv6, and cost no allocation.
func TestDirect_SendersTogether(t *testing.T) {
	_, l := unstarted(t, Options{Handler: ignore{}}, func(*Transport) {})
	p := newPen(t, "127.0.0.1")
	mapped := netip.AddrPortFrom(netip.AddrFrom16(p.addr().Addr().As16()), p.addr().Port())
	want := numbered("message", 100)
	var senders sync.WaitGroup
	for i, m := range want {
		senders.Go(func() {
			to := p.addr()
			if i%2 == 0 {
				to = mapped
			}
			if err := l.sendDatagram(to, []byte(m)); err != nil {
				t.Error(err)
			}
		})
	}
	senders.Wait()
	got := p.read(len(want))
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	b := []byte("message")
	if n := testing.AllocsPerRun(100, func() {
		if err := l.sendDatagram(p.addr(), b); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a datagram", n)
	}
}
