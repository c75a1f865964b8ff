// Package flow names the path on which a peer can be reached.
//
// A Flow is a value without I/O: it can be compared, used as a map key, written
// to disk and sent to another node. internal/transport turns it into a socket.
// RFC 5626 §3.3 uses the word in the same sense.
package flow

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// Transport is a SIP transport protocol (RFC 3261 §18, RFC 7118 §5).
type Transport uint8

// The transports, in the order in which they are encoded. Their numbers are
// written to disk: append only.
const (
	UDP Transport = iota + 1
	TCP
	TLS
	WS
	WSS
)

var transportNames = [...]string{UDP: "UDP", TCP: "TCP", TLS: "TLS", WS: "WS", WSS: "WSS"}

// String returns the upper-case name that a Via header field carries.
func (t Transport) String() string {
	if t >= UDP && t <= WSS {
		return transportNames[t]
	}
	return "transport(" + strconv.Itoa(int(t)) + ")"
}

// Stream reports whether t is carried by a connection that ends and that
// delivers bytes reliably and in order (RFC 3261 §17: no retransmissions).
func (t Transport) Stream() bool { return t >= TCP && t <= WSS }

// Secure reports whether t is protected by TLS.
func (t Transport) Secure() bool { return t == TLS || t == WSS }

// ParseTransport reads a transport's name in any case. ok is false for a name
// that is none of ours.
func ParseTransport(s string) (t Transport, ok bool) {
	for t := UDP; t <= WSS; t++ {
		if strings.EqualFold(s, transportNames[t]) {
			return t, true
		}
	}
	return 0, false
}

// A Flow is the path between one of our listeners and one remote address. The
// zero Flow means "none". Flows are comparable with ==.
//
// A UDP flow consists of the listener and the remote address alone, so that it
// still names the same path after a restart. A connection's flow also carries
// the incarnation of the process and the connection's number: it dies with
// either and never names another connection.
type Flow struct {
	// Node is the number of the node that holds the socket; 0 on a single node.
	Node uint32
	// Incarnation is different in every run of the process; 0 for UDP.
	Incarnation uint64
	// Listener is the configured name of the listener. An outgoing connection
	// carries the name of the listener on whose behalf it was dialled.
	Listener string
	// Transport is the protocol spoken on the flow.
	Transport Transport
	// Remote is the peer's address as our socket sees it.
	Remote netip.AddrPort
	// Conn numbers the connections of one incarnation from 1; 0 for UDP.
	Conn uint64
}

// IsZero reports whether f names no flow.
func (f Flow) IsZero() bool { return f == Flow{} }

// Stream reports whether f is a connection.
func (f Flow) Stream() bool { return f.Transport.Stream() }

// String returns a form for logs: "udp:192.0.2.1:5060@main" or, for a
// connection, "tcp:192.0.2.1:40000@main#17".
func (f Flow) String() string {
	if f.IsZero() {
		return "none"
	}
	s := strings.ToLower(f.Transport.String()) + ":" + f.Remote.String() + "@" + f.Listener
	if f.Conn != 0 {
		s += "#" + strconv.FormatUint(f.Conn, 10)
	}
	return s
}

// Binary layout, version 1:
//
//	version u8 | transport u8 | node uvarint | incarnation uvarint | conn uvarint |
//	port u16 (big endian) | address length u8, address bytes | listener length u8, listener bytes
//
// IPv4 takes 4 address bytes, IPv6 16 (the zone, if any, is not kept: a
// link-local peer does not survive a restart). A zero Flow is the single byte 0.
const binaryVersion = 1

// ErrBinary is returned by ParseBinary for bytes that AppendBinary did not write.
var ErrBinary = errors.New("flow: malformed binary form")

// AppendBinary appends f's binary form to b. A listener name longer than 255
// bytes is cut; the configuration allows 32.
func (f Flow) AppendBinary(b []byte) []byte {
	if f.IsZero() {
		return append(b, 0)
	}
	b = append(b, binaryVersion, byte(f.Transport))
	b = binary.AppendUvarint(b, uint64(f.Node))
	b = binary.AppendUvarint(b, f.Incarnation)
	b = binary.AppendUvarint(b, f.Conn)
	b = binary.BigEndian.AppendUint16(b, f.Remote.Port())
	addr := f.Remote.Addr().WithZone("")
	if addr.Is4() {
		a := addr.As4()
		b = append(append(b, 4), a[:]...)
	} else if addr.IsValid() {
		a := addr.As16()
		b = append(append(b, 16), a[:]...)
	} else {
		b = append(b, 0)
	}
	name := f.Listener[:min(len(f.Listener), 255)]
	return append(append(b, byte(len(name))), name...)
}

// ParseBinary reads a Flow from the start of b and returns the bytes behind it.
func ParseBinary(b []byte) (f Flow, rest []byte, err error) {
	if len(b) == 0 {
		return Flow{}, nil, ErrBinary
	}
	if b[0] == 0 {
		return Flow{}, b[1:], nil
	}
	if b[0] != binaryVersion || len(b) < 2 {
		return Flow{}, nil, ErrBinary
	}
	f.Transport = Transport(b[1])
	if f.Transport < UDP || f.Transport > WSS {
		return Flow{}, nil, ErrBinary
	}
	b = b[2:]
	var numbers [3]uint64
	for i := range numbers {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return Flow{}, nil, ErrBinary
		}
		numbers[i], b = v, b[n:]
	}
	if numbers[0] > 1<<32-1 {
		return Flow{}, nil, ErrBinary
	}
	f.Node, f.Incarnation, f.Conn = uint32(numbers[0]), numbers[1], numbers[2]
	if len(b) < 3 {
		return Flow{}, nil, ErrBinary
	}
	port, n := binary.BigEndian.Uint16(b), int(b[2])
	b = b[3:]
	if len(b) < n+1 {
		return Flow{}, nil, ErrBinary
	}
	if n != 0 {
		addr, ok := netip.AddrFromSlice(b[:n])
		if !ok {
			return Flow{}, nil, ErrBinary
		}
		f.Remote = netip.AddrPortFrom(addr, port)
	} else if port != 0 {
		return Flow{}, nil, ErrBinary
	}
	b = b[n:]
	n = int(b[0])
	if len(b) < n+1 {
		return Flow{}, nil, ErrBinary
	}
	f.Listener = string(b[1 : n+1])
	return f, b[n+1:], nil
}
