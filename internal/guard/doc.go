// Package guard keeps out those who have no business here, and keeps those who
// have from taking more than their share. It stands between the sockets and
// everything else, and is asked about every message before it is read.
//
// A source is an IPv4 address or the /64 network of an IPv6 address. Each may
// send so many messages a second (Source), and each address-of-record may be
// registered and called so often (Registers, Calls). Requests that look like a
// scan are dropped without an answer (Screen). A source that fails to
// authenticate too often, or goes on scanning, is banned for a while: all of its
// messages are dropped.
//
// A datagram's source can be forged, so a ban must not become a way to lock
// others out. Three rules see to that:
//
//   - A source that is exempt is never limited and never banned.
//   - A source from which somebody is registered is never banned, only limited:
//     Options.Registered is asked before each ban.
//   - What datagrams did bans datagrams only. The source can still connect.
//
// All that a message of a stranger leaves behind lies in tables of fixed size.
// The package decides and counts; it sends nothing, and app asks it.
package guard
