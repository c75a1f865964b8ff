package transport

import (
	"context"
	"net"

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
	// last unit ended. It returns the kind of the first unit and its length in
	// buf, or 0 if more bytes are needed, and the message that a message unit
	// carries, which may be a part of buf. After an error, a
	// *sipmsg.StatusError, nothing more can be read; msg is then the header
	// section at fault, or empty.
	next(buf []byte) (kind sipmsg.FrameKind, n int, msg []byte, err error)
	// appendMessage appends msg to dst as it goes onto the wire.
	appendMessage(dst, msg []byte) []byte
	// pong is the answer to a keep-alive.
	pong() []byte
}

// streamOf returns what a listener's transport adds to TCP or TLS.
func streamOf(ListenerOptions) stream { return plainStream{} }

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
	return kind, n, buf[:n], err
}

func (plainFraming) appendMessage(dst, msg []byte) []byte { return append(dst, msg...) }

// RFC 5626 §4.4.1: a double CRLF is answered by a single one.
func (plainFraming) pong() []byte { return []byte("\r\n") }
