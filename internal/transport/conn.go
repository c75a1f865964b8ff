package transport

import (
	"context"
	"errors"
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
	born   time.Time
	seen   atomic.Int64 // when bytes last came, in nanoseconds after born

	mu      sync.Mutex // guards what follows
	nc      net.Conn
	framing framing
	cause   error  // why it ends; once set, nothing more is queued
	closed  bool   // nc is closed
	flush   bool   // close when the queue is written
	writing bool   // drain is running
	pending []byte // not yet handed to nc
	queued  int    // bytes of pending and of the write under way, all in the budget
}

func newConn(l *listener, nc net.Conn, remote netip.AddrPort) *conn {
	f := l.flow(remote)
	f.Incarnation = l.t.opts.Incarnation
	return &conn{t: l.t, l: l, flow: f, nc: nc, born: time.Now()}
}

func (c *conn) peer() peer { return peer{c.flow.Transport, c.flow.Remote} }

// lastSeen returns when bytes last came from the peer.
func (c *conn) lastSeen() time.Time { return c.born.Add(time.Duration(c.seen.Load())) }

func (c *conn) open() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause == nil
}

// abandon closes a connection that was never started.
func (c *conn) abandon(nc net.Conn) {
	if err := nc.Close(); err != nil {
		c.t.log.Debug("close refused connection", slog.Any("err", err))
	}
}

// run is the connection's life. It ends when the connection is closed by
// either side, and is waited for by Stop.
func (c *conn) run() {
	c.l.metrics.conns.Inc()
	err := c.serve()
	c.close(err)
	c.t.conns.remove(c)
	c.l.metrics.conns.Dec()
	c.mu.Lock()
	err = c.cause
	c.mu.Unlock()
	c.l.metrics.closed(err).Inc()
	c.t.opts.Handler.FlowClosed(c.flow, err)
}

// serve shakes hands and reads until the connection ends.
func (c *conn) serve() error {
	if err := c.t.tune(c.nc); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.t.ctx, c.t.opts.HandshakeTimeout)
	nc, framing, err := c.l.stream.handshake(ctx, c.nc)
	cancel()
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.nc, c.framing = nc, framing
	c.startWriter() // What was queued during the handshake.
	c.mu.Unlock()
	r := reader{conn: c, buf: make([]byte, initialRead), silent: c.source.IsValid()}
	defer r.release()
	return r.run()
}

// A reader reads one connection.
type reader struct {
	*conn
	buf    []byte
	used   int       // bytes of buf that are read and not consumed
	since  time.Time // when the first of them came
	silent bool      // an accepted connection that has not sent a message yet
}

func (r *reader) run() error {
	for {
		if err := r.nc.SetReadDeadline(r.deadline()); err != nil {
			return err
		}
		n, err := r.nc.Read(r.buf[r.used:])
		if n > 0 {
			now := time.Now()
			r.seen.Store(int64(now.Sub(r.born)))
			if r.used == 0 {
				r.since = now
			}
			r.used += n
			if err := r.consume(now); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && (r.used > 0 || r.silent):
			return ErrSlow
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

// deadline is when the peer must have sent more. A message under way has its
// own, which further bytes do not move, so that one byte a second gains nothing.
func (r *reader) deadline() time.Time {
	switch {
	case r.used > 0:
		return r.since.Add(r.t.opts.MessageTimeout)
	case r.silent:
		return r.born.Add(r.t.opts.HandshakeTimeout)
	}
	return time.Now().Add(r.t.opts.IdleTimeout)
}

// consume handles every whole unit in the buffer and moves the rest to its
// start.
func (r *reader) consume(now time.Time) error {
	off := 0
	for off < r.used {
		kind, n, msg, err := r.framing.next(r.buf[off:r.used], r.t.opts.MaxMessage)
		if err != nil {
			return r.refuse(r.buf[off:r.used], err)
		}
		if n == 0 {
			break
		}
		off += n
		switch kind {
		case sipmsg.FramePing:
			r.l.metrics.keepAlives.Inc()
			if err := r.write(r.framing.pong()); err != nil {
				return err
			}
		case sipmsg.FrameMessage:
			r.silent = false
			r.l.metrics.received.Inc()
			r.t.opts.Handler.Receive(r.flow, msg)
		}
	}
	if off > 0 {
		r.used = copy(r.buf, r.buf[off:r.used])
		r.since = now
	}
	return nil
}

// fit gives the message under way room to grow, and takes the room back when
// there is none.
func (r *reader) fit() error {
	switch {
	case r.used == 0 && len(r.buf) > initialRead:
		r.release()
		r.buf = make([]byte, initialRead)
	case r.used == len(r.buf):
		size := min(2*len(r.buf), max(r.t.opts.MaxMessage, initialRead))
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

// refuse answers what cannot be framed, if it is a request that can be
// answered, and waits until the peer had a chance to read the answer.
func (r *reader) refuse(buf []byte, cause error) error {
	cause = errors.Join(ErrGarbled, cause)
	m, err := sipmsg.Parse(buf, r.flow.Remote)
	if m == nil || !m.IsRequest() || m.Method() == "ACK" {
		return cause
	}
	if err == nil {
		err = cause // Whole in itself, but without a Content-Length.
	}
	code, phrase, headers := 400, "", []sipmsg.HeaderField(nil)
	var status *sipmsg.StatusError
	if errors.As(err, &status) {
		code, phrase, headers = sipmsg.StatusOf(err)
	}
	reply := m.AppendReply(nil, sipmsg.Reply{Code: code, Reason: phrase, Headers: headers})
	if err := r.send(reply); err != nil {
		return cause
	}
	r.end(cause)
	if err := r.nc.SetReadDeadline(time.Now().Add(lingerTime)); err != nil {
		return cause
	}
	// How the discarded bytes end changes nothing.
	_, _ = io.CopyN(io.Discard, r.nc, lingerBytes)
	return cause
}
