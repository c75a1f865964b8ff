package transport

import (
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// send queues the message b.
func (c *conn) send(b []byte) error { return c.enqueue(b, true) }

// write queues bytes that are not a message.
func (c *conn) write(b []byte) error { return c.enqueue(b, false) }

func (c *conn) enqueue(b []byte, message bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return ErrFlowDead
	}
	n := len(b)
	if message {
		n = c.framing.size(n)
	}
	if c.queued+n > c.t.opts.WriteQueue {
		// The peer does not read. What it missed is lost anyway, so let it find
		// out and connect again.
		c.closeLocked(ErrQueueFull)
		return ErrQueueFull
	}
	if !c.t.buffered.take(charged(c.queued+n) - charged(c.queued)) {
		return ErrBusy // No fault of this peer: it stays connected.
	}
	c.queued += n
	if message {
		c.pending = c.framing.appendMessage(c.pending, b)
	} else {
		c.pending = append(c.pending, b...)
	}
	c.startWriter()
	return nil
}

// startWriter starts drain unless it runs. c.mu is held and the connection
// open, so that the reader is there to keep the wait group from reaching zero.
func (c *conn) startWriter() {
	if c.writing {
		return
	}
	c.writing = true
	c.t.wg.Go(c.drain)
}

// drain writes until nothing is pending or the connection ends.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pending) > 0 && !c.closed {
		out := c.pending
		c.pending = nil
		c.mu.Unlock()
		err := c.nc.SetWriteDeadline(time.Now().Add(c.t.opts.WriteTimeout))
		if err == nil {
			_, err = c.nc.Write(out)
		}
		c.mu.Lock()
		c.credit(len(out))
		if err != nil {
			c.closeLocked(err)
		}
	}
	if c.flush && !c.closed {
		c.goodbye()
	}
	c.writing = false
	if c.flush {
		c.closeLocked(c.cause)
	}
}

// goodbye ends TLS in good order, so that the peer can tell the end from a cut
// (RFC 5246 §7.2.1, RFC 8446 §6.1). Nothing is queued any more. c.mu is held, but
// not while this waits for the peer, 5 s at most; closing the socket ends that.
func (c *conn) goodbye() {
	c.mu.Unlock()
	endTLS(c.nc)
	c.mu.Lock()
}

// endTLS sends a close_notify if nc is TLS.
func endTLS(nc net.Conn) {
	if tc, secure := nc.(*tls.Conn); secure {
		// The connection ends in any case.
		_ = tc.CloseWrite()
	}
}

// depart ends the connection for its reader, in good order unless it has failed or
// the peer does not even read what was sent before.
func (c *conn) depart(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		c.cause = cause
	}
	if _, failed := errors.AsType[net.Error](cause); !failed && !c.writing && !c.closed {
		c.goodbye()
	}
	c.closeLocked(cause)
}

// freeQueue is what every connection may queue outside the budget, so that
// peers that read are served while others, who do not, use it up. It holds an
// INVITE and the answers to a few requests.
const freeQueue = 4096

// charged returns how much of so many queued bytes is taken from the budget.
func charged(queued int) int { return max(queued-freeQueue, 0) }

// credit takes n written or dropped bytes off the queue. c.mu is held.
func (c *conn) credit(n int) {
	c.t.buffered.give(charged(c.queued) - charged(c.queued-n))
	c.queued -= n
}

// close ends the connection at once. The first cause stays.
func (c *conn) close(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeLocked(cause)
}

func (c *conn) closeLocked(cause error) {
	if c.cause == nil {
		c.cause = cause
	}
	if c.closed {
		return
	}
	c.closed = true
	c.credit(len(c.pending))
	c.pending = nil
	// The peer may have closed first; there is nobody to tell.
	_ = c.socket.Close()
}

// finish ends the connection as soon as the queue is written or, if the peer is
// told so, as soon as that closes it.
func (c *conn) finish(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bidLocked(cause) {
		return
	}
	if c.cause == nil {
		c.cause = cause
	}
	c.flush = true
	switch _, secure := c.nc.(*tls.Conn); {
	case c.writing:
	case secure && !c.closed:
		c.startWriter() // It says goodbye.
	default:
		c.closeLocked(cause)
	}
}

// bid queues the framing's farewell, and no more after it; with flush the
// connection is closed when it is written. It reports whether there is one.
func (c *conn) bid(cause error, flush bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.bidLocked(cause) {
		return false
	}
	c.flush = flush
	return true
}

func (c *conn) bidLocked(cause error) bool {
	if c.cause != nil || c.framing == nil {
		return false
	}
	last := c.framing.farewell(cause)
	if len(last) == 0 || !c.t.buffered.take(charged(c.queued+len(last))-charged(c.queued)) {
		return false
	}
	c.queued += len(last)
	c.pending = append(c.pending, last...)
	c.cause = cause
	c.startWriter()
	return true
}

// end lets the queue be written and queues no more; the connection stays open.
func (c *conn) end(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		c.cause = cause
	}
}
