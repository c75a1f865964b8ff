package admin

import (
	"errors"
	"net"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A queue is a listener whose connections come from a test.
type queue struct {
	net.Listener
	conns chan net.Conn
}

func (q *queue) Accept() (net.Conn, error) {
	c, ok := <-q.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

// A remote is a connection of an address.
type remote struct {
	net.Conn
	addr   string
	closed bool
}

func (r *remote) RemoteAddr() net.Addr {
	a, err := net.ResolveTCPAddr("tcp", r.addr)
	if err != nil {
		panic(err)
	}
	return a
}

func (r *remote) Close() error {
	r.closed = true
	return nil
}

func TestBounded_ConnectionsOfAllAndOfOneSource(t *testing.T) {
	refused := newMetrics(nil).refused.WithLabelValues(refusedFull)
	q := &queue{conns: make(chan net.Conn, 10)}
	b := newBounded(q, 3, 2, refused)
	// accept returns the one of those who knock that is let in: the last.
	accept := func(addrs ...string) net.Conn {
		t.Helper()
		var knocked []*remote
		for _, a := range addrs {
			r := &remote{addr: a}
			knocked = append(knocked, r)
			q.conns <- r
		}
		c, err := b.Accept()
		if err != nil {
			t.Fatal(err)
		}
		for i, k := range knocked {
			if last := i == len(knocked)-1; k.closed == last {
				t.Errorf("%s: closed %v, want %v", k.addr, k.closed, !last)
			}
		}
		return c
	}
	one := accept("[2001:db8::1]:1")
	accept("[2001:db8::2]:2")
	// That network has as many as it may; another comes behind it.
	two := accept("[2001:db8::3]:3", "192.0.2.1:4")
	if err := errors.Join(one.Close(), one.Close()); err != nil {
		t.Fatal(err)
	}
	accept("[2001:db8::4]:5")
	// There are as many as there may be at all.
	q.conns <- &remote{addr: "192.0.2.2:6"}
	close(q.conns)
	if c, err := b.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept = %v, %v", c, err)
	}
	if err := two.Close(); err != nil {
		t.Fatal(err)
	}
	if got := testutil.ToFloat64(refused); got != 2 {
		t.Errorf("%v were refused, want 2", got)
	}
	if b.open != 2 || len(b.from) != 1 {
		t.Errorf("%d are open, of %d sources; want 2 of 1", b.open, len(b.from))
	}
}

// TestServer_BoundsConnections: whoever opens connections and says nothing takes no more
// file descriptors than one source may have.
func TestServer_BoundsConnections(t *testing.T) {
	s := control(t, Options{Addr: "127.0.0.1:0"})
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for range maxSourceConns + 1 {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	// It ends when the server has closed it.
	if n, err := open[maxSourceConns].Read(make([]byte, 1)); err == nil {
		t.Errorf("the last is told %d bytes", n)
	}
	if got := testutil.ToFloat64(s.api.metrics.refused.WithLabelValues(refusedFull)); got != 1 {
		t.Errorf("%v were refused, want 1", got)
	}
}
