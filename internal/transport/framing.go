package transport

import (
	"context"
	"net"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

// A stream is what a stream transport adds to a connection, or to the TLS on
// it: a handshake and a framing. TCP and TLS have none of the former.
type stream interface {
	// handshake runs on the connection's goroutine, bounded by ctx, before
	// anything else is read, except that TLS comes first. The connection is
	// closed if it fails. The framing accepts no message longer than limit.
	handshake(ctx context.Context, nc net.Conn, limit int) (net.Conn, framing, error)
}

// A framing cuts the bytes of one connection into units.
type framing interface {
	// next examines what was read and not yet consumed: buf starts where the
	// last unit ended, and may be written to. It returns the kind of the first
	// unit and its length in buf, and the message that a message unit carries, or
	// the answer to a ping as it goes onto the wire; msg may be a part of buf. A
	// FrameMore of length 0 means that more bytes are needed, of another that a
	// part of a message has been taken.
	//
	// An error with a length is about that message alone. After another one
	// nothing more can be read. If it is a *sipmsg.StatusError, msg is what can be
	// read of the request at fault, or empty.
	next(buf []byte) (kind sipmsg.FrameKind, n int, msg []byte, err error)
	// partial reports whether a message is under way, with rest left in the buffer
	// after the last call of next.
	partial(rest []byte) bool
	// release gives back what is held of a message under way. It is called when
	// the connection ends.
	release()
	// appendMessage appends msg to dst as it goes onto the wire, and size is the
	// number of bytes that it appends for a message of n bytes.
	appendMessage(dst, msg []byte) []byte
	size(n int) int
	// ping is what the peer answers if it is still there; nil if there is no such
	// thing.
	ping() []byte
	// farewell is what a peer is told last when the connection ends for that cause;
	// nil if it is told nothing. A peer that is told so closes it then.
	farewell(cause error) []byte
}

// maxHeader is the most that a framing puts before a message in the buffer: the
// header of a WebSocket frame.
const maxHeader = 14

// streamOf returns what a listener's transport adds to TCP or TLS.
func (l *listener) streamOf(o ListenerOptions) (stream, error) {
	if o.Transport == flow.WS || o.Transport == flow.WSS {
		return newWSStream(o.WS, &l.t.buffered, l.metrics)
	}
	return plainStream{}, nil
}

// plainStream is SIP right on the connection: TCP, and TLS after its handshake.
type plainStream struct{}

func (plainStream) handshake(_ context.Context, nc net.Conn, limit int) (net.Conn, framing, error) {
	return nc, plainFraming{sipmsg.NewFramer(limit)}, nil
}

// plainFraming finds the end of a message by its Content-Length (RFC 3261
// §18.3). The Framer remembers how far it looked, so that a message in tiny
// segments costs no more than a whole one.
type plainFraming struct{ framer *sipmsg.Framer }

func (f plainFraming) next(buf []byte) (sipmsg.FrameKind, int, []byte, error) {
	kind, n, err := f.framer.Next(buf)
	switch {
	case err != nil:
		return kind, 0, buf[:n], err
	case kind == sipmsg.FramePing:
		// RFC 5626 §4.4.1: a double CRLF is answered by a single one.
		return kind, n, buf[:len("\r\n")], nil
	}
	return kind, n, buf[:n], nil
}

// A single CRLF is no start of a message: it may be a whole pong, or half of a
// keep-alive.
func (plainFraming) partial(rest []byte) bool             { return !blank(rest) }
func (plainFraming) release()                             {}
func (plainFraming) appendMessage(dst, msg []byte) []byte { return append(dst, msg...) }
func (plainFraming) size(n int) int                       { return n }
func (plainFraming) ping() []byte                         { return nil }
func (plainFraming) farewell(error) []byte                { return nil }
