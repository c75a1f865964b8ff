package transport

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
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
	l      *listener
	conn   packetConn
	bulk   bulk // the reader's
	poster *poster
	direct direct
}

func newUDPSocket(l *listener, pc net.PacketConn, readBuffer int) (*udpSocket, error) {
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
	reading, err := newBulk(c)
	if err != nil {
		return nil, err
	}
	posting, err := newBulk(c)
	if err != nil {
		return nil, err
	}
	sending, err := newBulk(c)
	if err != nil {
		return nil, err
	}
	return &udpSocket{
		l: l, conn: c, bulk: reading, poster: newPoster(l, posting, l.t.opts.PostQueue), direct: direct{bulk: sending},
	}, nil
}

// start starts the reader and the poster.
func (s *udpSocket) start() {
	s.l.t.wg.Go(func() {
		newDatagramReader(s).run()
		s.poster.end()
	})
	s.l.t.wg.Go(func() {
		s.poster.run()
		s.close()
	})
}

// finish makes the reader return. What is posted is sent before the socket is
// closed.
func (s *udpSocket) finish() {
	if err := s.conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		s.close()
	}
}

// close closes the socket, if it is open.
func (s *udpSocket) close() {
	if err := s.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		s.l.t.log.Warn("close socket", slog.String("listener", s.l.Name), slog.Any("err", err))
	}
}

// slotStagger is the gap between two slots of a reader. Slots of 64 KiB side by
// side would begin in the same few sets of the processor's caches and push each
// other out before they are read.
const slotStagger = 17 * 64

// A datagramReader reads one socket.
type datagramReader struct {
	*udpSocket
	in  []datagram
	out outbox
	// received, keepAlives and dropped are counted once for each batch.
	received, keepAlives, dropped int
	// lost is how many datagrams the socket is known to have lost, modulo 2^32.
	lost uint32
}

func newDatagramReader(s *udpSocket) *datagramReader {
	r := &datagramReader{udpSocket: s, in: make([]datagram, batchLen), out: newOutbox(s.l, s.bulk)}
	// Each slot holds the longest message, for what does not fit is lost, and one
	// byte that shows what was cut. Only the pages that are written to take
	// memory.
	slot := s.l.t.opts.MaxMessage + 1
	stride := slot + slotStagger
	slots := make([]byte, len(r.in)*stride)
	for i := range r.in {
		r.in[i].data = slots[i*stride:][:slot:slot]
	}
	return r
}

// run reads until Stop.
func (r *datagramReader) run() {
	failures := backoff{}
	for {
		n, err := r.bulk.receive(r.in)
		switch {
		case err == nil:
			failures.reset()
			waited := r.receive(r.in[:n])
			if n == len(r.in) && waited < yieldUntil {
				// Probably more waits. A reader that always finds something would
				// keep its processor for 10 ms at a time, and the calls behind what
				// it has handed on would wait.
				runtime.Gosched()
			}
		case errors.Is(err, net.ErrClosed), r.l.t.ctx.Err() != nil:
			return
		default:
			// Out of memory or buffers: a listener outlives it, but does not spin.
			r.l.metrics.readErrors.Inc()
			if failures.first() {
				r.l.t.log.Warn("read datagram", slog.String("listener", r.l.Name), slog.Any("err", err))
			}
			if !r.l.t.pause(failures.next()) {
				return
			}
		}
	}
}

// yieldUntil is how long datagrams may wait in the socket's buffer while the reader
// gives way. Later it empties the buffer first: what overflows there is lost, whatever
// it is, and comes again; what was read can be refused, or waits where there is room.
const yieldUntil = 10 * time.Millisecond

// receive handles what was read at once, in its order, and returns how long the first
// has waited to be read. It allocates nothing.
func (r *datagramReader) receive(batch []datagram) time.Duration {
	now := time.Now()
	if lost := batch[0].lost - r.lost; lost != 0 {
		r.lost = batch[0].lost
		r.l.metrics.lost.Add(float64(lost))
		r.l.t.opts.Lost()
	}
	oldest := waited(now.UnixNano(), batch[0].stamp)
	came := now.Add(-oldest)
	for i := range batch {
		r.one(batch[i].data, batch[i].peer, now, came)
		if len(batch) < len(r.in) {
			// Nothing waits behind them: the later ones may have come just now. A full
			// batch is taken for as old as its first.
			came = now
		}
	}
	r.out.flush()
	m := r.l.metrics
	m.received.Add(float64(r.received))
	m.keepAlives.Add(float64(r.keepAlives))
	m.dropped.Add(float64(r.dropped))
	r.received, r.keepAlives, r.dropped = 0, 0, 0
	return oldest
}

// longestWait is how long a datagram can have waited in the buffer of a socket. What
// exceeds it comes of a clock that was set.
const longestWait = time.Minute

// waited returns how long a datagram waited that the system took in at stamp, if its
// clock shows now, both in nanoseconds; 0 if that is not known.
func waited(now, stamp int64) time.Duration {
	d := time.Duration(now - stamp)
	if stamp == 0 || d < 0 || d > longestWait {
		return 0
	}
	return d
}

// one handles one datagram, which arrived at the time came and was read at now.
func (r *datagramReader) one(b []byte, from netip.AddrPort, now, came time.Time) {
	t := r.l.t
	if from.Port() == 0 {
		// Nothing can be answered to port 0.
		r.dropped++
		return
	}
	t.seen.mark(r.l.index, from, now)
	switch {
	case blank(b):
		// RFC 5626 §4.4.1 answers CRLF on streams only; over UDP it keeps the
		// NAT's mapping open, which needs no answer.
		r.keepAlives++
	case b[0] <= 1:
		// RFC 5626 §8: a first octet of 0 or 1 is STUN. Like a CRLF it shows
		// that the peer is there.
		r.keepAlives++
		if answer, ok := appendBinding(r.out.room(), b, from); ok {
			r.out.add(from, answer)
		}
	case len(b) > t.opts.MaxMessage:
		r.dropped++
	default:
		r.received++
		f := r.l.flow(from)
		t.arrived(r.l, f, b, came)
		if !r.answer(f, b) {
			// What the Handler sends must not overtake the answers to what came before.
			r.out.flush()
			t.opts.Handler.Receive(f, b, came)
		}
	}
}

// answer lets the Answerer answer b and reports whether it took it.
func (r *datagramReader) answer(f flow.Flow, b []byte) bool {
	a := r.l.t.opts.Answerer
	if a == nil {
		return false
	}
	answer, taken := a.Answer(f, b, r.out.room())
	if taken && len(answer) > 0 {
		r.l.t.leaves(r.l, f, answer)
		r.out.add(f.Remote, answer)
	}
	return taken
}

// sendDatagram sends b to remote at once.
func (l *listener) sendDatagram(remote netip.AddrPort, b []byte) error {
	if len(b) > maxDatagram {
		return ErrTooLong
	}
	return sendFault(l.socketFor(remote).direct.send(b, remote))
}

// A direct sends datagrams at once, one after the other, from any goroutine. The
// socket has one way out, so that its senders wait for one another in any case.
type direct struct {
	mu   sync.Mutex
	bulk bulk
	out  [1]datagram
}

func (d *direct) send(b []byte, to netip.AddrPort) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.out[0] = datagram{data: b, peer: unmap(to)}
	_, err := d.bulk.send(d.out[:])
	return err
}

// socketFor returns the socket of l by which remote is sent to: all have the
// address that remote knows (RFC 3581 §4). The remote port spreads the load.
func (l *listener) socketFor(remote netip.AddrPort) *udpSocket {
	return l.sockets[int(remote.Port())%len(l.sockets)]
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
