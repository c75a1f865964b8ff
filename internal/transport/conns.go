package transport

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"reveille/flow"
)

// A peer is the far end of a connection.
type peer struct {
	transport flow.Transport
	remote    netip.AddrPort
	name      string // whom it must prove to be by TLS; empty: its address
}

// conns is the register of connections and of their bounds. Safe for
// concurrent use.
type conns struct {
	max, maxPerSource int

	mu        sync.RWMutex // guards what follows
	byID      map[uint64]*conn
	byPeer    map[peer]*conn     // the newest connection of each peer that is ready
	perSource map[netip.Addr]int // accepted connections
	last      uint64             // the number given to the newest connection
	reserved  int                // connections of which nobody knows whose they are yet
}

func newConns(limit, perSource int) *conns {
	return &conns{
		max:          limit,
		maxPerSource: perSource,
		byID:         make(map[uint64]*conn),
		byPeer:       make(map[peer]*conn),
		perSource:    make(map[netip.Addr]int),
	}
}

// add enters c and numbers its flow. It returns the reason as a metric label
// if a bound is reached.
func (r *conns) add(c *conn) (refused string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full() {
		return "total", false
	}
	if c.source.IsValid() {
		if r.perSource[c.source] >= r.maxPerSource {
			return "source", false
		}
		r.perSource[c.source]++
	}
	r.last++
	c.flow.Conn = r.last
	r.byID[c.flow.Conn] = c
	return "", true
}

func (r *conns) full() bool { return len(r.byID)+r.reserved >= r.max }

// reserve takes the place of a connection that is not added yet, and reports
// whether there was one. release gives it back.
func (r *conns) reserve() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full() {
		return false
	}
	r.reserved++
	return true
}

func (r *conns) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reserved--
}

// ready lets find return c: its handshake is done.
func (r *conns) ready(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byPeer[c.peer()] = c
}

func (r *conns) remove(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byID, c.flow.Conn)
	if r.byPeer[c.peer()] == c {
		delete(r.byPeer, c.peer())
	}
	if c.source.IsValid() {
		if r.perSource[c.source]--; r.perSource[c.source] == 0 {
			delete(r.perSource, c.source)
		}
	}
}

// get returns the connection of that number, or nil.
func (r *conns) get(id uint64) *conn {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byID[id]
}

// find returns an open connection to p, or nil.
func (r *conns) find(p peer) *conn {
	r.mu.RLock()
	c := r.byPeer[p]
	r.mu.RUnlock()
	if c == nil || !c.open() {
		return nil
	}
	return c
}

func (r *conns) all() []*conn {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]*conn, 0, len(r.byID))
	for _, c := range r.byID {
		out = append(out, c)
	}
	return out
}

// sourceOf returns what connections are counted by: an IPv4 address, or the
// /64 of an IPv6 address, all of which one host can take.
func sourceOf(a netip.Addr) netip.Addr {
	if a = a.WithZone(""); a.Is6() {
		p, err := a.Prefix(64)
		if err == nil {
			return p.Addr()
		}
	}
	return a
}

// A budget is a number of bytes shared by all connections.
type budget struct {
	max  int64
	used atomic.Int64
}

// take reserves n bytes and reports whether they were left.
func (b *budget) take(n int) bool {
	if b.used.Add(int64(n)) > b.max {
		b.used.Add(-int64(n))
		return false
	}
	return true
}

// give returns n bytes.
func (b *budget) give(n int) { b.used.Add(-int64(n)) }
