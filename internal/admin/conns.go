package admin

import (
	"net"
	"net/netip"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Bounds of connections to the address. Each is a file descriptor, of which phones need
// theirs, and anybody who reaches the address can make one. A source is that of tries; a
// proxy in front is one for all.
const (
	maxConns       = 1024
	maxSourceConns = 256
)

// A bounded is a listener that closes connections beyond its bounds as soon as they are
// made.
type bounded struct {
	net.Listener
	all, each int
	refused   prometheus.Counter

	mu   sync.Mutex // guards the fields below
	open int
	from map[netip.Prefix]int
}

func newBounded(l net.Listener, all, each int, refused prometheus.Counter) *bounded {
	return &bounded{Listener: l, all: all, each: each, refused: refused, from: make(map[netip.Prefix]int)}
}

// Accept implements net.Listener.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := source(remoteAddr(c.RemoteAddr().String()))
		if b.enter(from) {
			return &counted{Conn: c, leave: sync.OnceFunc(func() { b.leave(from) })}, nil
		}
		b.refused.Inc()
		// There is nobody to tell.
		_ = c.Close()
	}
}

// enter counts a connection if there is room for it.
func (b *bounded) enter(from netip.Prefix) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open >= b.all || b.from[from] >= b.each {
		return false
	}
	b.open++
	b.from[from]++
	return true
}

func (b *bounded) leave(from netip.Prefix) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open--
	if b.from[from]--; b.from[from] == 0 {
		delete(b.from, from)
	}
}

// A counted is a connection of a bounded.
type counted struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
