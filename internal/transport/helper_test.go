package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reveille/flow"
	"reveille/internal/memnet"
)

// A recorder is a Handler that keeps what it is given. It reports through t
// every breach of Handler's promises.
type recorder struct {
	t *testing.T
	// receive, if set, runs in Receive after the message is noted.
	receive func(f flow.Flow, b []byte)

	mu       sync.Mutex
	messages []string
	flows    []flow.Flow // of each message
	closed   map[flow.Flow]error
	changed  chan struct{} // holds one token after each change
}

func newRecorder(t *testing.T) *recorder {
	return &recorder{t: t, closed: make(map[flow.Flow]error), changed: make(chan struct{}, 1)}
}

func (r *recorder) Receive(f flow.Flow, b []byte, _ time.Time) {
	r.mu.Lock()
	if err, ok := r.closed[f]; ok {
		r.t.Errorf("message on %v after it closed with %v", f, err)
	}
	r.messages = append(r.messages, string(b))
	r.flows = append(r.flows, f)
	receive := r.receive
	r.mu.Unlock()
	r.signal()
	if receive != nil {
		receive(f, b)
	}
}

func (r *recorder) FlowClosed(f flow.Flow, err error) {
	r.mu.Lock()
	if before, ok := r.closed[f]; ok {
		r.t.Errorf("%v closed twice: %v, %v", f, before, err)
	}
	if err == nil {
		r.t.Errorf("%v closed without a cause", f)
	}
	r.closed[f] = err
	r.mu.Unlock()
	r.signal()
}

func (r *recorder) signal() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// take returns the messages so far and forgets them.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.messages
	r.messages = nil
	return m
}

// last returns the flow of the newest message.
func (r *recorder) last() flow.Flow {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.flows) == 0 {
		r.t.Fatal("no message came")
	}
	return r.flows[len(r.flows)-1]
}

// cause returns why f closed, or nil if it did not.
func (r *recorder) cause(f flow.Flow) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed[f]
}

// until waits, in real time, until ok holds.
func (r *recorder) until(what string, ok func() bool) {
	r.t.Helper()
	timeout := time.NewTimer(10 * time.Second)
	defer timeout.Stop()
	for {
		r.mu.Lock()
		done := ok()
		r.mu.Unlock()
		if done {
			return
		}
		select {
		case <-r.changed:
		case <-timeout.C:
			r.t.Fatalf("%s did not happen", what)
		}
	}
}

// A bench is a Transport on a pretend host, with pretend peers.
type bench struct {
	*recorder
	*Transport
	net  *memnet.Network
	host *memnet.Host
}

const (
	server4 = "192.0.2.1"
	server6 = "2001:db8::1"
)

// inBubble runs test on a fresh bench inside a bubble. The options' network,
// handler and, if there are none, listeners are filled in. That the bubble
// ends proves that no goroutine is left after Stop.
func inBubble(t *testing.T, o Options, test func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { runBench(t, o, test) })
}

// runBench is inBubble for those who are in one.
func runBench(t *testing.T, o Options, test func(t *testing.T, b *bench)) {
	t.Helper()
	n := memnet.New(1)
	b := &bench{recorder: newRecorder(t), net: n, host: n.Host(server4, server6)}
	b.Transport = b.restart(o)
	defer func() {
		if err := b.Stop(context.Background()); err != nil {
			t.Errorf("Stop: %v", err)
		}
		synctest.Wait()
		if used := b.buffered.used.Load(); used != 0 {
			t.Errorf("%d bytes of the budget were not returned", used)
		}
	}()
	test(t, b)
}

// restart makes and starts another Transport on the bench's host.
func (b *bench) restart(o Options) *Transport {
	b.t.Helper()
	o.Network, o.Handler, o.Interfaces = b.host, b.recorder, b.host.Interfaces
	if o.Listeners == nil {
		o.Listeners = []ListenerOptions{
			{Name: "udp", Transport: flow.UDP, Addr: ":5060", Sockets: 2},
			{Name: "tcp", Transport: flow.TCP, Addr: ":5060"},
		}
	}
	tr, err := New(o)
	if err != nil {
		b.t.Fatal(err)
	}
	tr.Start()
	return tr
}

// phone returns a new peer's UDP socket.
func (b *bench) phone(addr string) *memnet.PacketConn {
	b.t.Helper()
	c, err := b.net.Host(addr).Packet("udp", ":5060", false)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	return c
}

// dial returns a connection from a peer's host to the bench.
func (b *bench) dial(from *memnet.Host) net.Conn {
	b.t.Helper()
	c, err := from.DialContext(b.t.Context(), "tcp", "", server4+":5060")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	return c
}

func mustWrite(t *testing.T, c io.Writer, s string) {
	t.Helper()
	if n, err := io.WriteString(c, s); err != nil || n != len(s) {
		t.Fatalf("Write = %d, %v", n, err)
	}
}

func sendTo(t *testing.T, c *memnet.PacketConn, to, s string) {
	t.Helper()
	if _, err := c.WriteToUDPAddrPort([]byte(s), netip.MustParseAddrPort(to)); err != nil {
		t.Fatal(err)
	}
}

// heard returns what has arrived at a peer's socket, and from where.
func heard(t *testing.T, c *memnet.PacketConn) (data, from string) {
	t.Helper()
	synctest.Wait()
	if err := c.SetReadDeadline(time.Now().Add(time.Nanosecond)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 65536)
	n, addr, err := c.ReadFromUDPAddrPort(buf)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "", ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n]), addr.String()
}

// readAvailable returns what has arrived on a peer's connection, and how the
// stream ended, nil if it did not.
func readAvailable(t *testing.T, c net.Conn) (string, error) {
	t.Helper()
	synctest.Wait()
	if err := c.SetReadDeadline(time.Now().Add(time.Nanosecond)); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	switch {
	case err == nil:
		err = io.EOF
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = nil
	}
	return string(b), err
}

// message returns a request for a stream, told from others by its number.
func message(number int, body string) string {
	return fmt.Sprintf("MESSAGE sip:bob@example.com SIP/2.0\r\n"+
		"Via: SIP/2.0/TCP 192.0.2.50:5060;branch=z9hG4bK%d;rport\r\n"+
		"From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\n"+
		"Call-ID: call-%d\r\nCSeq: %d MESSAGE\r\nMax-Forwards: 70\r\n"+
		"Content-Length: %d\r\n\r\n%s", number, number, number, len(body), body)
}

// withHeader returns message(1, "") with one header line replaced or, if to is
// empty, removed.
func withHeader(from, to string) string {
	if to != "" {
		to += "\r\n"
	}
	return strings.Replace(message(1, ""), from+"\r\n", to, 1)
}
