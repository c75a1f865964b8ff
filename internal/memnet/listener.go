package memnet

import (
	"net"
	"net/netip"
	"sync"
)

// A Listener is a pretend TCP listener.
type Listener struct {
	h       *Host
	local   netip.AddrPort
	cond    *sync.Cond // on the network's lock, which guards what follows
	backlog []*Conn
	broken  error // returned once by the next Accept
	closed  bool
}

var _ net.Listener = (*Listener)(nil)

func newListener(h *Host, local netip.AddrPort) *Listener {
	return &Listener{h: h, local: local, cond: sync.NewCond(&h.n.mu)}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	l.h.n.mu.Lock()
	defer l.h.n.mu.Unlock()
	for {
		switch {
		case l.closed:
			return nil, netError("accept", "tcp", nil, l.Addr(), net.ErrClosed)
		case l.broken != nil:
			err := l.broken
			l.broken = nil
			return nil, netError("accept", "tcp", nil, l.Addr(), err)
		case len(l.backlog) > 0:
			c := l.backlog[0]
			l.backlog = l.backlog[1:]
			return c, nil
		}
		l.cond.Wait()
	}
}

// Fail makes the next Accept return err, as a system does that is out of file
// descriptors.
func (l *Listener) Fail(err error) {
	l.h.n.mu.Lock()
	defer l.h.n.mu.Unlock()
	l.broken = err
	l.cond.Broadcast()
}

// Close implements net.Listener. Connections that were not accepted are reset.
func (l *Listener) Close() error {
	l.h.n.mu.Lock()
	if l.closed {
		l.h.n.mu.Unlock()
		return netError("close", "tcp", nil, l.Addr(), net.ErrClosed)
	}
	l.closed = true
	delete(l.h.listeners, l.local)
	waiting := l.backlog
	l.backlog = nil
	l.cond.Broadcast()
	l.h.n.mu.Unlock()
	for _, c := range waiting {
		_ = c.Close() // Nobody else can have closed it.
	}
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(visible(l.local)) }
