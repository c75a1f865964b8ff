package transport

import (
	"context"
	"net"
	"time"

	"reveille/flow"
)

// This file holds what a Transport needs of others.

// Network is where sockets come from: the machine's (Real) or a pretend one
// (internal/memnet). The network names are those of package net: "udp4",
// "tcp6", or "udp" and "tcp" for both address families.
type Network interface {
	// ListenPacket binds a datagram socket. With reuseport several sockets may
	// share addr; all datagrams of one peer must then arrive at the same socket.
	ListenPacket(ctx context.Context, network, addr string, reuseport bool) (net.PacketConn, error)
	// Listen binds a stream listener.
	Listen(ctx context.Context, network, addr string) (net.Listener, error)
	// DialContext connects to addr from laddr ("host:0", or "" for any).
	DialContext(ctx context.Context, network, laddr, addr string) (net.Conn, error)
}

// Handler takes what arrives. Its methods are called from the readers of many
// flows at once.
type Handler interface {
	// Receive is called in order for the messages of one flow. b is valid only
	// during the call. While it blocks, its socket or connection is not read. came
	// is when it arrived: a datagram may have waited in its socket's buffer, which
	// the system tells on Linux; of other messages it is when they were read.
	Receive(f flow.Flow, b []byte, came time.Time)
	// FlowClosed is called once for each connection, after its last Receive.
	// err is the cause: io.EOF if the peer closed in good order, one of this
	// package's errors, or that of the socket.
	FlowClosed(f flow.Flow, err error)
}

// An Answerer answers simple requests on the spot. Its method is called from
// the readers of many flows at once.
type Answerer interface {
	// Answer may answer the message b, which arrived on f: it returns out with
	// the answer appended, and true if it took the message. A message that was
	// taken without an answer is answered later by Post, or never. b and out are
	// valid during the call only. While it blocks, its socket or connection is
	// not read.
	Answer(f flow.Flow, b, out []byte) (answer []byte, taken bool)
}
