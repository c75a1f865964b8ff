package transport

import "errors"

// Errors of Send and Connect, and causes given to Handler.FlowClosed.
var (
	// ErrFlowDead says that the flow's connection or listener is gone; it will
	// not come back under this Flow.
	ErrFlowDead = errors.New("flow is dead")
	// ErrQueueFull says that the peer does not read what was sent; its
	// connection is closed.
	ErrQueueFull = errors.New("write queue is full")
	// ErrTooLong says that a message exceeds what the transport carries.
	ErrTooLong = errors.New("message is too long")
	// ErrNoListener says that no listener speaks the transport and the address
	// family of a peer.
	ErrNoListener = errors.New("no listener reaches this address")
	// ErrBusy says that a bound on connections, dials or buffers is reached.
	ErrBusy = errors.New("too many connections")
	// ErrStopped says that the Transport was stopped.
	ErrStopped = errors.New("transport is stopped")
	// ErrIdle says that a peer sent nothing for IdleTimeout, and was not held.
	ErrIdle = errors.New("connection was idle")
	// ErrTLS says that the TLS handshake failed: the two sides do not agree, or a
	// certificate was not accepted.
	ErrTLS = errors.New("TLS handshake failed")
	// ErrHandshake says that a WebSocket handshake was refused.
	ErrHandshake = errors.New("handshake was refused")
	// ErrSlow says that a peer took longer than HandshakeTimeout or
	// MessageTimeout for a handshake or a message.
	ErrSlow = errors.New("message did not arrive in time")
	// ErrGarbled says that a stream carried something that is not SIP, after
	// which no message boundary can be trusted.
	ErrGarbled = errors.New("stream is garbled")
)
