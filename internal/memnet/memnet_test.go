package memnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func packet(t *testing.T, h *Host, addr string) *PacketConn {
	t.Helper()
	c, err := h.Packet("udp", addr, false)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// drain returns all datagrams that have arrived at c.
func drain(t *testing.T, c *PacketConn) []string {
	t.Helper()
	var got []string
	if err := c.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	c.h.n.mu.Lock()
	defer c.h.n.mu.Unlock()
	for _, d := range c.inbox {
		got = append(got, string(d.data))
	}
	c.inbox = nil
	return got
}

func send(t *testing.T, from *PacketConn, to string, data string) {
	t.Helper()
	if n, err := from.WriteToUDPAddrPort([]byte(data), netip.MustParseAddrPort(to)); err != nil || n != len(data) {
		t.Fatalf("WriteTo(%s) = %d, %v", to, n, err)
	}
}

func TestPacket_ArrivesAfterDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		n.SetLink(Link{Delay: 30 * time.Millisecond})
		a, b := packet(t, n.Host("192.0.2.1"), ":5060"), packet(t, n.Host("192.0.2.2"), "192.0.2.2:5060")
		start := time.Now()
		send(t, a, "192.0.2.2:5060", "hello")
		buf := make([]byte, 3)
		got, from, err := b.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d != 30*time.Millisecond {
			t.Errorf("took %v", d)
		}
		if string(buf[:got]) != "hel" || from.String() != "192.0.2.1:5060" {
			t.Errorf("ReadFrom = %q from %v", buf[:got], from)
		}
	})
}

func TestPacket_IPv6AndFamilies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		server := n.Host("192.0.2.1", "2001:db8::1")
		both := packet(t, server, ":5060")
		c := packet(t, n.Host("192.0.2.9", "2001:db8::9"), ":1000")
		send(t, c, "192.0.2.1:5060", "four")
		send(t, c, "[2001:db8::1]:5060", "six")
		if diff := cmp.Diff([]string{"four", "six"}, drain(t, both)); diff != "" {
			t.Error(diff)
		}
		four, err := server.Packet("udp4", "0.0.0.0:5070", false)
		if err != nil {
			t.Fatal(err)
		}
		send(t, c, "[2001:db8::1]:5070", "six")
		send(t, c, "192.0.2.1:5070", "four")
		if diff := cmp.Diff([]string{"four"}, drain(t, four)); diff != "" {
			t.Error(diff)
		}
		only4 := packet(t, n.Host("192.0.2.10"), ":1000")
		if _, err := only4.WriteToUDPAddrPort(nil, netip.MustParseAddrPort("[2001:db8::1]:5060")); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("IPv6 from an IPv4 host: %v", err)
		}
	})
}

func TestPacket_LossDuplicateReorder(t *testing.T) {
	run := func(t *testing.T, seed uint64, l Link) (got []string, stats Stats) {
		synctest.Test(t, func(t *testing.T) {
			n := New(seed)
			n.SetLink(l)
			a, b := packet(t, n.Host("192.0.2.1"), ":1"), packet(t, n.Host("192.0.2.2"), ":1")
			for i := range 1000 {
				send(t, a, "192.0.2.2:1", fmt.Sprintf("%04d", i))
				time.Sleep(time.Millisecond)
			}
			time.Sleep(time.Second)
			got, stats = drain(t, b), n.Stats()
		})
		return got, stats
	}
	t.Run("loss", func(t *testing.T) {
		got, stats := run(t, 1, Link{Loss: 0.1})
		if len(got) < 850 || len(got) > 950 || stats.Lost+len(got) != 1000 {
			t.Errorf("%d of 1000 arrived, %+v", len(got), stats)
		}
		again, _ := run(t, 1, Link{Loss: 0.1})
		if !slices.Equal(got, again) {
			t.Error("the same seed lost other datagrams")
		}
		if other, _ := run(t, 2, Link{Loss: 0.1}); slices.Equal(got, other) {
			t.Error("another seed lost the same datagrams")
		}
	})
	t.Run("duplicate", func(t *testing.T) {
		got, _ := run(t, 1, Link{Duplicate: 0.1})
		twice := len(got) - len(slices.Compact(slices.Clone(got)))
		if len(got) != 1000+twice && len(got) != inboxLen || twice < 20 {
			t.Errorf("%d arrived, %d of them twice", len(got), twice)
		}
	})
	t.Run("reorder", func(t *testing.T) {
		got, _ := run(t, 1, Link{Reorder: 0.1, ReorderBy: 5 * time.Millisecond})
		if slices.IsSorted(got) || len(got) != 1000 {
			t.Errorf("%d arrived, sorted: %v", len(got), slices.IsSorted(got))
		}
	})
	t.Run("jitter", func(t *testing.T) {
		if got, _ := run(t, 1, Link{Delay: time.Millisecond, Jitter: 10 * time.Millisecond}); slices.IsSorted(got) {
			t.Error("jitter kept the order")
		}
	})
	t.Run("ideal", func(t *testing.T) {
		got, stats := run(t, 1, Link{})
		if !slices.IsSorted(got) || len(got) != 1000 {
			t.Errorf("%d arrived", len(got))
		}
		if diff := cmp.Diff(Stats{Sent: 1000, Delivered: 1000}, stats); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPacket_InboxIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		a, b := packet(t, n.Host("192.0.2.1"), ":1"), packet(t, n.Host("192.0.2.2"), ":1")
		for range inboxLen + 5 {
			send(t, a, "192.0.2.2:1", "x")
		}
		if got := len(drain(t, b)); got != inboxLen || n.Stats().Overflow != 5 {
			t.Errorf("%d in the inbox, %+v", got, n.Stats())
		}
	})
}

func TestPacket_SharedAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		server := n.Host("192.0.2.1")
		var group []*PacketConn
		for range 3 {
			c, err := server.Packet("udp4", "192.0.2.1:5060", true)
			if err != nil {
				t.Fatal(err)
			}
			group = append(group, c)
		}
		if _, err := server.Packet("udp4", "192.0.2.1:5060", false); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("exclusive bind beside shared ones: %v", err)
		}
		peer := n.Host("192.0.2.9")
		for range 30 {
			c := packet(t, peer, ":0")
			for range 3 {
				send(t, c, "192.0.2.1:5060", c.AddrPort().String())
			}
		}
		owner := map[string]int{}
		for i, c := range group {
			got := drain(t, c)
			if len(got) == 0 {
				t.Errorf("socket %d got nothing", i)
			}
			for _, from := range got {
				if before, ok := owner[from]; ok && before != i {
					t.Errorf("datagrams of %s went to sockets %d and %d", from, before, i)
				}
				owner[from] = i
			}
		}
		if len(owner) != 30 {
			t.Errorf("%d of 30 peers heard", len(owner))
		}
	})
}

func TestPacket_DeadlineAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := packet(t, New(1).Host("192.0.2.1"), ":1")
		if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, _, err := c.ReadFrom(nil)
		var timeout net.Error
		if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(start) != time.Second {
			t.Errorf("ReadFrom = %v after %v", err, time.Since(start))
		}
		if err := c.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		oops := errors.New("oops")
		c.Fail(oops)
		if _, _, err := c.ReadFrom(nil); !errors.Is(err, oops) {
			t.Errorf("ReadFrom after Fail = %v", err)
		}
		time.AfterFunc(time.Hour, func() { c.Close() })
		if _, _, err := c.ReadFrom(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("ReadFrom across Close = %v", err)
		}
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second Close = %v", err)
		}
		if _, err := c.WriteTo(nil, net.UDPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:1"))); !errors.Is(err, net.ErrClosed) {
			t.Errorf("WriteTo after Close = %v", err)
		}
		if got, err := c.h.Packet("udp", ":1", false); err != nil {
			t.Errorf("the port is not free again: %v, %v", got, err)
		}
	})
}

func TestHost_DownLosesDatagrams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		host := n.Host("192.0.2.2")
		a, b := packet(t, n.Host("192.0.2.1"), ":1"), packet(t, host, ":1")
		host.SetDown(true)
		send(t, a, "192.0.2.2:1", "lost")
		send(t, b, "192.0.2.1:1", "lost too")
		host.SetDown(false)
		send(t, a, "192.0.2.2:1", "heard")
		if diff := cmp.Diff([]string{"heard"}, drain(t, b)); diff != "" {
			t.Error(diff)
		}
		if got := drain(t, a); got != nil {
			t.Errorf("a host that is down was heard: %q", got)
		}
	})
}

func TestHost_BindErrors(t *testing.T) {
	h := New(1).Host("192.0.2.1")
	packet(t, h, "192.0.2.1:7")
	for addr, want := range map[string]error{
		"192.0.2.2:1": syscall.EADDRNOTAVAIL,
		"192.0.2.1:7": syscall.EADDRINUSE,
		"192.0.2.1":   nil,
		"name:1":      nil,
		":x":          nil,
	} {
		_, err := h.ListenPacket(context.Background(), "udp4", addr, false)
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("ListenPacket(%s) = %v, want %v", addr, err, want)
		}
	}
	got, _ := New(1).Host("192.0.2.1", "2001:db8::1").Interfaces()
	if s := fmt.Sprint(got); s != "[192.0.2.1/24 2001:db8::1/64]" {
		t.Errorf("Interfaces = %s", s)
	}
}

func TestNAT_MapsFiltersAndForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		nat := n.NAT("198.51.100.1", 30*time.Second)
		server := packet(t, n.Host("192.0.2.1"), ":5060")
		stranger := packet(t, n.Host("203.0.113.1"), ":5060")
		phone := packet(t, nat.Host("10.0.0.2"), ":5060")
		read := func() string {
			t.Helper()
			if err := server.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 100)
			_, from, err := server.ReadFromUDPAddrPort(buf)
			if err != nil {
				t.Fatal(err)
			}
			return from.String()
		}
		send(t, phone, "192.0.2.1:5060", "register")
		seen := read()
		if !strings.HasPrefix(seen, "198.51.100.1:") || seen == "198.51.100.1:5060" {
			t.Fatalf("the server saw %s", seen)
		}
		send(t, server, seen, "answer")
		send(t, stranger, seen, "intrusion")
		if diff := cmp.Diff([]string{"answer"}, drain(t, phone)); diff != "" {
			t.Error(diff)
		}
		time.Sleep(29 * time.Second)
		send(t, server, seen, "still there?") // Does not keep the mapping.
		time.Sleep(time.Second)
		send(t, server, seen, "gone")
		if diff := cmp.Diff([]string{"still there?"}, drain(t, phone)); diff != "" {
			t.Error(diff)
		}
		send(t, phone, "192.0.2.1:5060", "register")
		second := read()
		if second == seen {
			t.Error("the forgotten mapping came back")
		}
		send(t, server, seen, "old mapping")
		send(t, server, second, "new mapping")
		if diff := cmp.Diff([]string{"new mapping"}, drain(t, phone)); diff != "" {
			t.Error(diff)
		}
		nat.Forget()
		send(t, server, second, "after restart")
		if got := drain(t, phone); got != nil {
			t.Errorf("a restarted NAT let in %q", got)
		}
	})
}

func TestNAT_HostsBehindItReachEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nat := New(1).NAT("198.51.100.1", 0)
		a, b := packet(t, nat.Host("10.0.0.2"), ":1"), packet(t, nat.Host("10.0.0.3"), ":1")
		send(t, a, "10.0.0.3:1", "hello")
		buf := make([]byte, 10)
		if _, from, err := b.ReadFromUDPAddrPort(buf); err != nil || from.String() != "10.0.0.2:1" {
			t.Errorf("heard from %v, %v", from, err)
		}
	})
}

// pair returns both ends of a connection to port 5060 of server.
func pair(t *testing.T, client, server *Host, addr string) (near, far *Conn) {
	t.Helper()
	l, err := server.Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := client.DialContext(t.Context(), "tcp", "", addr)
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c.(*Conn), s.(*Conn)
}

func TestConn_BytesInOrderWithDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(7)
		n.SetLink(Link{Delay: 10 * time.Millisecond, Jitter: 50 * time.Millisecond, Loss: 0.9})
		near, far := pair(t, n.Host("2001:db8::1"), n.Host("2001:db8::2"), "[2001:db8::2]:5060")
		var want strings.Builder
		go func() {
			for i := range 20_000 {
				fmt.Fprintf(near, "%d,", i)
			}
			near.Close()
		}()
		for i := range 20_000 {
			fmt.Fprintf(&want, "%d,", i)
		}
		got, err := io.ReadAll(far)
		if err != nil || string(got) != want.String() {
			t.Errorf("read %d bytes of %d, %v", len(got), want.Len(), err)
		}
		if far.RemoteAddr().String() != near.LocalAddr().String() {
			t.Errorf("remote address %v, want %v", far.RemoteAddr(), near.LocalAddr())
		}
		far.Close()
	})
}

func TestConn_WriteWaitsForReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		near, far := pair(t, n.Host("192.0.2.1"), n.Host("192.0.2.2"), "192.0.2.2:1")
		if err := near.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		wrote, err := near.Write(make([]byte, window+1))
		if wrote != window || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write = %d, %v, want %d and a time-out", wrote, err, window)
		}
		if got, err := io.ReadFull(far, make([]byte, window)); got != window || err != nil {
			t.Errorf("read %d, %v", got, err)
		}
		if err := near.SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		if _, err := near.Write([]byte("more")); err != nil {
			t.Errorf("Write to an empty window: %v", err)
		}
	})
}

func TestConn_CloseAndReset(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(near, far *Conn, client *Host)
		want error
		data string // what the far end reads before the error
	}{
		{name: "close", end: func(near, _ *Conn, _ *Host) { near.Close() }, want: io.EOF, data: "last words"},
		{name: "close write", end: func(near, _ *Conn, _ *Host) { near.CloseWrite() }, want: io.EOF, data: "last words"},
		{name: "close with unread bytes", end: func(near, far *Conn, _ *Host) {
			far.Write([]byte("unread"))
			near.Close()
		}, want: syscall.ECONNRESET},
		{name: "reset", end: func(_, _ *Conn, client *Host) { client.Reset() }, want: syscall.ECONNRESET},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := New(1)
				client := n.Host("192.0.2.1")
				near, far := pair(t, client, n.Host("192.0.2.2"), "192.0.2.2:1")
				if _, err := near.Write([]byte("last words")); err != nil {
					t.Fatal(err)
				}
				tc.end(near, far, client)
				buf := make([]byte, 100)
				var got string
				var err error
				for err == nil {
					var k int
					k, err = far.Read(buf)
					got += string(buf[:k])
				}
				if !errors.Is(err, tc.want) || got != tc.data {
					t.Errorf("read %q, %v, want %q, %v", got, err, tc.data, tc.want)
				}
			})
		})
	}
}

func TestConn_WriteToClosedPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		near, far := pair(t, n.Host("192.0.2.1"), n.Host("192.0.2.2"), "192.0.2.2:1")
		far.Close()
		if _, err := near.Write([]byte("into the void")); err != nil {
			t.Errorf("first Write = %v, the reset comes after it", err)
		}
		if _, err := near.Write([]byte("again")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("second Write = %v", err)
		}
	})
}

func TestConn_HostDownHangsThenGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		phone := n.Host("192.0.2.1")
		near, far := pair(t, phone, n.Host("192.0.2.2"), "192.0.2.2:1")
		phone.SetDown(true)
		for _, s := range []string{"a", "b", "c"} {
			if _, err := far.Write([]byte(s)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(700 * time.Millisecond)
		}
		if err := near.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read while down = %v", err)
		}
		phone.SetDown(false)
		if _, err := far.Write([]byte("d")); err != nil {
			t.Fatal(err)
		}
		if err := near.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 4)
		if _, err := io.ReadFull(near, got); err != nil || string(got) != "abcd" {
			t.Errorf("read %q, %v", got, err)
		}
		near.Close()
		far.Close()
	})
}

func TestConn_NATForgetsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		nat := n.NAT("198.51.100.1", time.Minute)
		near, far := pair(t, nat.Host("10.0.0.2"), n.Host("192.0.2.2"), "192.0.2.2:1")
		if got := far.RemoteAddr().String(); !strings.HasPrefix(got, "198.51.100.1:") {
			t.Errorf("the server saw %s", got)
		}
		time.Sleep(59 * time.Second)
		near.Write([]byte("ping"))
		time.Sleep(59 * time.Second)
		far.Write([]byte("pong"))
		if _, err := io.ReadFull(near, make([]byte, 4)); err != nil {
			t.Fatalf("traffic did not keep the mapping: %v", err)
		}
		time.Sleep(time.Minute)
		far.Write([]byte("call"))
		if err := near.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if _, err := near.Read(make([]byte, 4)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read through a forgotten mapping = %v", err)
		}
	})
}

func TestDial_Failures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		n.SetLink(Link{Delay: 10 * time.Millisecond})
		client, server := n.Host("192.0.2.1"), n.Host("192.0.2.2")
		start := time.Now()
		_, err := client.DialContext(t.Context(), "tcp", "", "192.0.2.2:1")
		if !errors.Is(err, syscall.ECONNREFUSED) || time.Since(start) != 20*time.Millisecond {
			t.Errorf("no listener: %v after %v", err, time.Since(start))
		}
		for name, addr := range map[string]string{"down": "192.0.2.2:1", "no host": "192.0.2.77:1"} {
			server.SetDown(true)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			start = time.Now()
			_, err = client.DialContext(ctx, "tcp", "", addr)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 5*time.Second {
				t.Errorf("%s: %v after %v", name, err, time.Since(start))
			}
		}
		for name, tc := range map[string]struct {
			laddr, addr string
			want        error
		}{
			"foreign source": {"192.0.2.9:0", "192.0.2.2:1", syscall.EADDRNOTAVAIL},
			"other family":   {"", "[2001:db8::1]:1", syscall.ENETUNREACH},
			"mixed families": {"192.0.2.1:0", "[2001:db8::1]:1", syscall.EAFNOSUPPORT},
		} {
			if _, err := client.DialContext(t.Context(), "tcp", tc.laddr, tc.addr); !errors.Is(err, tc.want) {
				t.Errorf("%s: %v, want %v", name, err, tc.want)
			}
		}
		if len(client.conns) != 0 {
			t.Errorf("%d connections left over", len(client.conns))
		}
	})
}

func TestListener_CloseAndBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		client, server := n.Host("192.0.2.1"), n.Host("192.0.2.2")
		l, err := server.Listen(t.Context(), "tcp4", ":0")
		if err != nil {
			t.Fatal(err)
		}
		to := netip.AddrPortFrom(netip.MustParseAddr("192.0.2.2"), l.Addr().(*net.TCPAddr).AddrPort().Port()).String()
		var conns []net.Conn
		for range backlogLen {
			c, err := client.DialContext(t.Context(), "tcp", "192.0.2.1:0", to)
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
		}
		if _, err := client.DialContext(t.Context(), "tcp", "", to); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial to a full backlog: %v", err)
		}
		oops := errors.New("oops")
		l.(*Listener).Fail(oops)
		if _, err := l.Accept(); !errors.Is(err, oops) {
			t.Errorf("Accept after Fail = %v", err)
		}
		if _, err := l.Accept(); err != nil {
			t.Errorf("Accept = %v", err)
		}
		l.Close()
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept after Close = %v", err)
		}
		if _, err := conns[1].Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("a connection that was never accepted: %v", err)
		}
		if l, err := server.Listen(t.Context(), "tcp4", to); err != nil {
			t.Errorf("the port is not free again: %v, %v", l, err)
		}
	})
}
