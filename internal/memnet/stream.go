package memnet

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// window is how many bytes may be on their way or unread in one direction.
	window = 64 << 10
	// retry is how long a segment waits that meets a host that is down.
	retry = time.Second
	// backlogLen is how many connections wait to be accepted.
	backlogLen = 128
)

// A Conn is one end of a pretend TCP connection.
type Conn struct {
	h             *Host
	local, remote netip.AddrPort // as this end sees them
	mapping       *mapping       // of the end that dialled through a NAT

	cond   *sync.Cond // on the network's lock, which guards what follows
	peer   *Conn
	in     []byte    // arrived and not read
	flying int       // bytes sent by the peer that have not arrived
	out    []segment // on their way to the peer, in order
	eof    bool      // the peer will send no more
	done   bool      // CloseWrite was called
	closed bool
	err    error
	read   deadline
	write  deadline
}

// A segment is what one end sends to the other: bytes, an end, a reset.
type segment struct {
	at     time.Time // when it arrives, if nothing is in the way
	arrive func()
}

var _ net.Conn = (*Conn)(nil)

func newConn(h *Host, local, remote netip.AddrPort) *Conn {
	c := &Conn{h: h, local: local, remote: remote, cond: sync.NewCond(&h.n.mu)}
	h.conns[c] = struct{}{}
	return c
}

// DialContext connects to addr, an IP address and a port, from laddr or, if
// that is empty, from any address of the host.
func (h *Host) DialContext(ctx context.Context, network, laddr, addr string) (net.Conn, error) {
	remote, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, opError("dial", network, addr, err)
	}
	h.n.mu.Lock()
	local, err := h.dialFrom(laddr, remote)
	if err != nil {
		h.n.mu.Unlock()
		return nil, opError("dial", network, addr, err)
	}
	d := &dialling{conn: newConn(h, local, remote), result: make(chan error, 1)}
	h.n.after(h.n.delay(), d.knock)
	h.n.mu.Unlock()
	select {
	case err = <-d.result:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		h.n.mu.Lock()
		d.conn.fail(err)
		d.conn.shut()
		if far := d.conn.peer; far != nil {
			far.fail(syscall.ECONNRESET) // Connected, but too late.
		}
		h.n.mu.Unlock()
		return nil, opError("dial", network, addr, err)
	}
	return d.conn, nil
}

// dialFrom returns the address for an outgoing connection. h.n.mu is held.
func (h *Host) dialFrom(laddr string, remote netip.AddrPort) (netip.AddrPort, error) {
	var local netip.AddrPort
	if laddr != "" {
		var err error
		if local, err = netip.ParseAddrPort(laddr); err != nil {
			return local, err
		}
		if !h.has(local.Addr()) {
			return local, os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)
		}
	} else {
		own, ok := h.source(remote.Addr())
		if !ok {
			return local, os.NewSyscallError("connect", syscall.ENETUNREACH)
		}
		local = netip.AddrPortFrom(own, 0)
	}
	if local.Addr().Is4() != remote.Addr().Is4() {
		return local, os.NewSyscallError("connect", syscall.EAFNOSUPPORT)
	}
	if local.Port() == 0 {
		local = netip.AddrPortFrom(local.Addr(), h.freePort())
	}
	return local, nil
}

// dialling is a connection on its way to being one.
type dialling struct {
	conn   *Conn
	result chan error // takes one value
}

// knock arrives at the far host. The network's lock is held.
func (d *dialling) knock() {
	c := d.conn
	n := c.h.n
	if c.err != nil {
		d.result <- c.err // Reset, or the dialler gave up and does not look.
		return
	}
	src := c.local
	if c.h.nat != nil && c.h.nat.inside[c.remote.Addr()] == nil {
		c.mapping = c.h.nat.outbound("tcp", c.local, c.remote)
		src = c.mapping.public
	}
	to, at, ok := n.route("tcp", c.h, src, c.remote)
	if !ok {
		n.after(retry, d.knock) // As if the address did not exist: nobody answers.
		return
	}
	l, ok := lookup(to.listeners, at)
	if !ok || len(l.backlog) >= backlogLen {
		n.after(n.delay(), func() { d.result <- os.NewSyscallError("connect", syscall.ECONNREFUSED) })
		return
	}
	far := newConn(to, at, src)
	far.peer, c.peer = c, far
	far.mapping = c.mapping
	l.backlog = append(l.backlog, far)
	l.cond.Broadcast()
	n.after(n.delay(), func() { d.result <- nil })
}

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	c.h.n.mu.Lock()
	defer c.h.n.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, c.error("read", net.ErrClosed)
		case c.read.passed():
			return 0, c.error("read", os.ErrDeadlineExceeded)
		case len(c.in) > 0:
			n := copy(b, c.in)
			if c.in = c.in[n:]; len(c.in) == 0 {
				c.in = nil
			}
			c.peer.cond.Broadcast()
			return n, nil
		case c.err != nil:
			return 0, c.error("read", c.err)
		case c.eof:
			return 0, io.EOF
		case len(b) == 0:
			return 0, nil
		}
		c.cond.Wait()
	}
}

// Write implements net.Conn. It waits while the window is full.
func (c *Conn) Write(b []byte) (int, error) {
	c.h.n.mu.Lock()
	defer c.h.n.mu.Unlock()
	total := 0
	for {
		switch {
		case total > 0 && len(b) == 0:
			return total, nil // Even if the last of it met a reset.
		case c.closed:
			return total, c.error("write", net.ErrClosed)
		case c.err != nil:
			return total, c.error("write", c.err)
		case c.done:
			return total, c.error("write", os.NewSyscallError("write", syscall.EPIPE))
		case c.write.passed():
			return total, c.error("write", os.ErrDeadlineExceeded)
		case len(b) == 0:
			return total, nil
		}
		room := window - len(c.peer.in) - c.peer.flying
		if room <= 0 {
			c.cond.Wait()
			continue
		}
		n := min(room, len(b))
		data := append([]byte(nil), b[:n]...)
		b, total = b[n:], total+n
		peer := c.peer
		peer.flying += n
		c.send(func() {
			peer.flying -= n
			if peer.closed {
				c.fail(syscall.ECONNRESET) // Nobody is there to take it.
				return
			}
			peer.in = append(peer.in, data...)
			peer.cond.Broadcast()
		})
	}
}

// send lets arrive happen at the far end, after all that was sent before. The
// network's lock is held.
func (c *Conn) send(arrive func()) {
	at := time.Now().Add(c.h.n.delay())
	if last := len(c.out) - 1; last >= 0 && at.Before(c.out[last].at) {
		at = c.out[last].at
	}
	c.out = append(c.out, segment{at, arrive})
	c.h.n.at(at, c.deliver)
}

// deliver lets all segments arrive that are due, or tries again later while
// they cannot. The network's lock is held.
func (c *Conn) deliver() {
	for len(c.out) > 0 && !c.out[0].at.After(time.Now()) {
		switch {
		case c.err != nil || c.peer.err != nil || c.closed && c.peer.closed:
			c.out = nil // The connection is over.
			return
		case c.h.down || c.peer.h.down:
			c.h.n.after(retry, c.deliver)
			return
		case c.mapping != nil && !c.mapping.passes(c.mapping.inside == c.local):
			return // The NAT has forgotten the connection; it hangs for ever.
		}
		first := c.out[0]
		c.out = c.out[1:]
		first.arrive()
	}
}

// fail breaks this end. The network's lock is held.
func (c *Conn) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.in = nil
	c.cond.Broadcast()
}

// Close implements net.Conn. As in TCP, bytes that came and were not read make
// it a reset, which may cost the peer what it has not read either.
func (c *Conn) Close() error {
	c.h.n.mu.Lock()
	defer c.h.n.mu.Unlock()
	if c.closed {
		return c.error("close", net.ErrClosed)
	}
	unread, peer := len(c.in) > 0, c.peer
	c.shut()
	c.send(func() {
		if unread {
			peer.fail(syscall.ECONNRESET)
		}
		peer.eof = true
		peer.cond.Broadcast()
	})
	return nil
}

// shut ends the use of this end. The network's lock is held.
func (c *Conn) shut() {
	c.closed = true
	c.in = nil
	c.read.stop()
	c.write.stop()
	delete(c.h.conns, c)
	c.cond.Broadcast()
}

// CloseWrite tells the peer that no more bytes come.
func (c *Conn) CloseWrite() error {
	c.h.n.mu.Lock()
	defer c.h.n.mu.Unlock()
	if c.closed {
		return c.error("close", net.ErrClosed)
	}
	c.done = true
	peer := c.peer
	c.send(func() {
		peer.eof = true
		peer.cond.Broadcast()
	})
	return nil
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadlines(t, &c.read, &c.write) }

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, &c.read) }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.write) }

func (c *Conn) setDeadlines(t time.Time, which ...*deadline) error {
	c.h.n.mu.Lock()
	defer c.h.n.mu.Unlock()
	if c.closed {
		return c.error("set", net.ErrClosed)
	}
	for _, d := range which {
		d.set(t, c.cond)
	}
	return nil
}

func (c *Conn) error(op string, err error) error {
	return netError(op, "tcp", c.LocalAddr(), c.RemoteAddr(), err)
}
