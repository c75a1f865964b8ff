package transport

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
)

// A load balancer that forwards connections hides who made them, unless each
// starts with a header of the PROXY protocol, which says so. It comes before TLS
// and everything else. Only the configured balancers may send it, for it is
// believed, and they must, so that a balancer without it does not make one source
// of all phones.

// balanced reports whether remote is a balancer of l.
func (l *listener) balanced(remote netip.AddrPort) bool {
	addr := remote.Addr().WithZone("")
	for _, p := range l.balancers {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// admitBalanced starts a connection that came by a balancer. Until its header is
// read it counts as one of all connections, and for no source.
func (l *listener) admitBalanced(nc net.Conn, remote netip.AddrPort, now time.Time) {
	refused := "proxy_protocol"
	if l.balanced(remote) {
		refused = "total"
		if l.t.conns.reserve() {
			if !l.t.spawn(func() { l.introduce(nc, remote, now) }) {
				l.t.conns.release()
				l.t.abandon(nc)
			}
			return
		}
	}
	l.metrics.refused(refused).Inc()
	l.t.abandon(nc)
}

// introduce reads the header of a connection and then lives its life.
func (l *listener) introduce(nc net.Conn, balancer netip.AddrPort, born time.Time) {
	remote, through, err := l.readHeader(nc, balancer, born)
	l.t.conns.release()
	if err != nil {
		l.metrics.refused("proxy_protocol").Inc()
		l.t.log.Debug("PROXY protocol", slog.String("listener", l.Name), slog.String("balancer", balancer.String()), slog.Any("err", err))
		l.t.abandon(nc)
		return
	}
	if c := l.enter(nc, through, remote, born); c != nil {
		c.accepted()
	}
}

// readHeader returns who made the connection, and the connection behind the
// header. A balancer that speaks for itself, to see whether we are there, is the
// remote.
func (l *listener) readHeader(nc net.Conn, balancer netip.AddrPort, born time.Time) (netip.AddrPort, net.Conn, error) {
	// Stop does not know the connection yet.
	defer context.AfterFunc(l.t.ctx, func() { _ = nc.Close() })()
	if err := nc.SetReadDeadline(born.Add(l.t.opts.HandshakeTimeout)); err != nil {
		return balancer, nil, err
	}
	r := bufio.NewReaderSize(nc, headerRead)
	h, err := proxyproto.Read(r)
	if err != nil {
		return balancer, nil, err
	}
	rest, err := r.Peek(r.Buffered())
	if err != nil {
		return balancer, nil, err
	}
	through := &resumed{Conn: nc, rest: bytes.NewReader(bytes.Clone(rest))}
	if h.Command.IsLocal() || h.TransportProtocol.IsUnspec() {
		return balancer, through, nil
	}
	client, ok := h.SourceAddr.(*net.TCPAddr)
	if !ok {
		return balancer, nil, fmt.Errorf("client address %v is not one of TCP", h.SourceAddr)
	}
	remote := unmap(client.AddrPort())
	if !remote.IsValid() || remote.Port() == 0 || remote.Addr().IsUnspecified() {
		return balancer, nil, fmt.Errorf("nobody has the address %v", client)
	}
	return remote, through, nil
}

// headerRead holds a header with the addresses of IPv6 and what balancers add.
const headerRead = 256

// A resumed is a connection of which a part was read already.
type resumed struct {
	net.Conn
	rest io.Reader // nil when it is used up; for one reader
}

// Read implements net.Conn.
func (c *resumed) Read(b []byte) (int, error) {
	if c.rest != nil {
		if n, err := c.rest.Read(b); n > 0 || err == nil {
			return n, nil
		}
		c.rest = nil
	}
	return c.Conn.Read(b)
}
