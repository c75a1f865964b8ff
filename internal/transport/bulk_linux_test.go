package transport

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"reveille/flow"
)

// A reply is an Answerer that looks at the whole message and gives an answer of
// a refresh's size.
type reply struct {
	ignore
	answer []byte
}

func (r reply) Answer(_ flow.Flow, b, out []byte) ([]byte, bool) {
	if bytes.IndexByte(b, 0) >= 0 {
		return out, false
	}
	return append(out, r.answer...), true
}

// The reader's own processor time for a datagram in and its answer out, system
// calls included, when so many wait. The peer's is not in it.
func BenchmarkUDP_Answer(b *testing.B) {
	for _, one := range []bool{true, false} {
		name := map[bool]string{true: "one by one", false: "batched"}[one]
		b.Run(name, func(b *testing.B) {
			o := Options{Handler: ignore{}, Answerer: reply{answer: []byte(strings.Repeat("a", 600))}, Listeners: []ListenerOptions{
				{Name: "udp", Transport: flow.UDP, Addr: "127.0.0.1:0", Sockets: 1},
			}}
			tr, err := New(o) // Not started: the benchmark is the reader.
			if err != nil {
				b.Fatal(err)
			}
			defer tr.Stop(b.Context())
			s := tr.listeners()[0].sockets[0]
			if one {
				s.bulk = single{s.conn}
			}
			r := newDatagramReader(s)
			conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			peer, err := newBulk(conn)
			if err != nil {
				b.Fatal(err)
			}
			requests, answers := make([]datagram, batchLen), make([]datagram, batchLen)
			for i := range requests {
				requests[i] = datagram{data: []byte(strings.Repeat("r", 900)), peer: tr.listeners()[0].Addr}
				answers[i].data = make([]byte, 2000)
			}
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			var spent time.Duration
			messages := 0
			b.ReportAllocs()
			for b.Loop() {
				if n, err := peer.send(requests); n != len(requests) {
					b.Fatal(n, err)
				}
				start := threadTime(b)
				for done := 0; done < len(requests); {
					n, err := r.bulk.receive(r.in)
					if err != nil {
						b.Fatal(err)
					}
					r.receive(r.in[:n])
					done += n
				}
				spent += threadTime(b) - start
				messages += len(requests)
				for done := 0; done < len(requests); {
					n, err := peer.receive(answers)
					if err != nil {
						b.Fatal(err)
					}
					done += n
				}
			}
			b.ReportMetric(float64(spent)/float64(messages), "cpu-ns/message")
		})
	}
}

// threadTime returns the processor time of this thread.
func threadTime(tb testing.TB) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// TestMmsg_Names: addresses go into the kernel's form and back.
func TestMmsg_Names(t *testing.T) {
	for _, tc := range []struct {
		addr string
		v6   bool // of the socket
		want string
		size uint32
	}{
		{"192.0.2.1:5060", false, "192.0.2.1:5060", unix.SizeofSockaddrInet4},
		{"192.0.2.1:5060", true, "192.0.2.1:5060", unix.SizeofSockaddrInet6}, // mapped
		{"[::ffff:192.0.2.1]:80", true, "192.0.2.1:80", unix.SizeofSockaddrInet6},
		{"[2001:db8::1]:65535", true, "[2001:db8::1]:65535", unix.SizeofSockaddrInet6},
		{"[2001:db8::1]:1", false, "[2001:db8::1]:1", unix.SizeofSockaddrInet6}, // The kernel refuses it.
		{"[fe80::1%2]:5060", true, "[fe80::1%2]:5060", unix.SizeofSockaddrInet6},
		{"[fe80::1%lo]:5060", true, "[fe80::1%1]:5060", unix.SizeofSockaddrInet6},
		{"[fe80::1%gone]:5060", true, "[fe80::1]:5060", unix.SizeofSockaddrInet6},
	} {
		// What an earlier, longer address left there must not shine through.
		name := sockaddr{Family: unix.AF_INET6, Scope_id: 99, Flowinfo: 99, Addr: [16]byte{15: 99}}
		if size := setName(&name, netip.MustParseAddrPort(tc.addr), tc.v6); size != tc.size {
			t.Errorf("%s: %d bytes, want %d", tc.addr, size, tc.size)
		}
		if got := peerOf(&name); got.String() != tc.want {
			t.Errorf("%s came back as %v, want %s", tc.addr, got, tc.want)
		}
	}
	var name sockaddr
	if size := setName(&name, netip.AddrPort{}, true); size != 0 {
		t.Errorf("no address has %d bytes", size)
	}
	if got := peerOf(&name); got.IsValid() {
		t.Errorf("an unknown family gave %v", got)
	}
}

// TestMmsg_AllocatesNothing: not for a batch, and not for a datagram in it, on
// the way of a refresh or of a posted answer.
func TestMmsg_AllocatesNothing(t *testing.T) {
	tr, l := unstarted(t, Options{Handler: ignore{}, Answerer: reply{answer: []byte("200")}}, func(*Transport) {})
	tr.Start()
	p := newPen(t, "127.0.0.1")
	peer, err := newBulk(p.UDPConn)
	if err != nil {
		t.Fatal(err)
	}
	f := l.flow(p.addr())
	requests, answers := make([]datagram, batchLen), make([]datagram, batchLen)
	for i := range requests {
		requests[i] = datagram{data: []byte("REGISTER"), peer: l.Addr}
		answers[i].data = make([]byte, 100)
	}
	posted := []byte("posted")
	if n := testing.AllocsPerRun(100, func() {
		if _, err := peer.send(requests); err != nil {
			t.Error(err)
		}
		for range batchLen {
			if err := tr.Post(f, posted); err != nil {
				t.Error(err)
			}
		}
		for done := 0; done < 2*batchLen; {
			n, err := peer.receive(answers)
			if err != nil {
				t.Error(err)
				return
			}
			done += n
		}
	}); n != 0 {
		t.Errorf("%v allocations for %d datagrams in, and as many answers and posts", n, batchLen)
	}
}

// TestMmsg_WaitsForRoom: a batch that does not fit the buffer at once is sent in
// parts, and nothing of it is lost. UDP on loopback never shows a full buffer; a
// pair of local sockets does after a few datagrams.
func TestMmsg_WaitsForRoom(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 1); err != nil { // The system's least.
		t.Fatal(err)
	}
	var ends [2]*mmsg
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		defer f.Close()
		raw, err := f.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if ends[i], err = newMmsg(raw); err != nil {
			t.Fatal(err)
		}
	}
	_, l := unstarted(t, Options{Handler: ignore{}}, func(*Transport) {})
	var out []datagram // A socket of a pair needs no address.
	want := numbered("x", 10*batchLen)
	for _, s := range want {
		out = append(out, datagram{data: []byte(s)})
	}
	if n, err := ends[0].send(out); n == 0 || n >= batchLen || err != nil {
		t.Fatalf("send = %d, %v, want a part of the batch", n, err)
	} else {
		out = out[n:]
	}
	var wg sync.WaitGroup
	wg.Go(func() { l.sendAll(ends[0], out) })
	in := make([]datagram, batchLen)
	for i := range in {
		in[i].data = make([]byte, 100)
	}
	var got []string
	for len(got) < len(want) {
		n, err := ends[1].receive(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range in[:n] {
			got = append(got, string(d.data))
		}
	}
	wg.Wait()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDefaultSockets_OneForEachProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for n := 1; n <= 3; n++ {
		runtime.GOMAXPROCS(n)
		o := Options{Listeners: []ListenerOptions{{Name: "udp", Transport: flow.UDP, Addr: "127.0.0.1:0"}}}
		if got := o.withDefaults().Listeners[0].Sockets; got != n {
			t.Errorf("%d sockets for %d processors", got, n)
		}
	}
}

// TestMmsg_Note: the kernel says when a datagram came, and the reader's handler hears
// of losses when a buffer overflows.
func TestMmsg_Note(t *testing.T) {
	told := 0
	_, l := unstarted(t, Options{Handler: ignore{}, Lost: func() { told++ }, Listeners: []ListenerOptions{
		{Name: "udp", Transport: flow.UDP, Addr: "127.0.0.1:0", Sockets: 1, ReadBuffer: 4096},
	}}, func(*Transport) {})
	p := newPen(t, "127.0.0.1")
	before := time.Now()
	p.write(l.Addr, numbered(strings.Repeat("x", 1000), 100)...)
	r := newDatagramReader(l.sockets[0])
	read := func() datagram {
		n, err := r.bulk.receive(r.in)
		if err != nil {
			t.Fatal(err)
		}
		r.receive(r.in[:n])
		return r.in[0]
	}
	// A kernel that has just begun to note times takes that of the first read.
	d := read()
	if after := time.Now(); d.stamp < before.UnixNano() || d.stamp > after.UnixNano() {
		t.Errorf("came at %d, want between %d and %d", d.stamp, before.UnixNano(), after.UnixNano())
	}
	p.write(l.Addr, "one more", "and one")
	for range 2 {
		if d := read(); d.lost != 0 {
			if told != 1 {
				t.Errorf("told %d times, want once", told)
			}
			return
		}
	}
	t.Error("nothing was lost of 100 datagrams in a buffer for a few")
}
