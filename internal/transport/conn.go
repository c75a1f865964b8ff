package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

const (
	// initialRead holds most requests of phones. Of 50,000 idle connections it
	// takes 100 MB.
	initialRead = 2048
	// lingerTime and lingerBytes bound how long a connection is read, unheeded,
	// after its last answer: closing with bytes unread would send a reset, and
	// the answer could be lost with it.
	lingerTime  = time.Second
	lingerBytes = 64 << 10
)

// A conn is one connection: a reader goroutine, run, and, while something
// waits to be written, a writer, drain.
type conn struct {
	t      *Transport
	l      *listener
	flow   flow.Flow
	source netip.Addr // what it is counted by; invalid for a dialled connection
	born   time.Time  // when it was accepted, or dialling it began

	dialled bool
	name    string   // whom a dialled peer must prove to be by TLS; empty: its address
	names   []string // whom the peer has proven to be; set by handshake

	seen atomic.Int64 // when bytes last came, in nanoseconds after born
	held atomic.Int64 // until when silence does not end it, in the same way; written under mu

	// nc and framing are set before anyone else learns of the flow: by
	// newConn, then by handshake. socket lies below TLS and whatever else there
	// is: closing that never waits for the peer.
	socket  net.Conn
	nc      net.Conn
	framing framing

	mu      sync.Mutex // guards what follows
	cause   error      // why it ends; once set, nothing more is queued
	closed  bool       // socket is closed
	flush   bool       // close when the queue is written
	writing bool       // drain is running
	pending []byte     // not yet handed to nc
	queued  int        // bytes of pending and of the write under way
	// holds are who wants it to live, and others until when those want it that are
	// too many to be kept apart.
	holds  []hold
	others time.Duration
}

// newConn returns a connection to remote that began at the time born. What it
// carries goes through nc, which leads to socket.
func newConn(l *listener, socket, nc net.Conn, remote netip.AddrPort, born time.Time) *conn {
	f := l.flow(remote)
	f.Incarnation = l.t.opts.Incarnation
	return &conn{t: l.t, l: l, flow: f, socket: socket, nc: nc, born: born}
}

func (c *conn) peer() peer { return peer{c.flow.Transport, c.flow.Remote, c.name} }

// lastSeen returns when bytes last came from the peer.
func (c *conn) lastSeen() time.Time { return c.born.Add(time.Duration(c.seen.Load())) }

func (c *conn) open() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause == nil
}

// abandon closes a connection that was never started.
func (t *Transport) abandon(socket net.Conn) {
	if err := socket.Close(); err != nil {
		t.log.Debug("close refused connection", slog.Any("err", err))
	}
}

// handshake makes the connection ready for messages: TLS first, if the
// transport has it, and then what the stream asks for.
func (c *conn) handshake(ctx context.Context) (err error) {
	if err := c.t.tune(c.socket); err != nil {
		return err
	}
	nc := c.nc
	if c.l.Transport.Secure() {
		if nc, err = c.secure(ctx, nc); err != nil {
			return err
		}
	}
	whole, framing, err := c.l.stream.handshake(ctx, nc, c.t.opts.MaxMessage)
	if err != nil {
		endTLS(nc)
		return err
	}
	c.mu.Lock() // Stop may be looking for somebody to say goodbye to.
	defer c.mu.Unlock()
	c.nc, c.framing = whole, framing
	return nil
}

// accepted is the life of a connection that a peer made. Stop waits for it.
func (c *conn) accepted() {
	ctx, cancel := context.WithDeadline(c.t.ctx, c.born.Add(c.t.opts.HandshakeTimeout))
	err := c.handshake(ctx)
	cancel()
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", ErrSlow, err)
		}
		c.close(err)
	} else if c.l.Transport == flow.TCP {
		// RFC 5923 §8: requests to others go out only by connections whose peer
		// has been asked who it is, so by TLS only by those that we made.
		c.t.conns.ready(c)
	}
	c.run()
}

// run is the rest of a connection's life: it ends when either side closes.
func (c *conn) run() {
	c.l.metrics.conns.Inc()
	if c.open() {
		r := reader{conn: c, buf: make([]byte, initialRead), silent: c.source.IsValid()}
		r.part(r.run())
		r.release()
	}
	c.t.conns.remove(c)
	c.l.metrics.conns.Dec()
	c.mu.Lock()
	cause := c.cause
	c.mu.Unlock()
	c.l.metrics.closed(cause).Inc()
	c.t.opts.Handler.FlowClosed(c.flow, cause)
}

// A reader reads one connection.
type reader struct {
	*conn
	buf  []byte
	used int // bytes of buf that are read and not consumed
	// partial says that a message is under way, since when it began.
	partial bool
	since   time.Time
	silent  bool      // an accepted connection that has not sent a message yet
	pinged  time.Time // when it was last asked for a sign of life
}

func (r *reader) run() error {
	for {
		if err := r.await(); err != nil {
			return err
		}
		n, err := r.nc.Read(r.buf[r.used:])
		if n > 0 {
			now := time.Now()
			r.seen.Store(int64(now.Sub(r.born)))
			r.used += n
			if err := r.consume(now); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(r.deadline()):
			// It was held meanwhile, or for a shorter time than before.
		case errors.Is(err, os.ErrDeadlineExceeded) && (r.partial || r.silent):
			return ErrSlow
		case errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(r.idleEnd()):
			// It is time to ask for a sign of life.
			if !r.ping() {
				return ErrIdle
			}
		case errors.Is(err, os.ErrDeadlineExceeded):
			return ErrIdle
		case err != nil:
			return err
		}
		if err := r.fit(); err != nil {
			return err
		}
	}
}

// await sets the deadline of the next read; hold may move it.
func (r *reader) await() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.nc.SetReadDeadline(r.deadline())
}

// deadline is when the peer must have sent more. A message under way has its
// own, which further bytes do not move, so that one byte a second gains nothing.
func (r *reader) deadline() time.Time {
	switch {
	case r.partial:
		return r.since.Add(r.t.opts.MessageTimeout)
	case r.silent:
		return r.born.Add(r.t.opts.HandshakeTimeout)
	}
	end := r.idleEnd()
	if at := r.pingAt(); at.Before(end) && r.l.pingEvery > 0 {
		return at
	}
	return end
}

// pingAt is when a peer that stays quiet gets a ping, or should have answered the
// last one.
func (r *reader) pingAt() time.Time {
	last := r.lastSeen()
	if r.pinged.After(last) {
		last = r.pinged
	}
	return last.Add(r.l.pingEvery)
}

// ping asks a peer that has been quiet for a sign of life if it is time to, and
// reports false if the last ping brought none.
func (r *reader) ping() bool {
	switch {
	case r.l.pingEvery == 0 || time.Now().Before(r.pingAt()):
		return true
	case r.pinged.After(r.lastSeen()):
		return false
	}
	r.pinged = time.Now()
	return r.write(r.framing.ping()) == nil
}

// idleEnd is when silence ends the connection. Hold may put it off while the
// reader waits.
func (c *conn) idleEnd() time.Time {
	return c.born.Add(max(time.Duration(c.seen.Load())+c.t.opts.IdleTimeout, time.Duration(c.held.Load())))
}

// consume handles every whole unit in the buffer and moves the rest to its
// start.
func (r *reader) consume(now time.Time) error {
	off := 0
	for off < r.used {
		kind, n, msg, err := r.framing.next(r.buf[off:r.used])
		if err != nil && n == 0 {
			return r.refuse(msg, err)
		}
		if n == 0 {
			break
		}
		off += n
		if !r.framing.partial(nil) { // Else this is a part of one message.
			r.since = now
		}
		switch kind {
		case sipmsg.FramePing:
			r.l.metrics.keepAlives.Inc()
			if err := r.write(msg); err != nil {
				return err
			}
		case sipmsg.FrameMessage:
			r.silent = false
			r.l.metrics.received.Inc()
			r.t.arrived(r.l, r.flow, msg, now)
			switch {
			case err != nil:
				// Of those that cannot be answered nobody is told.
				_ = r.reject(msg, err)
			case !r.answer(msg):
				r.t.opts.Handler.Receive(r.flow, msg, time.Now())
			}
		case sipmsg.FrameMore, sipmsg.FrameSkip:
		}
	}
	if !r.partial {
		r.since = now
	}
	r.used = copy(r.buf, r.buf[off:r.used])
	r.partial = r.framing.partial(r.buf[:r.used])
	return nil
}

// answer lets the Answerer answer msg and reports whether it took it. A peer that
// does not read its answers loses the connection like any other.
func (r *reader) answer(msg []byte) bool {
	if r.t.opts.Answerer == nil {
		return false
	}
	out := r.t.answers.Get().(*[]byte)
	defer r.t.answers.Put(out)
	answer, taken := r.t.opts.Answerer.Answer(r.flow, msg, (*out)[:0])
	*out = answer
	if taken && len(answer) > 0 {
		r.t.leaves(r.l, r.flow, answer)
		_ = r.t.stayed(r.l, r.flow, answer, r.l.count(r.send(answer)))
	}
	return taken
}

// fit gives the message under way room to grow, and takes the room back when
// there is none.
func (r *reader) fit() error {
	switch {
	case r.used == 0 && len(r.buf) > initialRead:
		r.release()
		r.buf = make([]byte, initialRead)
	case r.used == len(r.buf):
		size := min(2*len(r.buf), max(r.t.opts.MaxMessage+maxHeader, initialRead))
		if size == len(r.buf) {
			return ErrTooLong
		}
		if !r.t.buffered.take(size - len(r.buf)) {
			return ErrBusy
		}
		grown := make([]byte, size)
		copy(grown, r.buf)
		r.buf = grown
	}
	return nil
}

// release returns to the budget what the buffer had grown by.
func (r *reader) release() { r.t.buffered.give(len(r.buf) - initialRead) }

// part ends the connection. A peer that expects a last word gets it, and time to
// read it.
func (r *reader) part(cause error) {
	r.framing.release()
	if r.bid(cause, errors.Is(cause, io.EOF)) {
		linger(r.nc)
	}
	r.depart(cause)
}

// refuse ends a connection on which no further message can be found (RFC 3261
// §18.3). head is the header section of the one at fault, if it has an end: a
// request that can be answered is, and its sender gets time to read why.
func (r *reader) refuse(head []byte, fault error) error {
	if _, ok := errors.AsType[*sipmsg.StatusError](fault); !ok {
		return fault
	}
	cause := fmt.Errorf("%w: %w", ErrGarbled, fault)
	if !r.reject(head, fault) {
		return cause
	}
	r.end(cause)
	linger(r.nc)
	return cause
}

// reject answers the request in msg with its fault. It reports whether there is
// an answer that will be sent.
func (r *reader) reject(msg []byte, fault error) bool {
	m, _ := sipmsg.Parse(msg, r.flow.Remote) // Its own faults do not matter beside this one.
	if m == nil || !m.IsRequest() || m.Method() == "ACK" {
		return false
	}
	code, phrase, headers := sipmsg.StatusOf(fault)
	reply := m.AppendReply(nil, sipmsg.Reply{Code: code, Reason: phrase, Headers: headers})
	r.t.leaves(r.l, r.flow, reply)
	return r.t.stayed(r.l, r.flow, reply, r.send(reply)) == nil
}

// linger reads what the peer still sends, until it closes. However that ends, it
// is not looked at.
func linger(nc net.Conn) {
	if err := nc.SetReadDeadline(time.Now().Add(lingerTime)); err == nil {
		_, _ = io.CopyN(io.Discard, nc, lingerBytes)
	}
}
