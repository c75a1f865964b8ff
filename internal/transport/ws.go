package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// wsStream is the server's side of SIP over WebSocket (RFC 7118, RFC 6455), on
// TCP or on TLS. There is no client's side: nobody can be connected to by it.
//
// The handshake is HTTP, read here on the connection's own goroutine instead of
// by an HTTP server, whose buffers and goroutine each connection would keep.
type wsStream struct {
	policy   wsPolicy
	buffered *budget
	metrics  *listenerMetrics
}

func newWSStream(o WSOptions, buffered *budget, m *listenerMetrics) (*wsStream, error) {
	p, err := newWSPolicy(o)
	return &wsStream{policy: p, buffered: buffered, metrics: m}, err
}

// handshake implements stream.
func (s *wsStream) handshake(ctx context.Context, nc net.Conn, limit int) (net.Conn, framing, error) {
	deadline, _ := ctx.Deadline()
	if err := nc.SetDeadline(deadline); err != nil {
		return nil, nil, err
	}
	key, err := s.open(nc)
	if no, ok := errors.AsType[*refusal](err); ok {
		s.metrics.handshakeRefused(no.status).Inc()
		if _, writeErr := nc.Write(no.response()); writeErr == nil {
			linger(nc)
		}
		return nil, nil, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	if err == nil {
		_, err = nc.Write(acceptance(key))
	}
	if err == nil {
		err = nc.SetDeadline(time.Time{})
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, nil, fmt.Errorf("%w: %w", ErrSlow, err)
	case err != nil:
		return nil, nil, err
	}
	return nc, &wsFraming{limit: limit, buffered: s.buffered}, nil
}

// open reads the client's handshake and returns its key, or a *refusal.
func (s *wsStream) open(nc net.Conn) (key string, err error) {
	head, rest, err := s.readHead(nc)
	if err != nil {
		return "", err
	}
	return s.policy.check(head, rest)
}

// readHead reads an HTTP request up to the empty line behind its header section,
// and returns what came with it.
func (s *wsStream) readHead(nc net.Conn) (head, rest []byte, err error) {
	buf, used := make([]byte, initialRead), 0
	defer func() { s.buffered.give(len(buf) - initialRead) }()
	for {
		n, err := nc.Read(buf[used:])
		from := max(0, used-len("\r\n\r")) // The empty line may have come in parts.
		used += n
		if used > 0 && (buf[0] < 'A' || buf[0] > 'Z') {
			// No HTTP method; what it is instead, such as TLS, would be waited for in
			// vain.
			return nil, nil, fmt.Errorf("%w: no HTTP", ErrHandshake)
		}
		if end := emptyLine(buf[from:used]); end >= 0 {
			return buf[:from+end], buf[from+end : used], nil
		}
		if err != nil {
			return nil, nil, err
		}
		if used < len(buf) {
			continue
		}
		if len(buf) >= maxHandshake {
			return nil, nil, errHeadTooLong()
		}
		if !s.buffered.take(len(buf)) {
			return nil, nil, ErrBusy
		}
		grown := make([]byte, 2*len(buf))
		copy(grown, buf)
		buf = grown
	}
}
