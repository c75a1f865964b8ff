package transport

import (
	"context"
	"net"

	"reveille/internal/sipmsg"
)

// A stream is what a stream transport adds to a connection: a handshake and a
// framing. TCP has none of the former; TLS will return a net.Conn of its own,
// WebSocket a framing of its own.
type stream interface {
	// handshake runs on the connection's goroutine, bounded by ctx, before
	// anything else is read. The connection is closed if it fails.
	handshake(ctx context.Context, nc net.Conn) (net.Conn, framing, error)
}

// A framing cuts the bytes of one connection into units.
type framing interface {
	// next examines what was read and not yet consumed. It returns the kind of
	// the first unit and its length in buf, or 0 if more bytes are needed, and
	// the message that a message unit carries, which may be a part of buf and is
	// not longer than limit. After an error, a *sipmsg.StatusError, nothing more
	// can be read; msg is then the header section at fault, or empty.
	next(buf []byte, limit int) (kind sipmsg.FrameKind, n int, msg []byte, err error)
	// appendMessage appends msg to dst as it goes onto the wire.
	appendMessage(dst, msg []byte) []byte
	// pong is the answer to a keep-alive.
	pong() []byte
}

// plainStream is SIP right on the connection: TCP, and TLS after its handshake.
type plainStream struct{}

func (plainStream) handshake(_ context.Context, nc net.Conn) (net.Conn, framing, error) {
	return nc, plainFraming{}, nil
}

// plainFraming finds the end of a message by its Content-Length (RFC 3261
// §18.3).
type plainFraming struct{}

func (plainFraming) next(buf []byte, limit int) (sipmsg.FrameKind, int, []byte, error) {
	kind, n, err := sipmsg.Frame(buf, limit)
	return kind, n, buf[:n], err
}

func (plainFraming) appendMessage(dst, msg []byte) []byte { return append(dst, msg...) }

// RFC 5626 §4.4.1: a double CRLF is answered by a single one.
func (plainFraming) pong() []byte { return []byte("\r\n") }
