package memnet

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// inboxLen is how many datagrams a socket holds until they are read.
	inboxLen = 1024
	// maxDatagram is the payload of the longest IPv4 datagram.
	maxDatagram = 65507
)

// A PacketConn is a pretend UDP socket.
type PacketConn struct {
	h      *Host
	local  netip.AddrPort
	shared bool
	cond   *sync.Cond // on the network's lock, which guards what follows
	inbox  []datagram
	closed bool
	broken error // returned once by the next read
	read   deadline
}

type datagram struct {
	from netip.AddrPort
	data []byte
}

var _ net.PacketConn = (*PacketConn)(nil)

func newPacketConn(h *Host, local netip.AddrPort, shared bool) *PacketConn {
	return &PacketConn{h: h, local: local, shared: shared, cond: sync.NewCond(&h.n.mu)}
}

// ReadFrom implements net.PacketConn.
func (c *PacketConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// ReadFromUDPAddrPort is ReadFrom with the address as a value. What does not
// fit b is lost.
func (c *PacketConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	c.h.n.mu.Lock()
	defer c.h.n.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, netip.AddrPort{}, c.error("read", net.ErrClosed)
		case c.broken != nil:
			err := c.broken
			c.broken = nil
			return 0, netip.AddrPort{}, c.error("read", err)
		case c.read.passed():
			return 0, netip.AddrPort{}, c.error("read", os.ErrDeadlineExceeded)
		case len(c.inbox) > 0:
			d := c.inbox[0]
			c.inbox[0] = datagram{}
			c.inbox = c.inbox[1:]
			return copy(b, d.data), d.from, nil
		}
		c.cond.Wait()
	}
}

// WriteTo implements net.PacketConn.
func (c *PacketConn) WriteTo(b []byte, to net.Addr) (int, error) {
	a, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, c.error("write", errors.New("not a UDP address"))
	}
	ap := a.AddrPort()
	return c.WriteToUDPAddrPort(b, netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()))
}

// WriteToUDPAddrPort is WriteTo with the address as a value.
func (c *PacketConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	n := c.h.n
	n.mu.Lock()
	defer n.mu.Unlock()
	src := c.local
	if !src.Addr().IsValid() || src.Addr().IsUnspecified() {
		own, ok := c.h.source(to.Addr())
		if !ok {
			return 0, c.error("write", os.NewSyscallError("sendto", syscall.ENETUNREACH))
		}
		src = netip.AddrPortFrom(own, c.local.Port())
	}
	switch {
	case c.closed:
		return 0, c.error("write", net.ErrClosed)
	case len(b) > maxDatagram:
		return 0, c.error("write", os.NewSyscallError("sendto", syscall.EMSGSIZE))
	case src.Addr().Is4() != to.Addr().Is4():
		return 0, c.error("write", os.NewSyscallError("sendto", syscall.EAFNOSUPPORT))
	}
	n.send(c.h, src, to, append([]byte(nil), b...))
	return len(b), nil
}

// send puts a datagram on its way. n.mu is held.
func (n *Network) send(from *Host, src, dst netip.AddrPort, data []byte) {
	n.stats.Sent++
	if from.nat != nil && from.nat.inside[dst.Addr()] == nil {
		src = from.nat.outbound("udp", src, dst).public
	}
	copies := 1
	if n.chance(n.link.Duplicate) {
		copies = 2
	}
	for range copies {
		if n.chance(n.link.Loss) {
			n.stats.Lost++
			continue
		}
		d := n.delay()
		if n.chance(n.link.Reorder) {
			d += n.link.ReorderBy
		}
		n.after(d, func() { n.arrive(from, src, dst, data) })
	}
}

// arrive ends a datagram's way. n.mu is held.
func (n *Network) arrive(from *Host, src, dst netip.AddrPort, data []byte) {
	h, at, ok := n.route("udp", from, src, dst)
	if !ok {
		n.stats.NoRoute++
		return
	}
	group, ok := lookup(h.sockets, at)
	if !ok {
		n.stats.NoRoute++
		return
	}
	// Sockets that share an address share the peers, not their datagrams.
	sum := int(src.Port())
	for _, b := range src.Addr().AsSlice() {
		sum = sum*31 + int(b)
	}
	c := group[uint(sum)%uint(len(group))]
	if len(c.inbox) >= inboxLen {
		n.stats.Overflow++
		return
	}
	n.stats.Delivered++
	c.inbox = append(c.inbox, datagram{from: src, data: data})
	c.cond.Broadcast()
}

// Fail makes the next read return err, as a system does that is out of memory.
func (c *PacketConn) Fail(err error) {
	c.h.n.mu.Lock()
	defer c.h.n.mu.Unlock()
	c.broken = err
	c.cond.Broadcast()
}

// Close implements net.PacketConn.
func (c *PacketConn) Close() error {
	c.h.n.mu.Lock()
	defer c.h.n.mu.Unlock()
	if c.closed {
		return c.error("close", net.ErrClosed)
	}
	c.closed = true
	c.read.stop()
	c.inbox = nil
	var rest []*PacketConn
	for _, other := range c.h.sockets[c.local] {
		if other != c {
			rest = append(rest, other)
		}
	}
	if rest == nil {
		delete(c.h.sockets, c.local)
	} else {
		c.h.sockets[c.local] = rest
	}
	c.cond.Broadcast()
	return nil
}

// LocalAddr implements net.PacketConn.
func (c *PacketConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(visible(c.local)) }

// AddrPort returns the local address as a value.
func (c *PacketConn) AddrPort() netip.AddrPort { return visible(c.local) }

// visible shows a socket of both families as systems do.
func visible(a netip.AddrPort) netip.AddrPort {
	if !a.Addr().IsValid() {
		return netip.AddrPortFrom(netip.IPv6Unspecified(), a.Port())
	}
	return a
}

// SetDeadline implements net.PacketConn. Writes never wait.
func (c *PacketConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (c *PacketConn) SetReadDeadline(t time.Time) error {
	c.h.n.mu.Lock()
	defer c.h.n.mu.Unlock()
	if c.closed {
		return c.error("set", net.ErrClosed)
	}
	c.read.set(t, c.cond)
	return nil
}

// SetWriteDeadline implements net.PacketConn. Writes never wait.
func (c *PacketConn) SetWriteDeadline(time.Time) error { return nil }

func (c *PacketConn) error(op string, err error) error {
	return netError(op, "udp", c.LocalAddr(), nil, err)
}
