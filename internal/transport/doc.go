// Package transport owns the sockets: it turns bytes from the network into
// whole SIP messages on a flow.Flow, and a Flow back into the socket that
// reaches the peer (RFC 3261 §18, RFC 5626).
//
// A UDP listener is a group of SO_REUSEPORT sockets with one reader each, which
// takes and answers datagrams in batches, and one writer for what is posted; a
// stream listener has an accept loop, and each connection has one reader and,
// while something waits to be written, one writer. Nothing that a client does
// or leaves undone can block another: buffers grow only for a message under
// way, queues and tables are bounded, and what is over a bound is dropped or
// its connection closed.
//
// The package knows the framing of messages but not what they say: parsing,
// transactions and routing belong to its Handler. It makes no DNS query, and
// responses leave by the Flow of their request, never by an address out of a
// Via. internal/app builds it; internal/transaction sends through it.
//
// Behind a load balancer the client's address comes from a PROXY protocol header.
// TLS lies below the stream of a connection, on the connection's own goroutine;
// whom the peer has proven to be by it is a property of the flow (RFC 5922). WS
// and WSS are further framings and handshakes (see framing and stream).
package transport
