package transport

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"reveille/flow"
)

// A packetConn is a datagram socket whose addresses are values. *net.UDPConn
// and the sockets of internal/memnet are such; others are adapted.
type packetConn interface {
	net.PacketConn
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
}

// A udpSocket is one of the sockets that share a listener's address. The
// kernel keeps all datagrams of one peer on one socket, so that one reader
// each keeps them in order.
type udpSocket struct {
	l    *listener
	conn packetConn
	out  []byte // where the Answerer writes; the reader's own
}

func newUDPSocket(l *listener, pc net.PacketConn, readBuffer int) *udpSocket {
	if c, ok := pc.(interface{ SetReadBuffer(int) error }); ok {
		// The system's own limit may be lower; a small buffer loses datagrams
		// under load but is no reason not to serve.
		if err := c.SetReadBuffer(readBuffer); err != nil {
			l.t.log.Warn("set read buffer", slog.String("listener", l.Name), slog.Any("err", err))
		}
	}
	c, ok := pc.(packetConn)
	if !ok {
		c = valueConn{pc}
	}
	return &udpSocket{l: l, conn: c}
}

// serve reads until the socket is closed by Stop.
func (s *udpSocket) serve() {
	// One byte more than the longest message shows a datagram that was cut.
	buf := make([]byte, s.l.t.opts.MaxMessage+1)
	failures := backoff{}
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		switch {
		case err == nil:
			failures.reset()
			s.receive(buf[:n], unmap(from))
		case errors.Is(err, net.ErrClosed):
			return
		default:
			// Out of memory or buffers: a listener outlives it, but does not spin.
			s.l.metrics.readErrors.Inc()
			if failures.first() {
				s.l.t.log.Warn("read datagram", slog.String("listener", s.l.Name), slog.Any("err", err))
			}
			if !s.l.t.pause(failures.next()) {
				return
			}
		}
	}
}

// receive handles one datagram. It allocates nothing.
func (s *udpSocket) receive(b []byte, from netip.AddrPort) {
	t := s.l.t
	if from.Port() == 0 {
		// Nothing can be answered to port 0.
		s.l.metrics.dropped.Inc()
		return
	}
	t.seen.mark(s.l.index, from, time.Now())
	switch {
	case blank(b):
		// RFC 5626 §4.4.1 answers CRLF on streams only; over UDP it keeps the
		// NAT's mapping open, which needs no answer.
		s.l.metrics.keepAlives.Inc()
	case b[0] <= 1:
		// RFC 5626 §8: a first octet of 0 or 1 is STUN. Like a CRLF it shows
		// that the peer is there.
		s.l.metrics.keepAlives.Inc()
	case len(b) > t.opts.MaxMessage:
		s.l.metrics.dropped.Inc()
	default:
		s.l.metrics.received.Inc()
		f := s.l.flow(from)
		if !s.answer(f, b) {
			t.opts.Handler.Receive(f, b)
		}
	}
}

// answer lets the Answerer answer b and reports whether it took it.
func (s *udpSocket) answer(f flow.Flow, b []byte) bool {
	a := s.l.t.opts.Answerer
	if a == nil {
		return false
	}
	answer, taken := a.Answer(f, b, s.out[:0])
	s.out = answer
	if taken && len(answer) > 0 {
		// An answer that is lost is asked for again.
		_ = s.l.count(s.l.sendDatagram(f.Remote, answer))
	}
	return taken
}

// sendDatagram sends b to remote from one of l's sockets: all have the address
// that remote knows (RFC 3581 §4). The remote port spreads the load.
func (l *listener) sendDatagram(remote netip.AddrPort, b []byte) error {
	if len(b) > maxDatagram {
		return ErrTooLong
	}
	s := l.sockets[int(remote.Port())%len(l.sockets)]
	_, err := s.conn.WriteToUDPAddrPort(b, remote)
	if errors.Is(err, net.ErrClosed) {
		return ErrFlowDead
	}
	return err
}

// blank reports whether b holds nothing but line ends.
func blank(b []byte) bool {
	for _, c := range b {
		if c != '\r' && c != '\n' {
			return false
		}
	}
	return true
}

// A valueConn gives any net.PacketConn the methods of packetConn.
type valueConn struct{ net.PacketConn }

func (c valueConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, from, err := c.ReadFrom(b)
	if err != nil {
		return n, netip.AddrPort{}, err
	}
	ap := addrPort(from)
	if !ap.IsValid() {
		return n, ap, fmt.Errorf("read datagram: address %v is no IP address and port", from)
	}
	return n, ap, nil
}

func (c valueConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return c.WriteTo(b, net.UDPAddrFromAddrPort(to))
}

// A backoff counts failures in a row and says how long to wait after each.
type backoff struct{ n int }

func (b *backoff) reset()      { b.n = 0 }
func (b *backoff) first() bool { return b.n == 0 }

// next returns 5 ms, doubled for each failure in a row, at most 1.28 s.
func (b *backoff) next() time.Duration {
	d := 5 * time.Millisecond << min(b.n, 8)
	b.n++
	return d
}
