package transport

import (
	"encoding/binary"
	"net/netip"
)

// Phones keep their NAT's mapping open, and learn when it has changed, by STUN
// Binding requests to the UDP port that they speak SIP to (RFC 5626 §8). All
// that takes is one kind of message out of RFC 5389, so there is no library: the
// known ones bring DTLS and the whole of ICE along.
//
// A message is a header and attributes:
//
//	type u16 | length of what follows the header u16 | cookie u32 | transaction 96 bits
//	attribute: type u16 | length u16 | value, padded to a multiple of 4
const (
	stunHeader   = 20
	stunCookie   = 0x2112A442
	stunRequest  = 0x0001 // Binding request
	stunResponse = 0x0101 // Binding success response
	stunRefusal  = 0x0111 // Binding error response

	stunErrorCode         = 0x0009
	stunUnknownAttributes = 0x000A
	stunXORMappedAddress  = 0x0020
	// Attributes from here on may be passed over by who does not know them.
	stunOptional = 0x8000
	// A request that proves who sends it carries these. Nothing is protected by
	// it here, so they are not looked at (RFC 5389 §7.3).
	stunUsername, stunIntegrity, stunRealm, stunNonce = 0x0006, 0x0008, 0x0014, 0x0015
)

// appendBinding appends the answer to the STUN Binding request b, which came from
// an address, to dst. ok is false if b is no such request, and gets no answer.
//
// The answer tells the address and nothing else: 12 or 24 bytes are added to the
// 20 of the request. A forged source so gets 1.6 times, by IPv6 2.2 times what
// was sent, and 1.25 or 1.36 times with the headers of UDP and IP.
func appendBinding(dst, b []byte, from netip.AddrPort) (answer []byte, ok bool) {
	if len(b) < stunHeader || binary.BigEndian.Uint16(b) != stunRequest || binary.BigEndian.Uint32(b[4:]) != stunCookie ||
		int(binary.BigEndian.Uint16(b[2:])) != len(b)-stunHeader {
		return dst, false
	}
	unknown, ok := stunUnknown(b[stunHeader:])
	if !ok {
		return dst, false
	}
	start := len(dst)
	dst = append(dst, b[:stunHeader]...)
	if len(unknown) > 0 {
		// RFC 5389 §7.3.1: whoever requires what we do not know is told so.
		binary.BigEndian.PutUint16(dst[start:], stunRefusal)
		dst = appendAttribute(dst, stunErrorCode, 0, 0, 4, 20) // 420, without a phrase.
		dst = appendAttribute(dst, stunUnknownAttributes, unknown...)
	} else {
		binary.BigEndian.PutUint16(dst[start:], stunResponse)
		dst = appendMapped(dst, b[4:stunHeader], from)
	}
	binary.BigEndian.PutUint16(dst[start+2:], uint16(len(dst)-start-stunHeader))
	return dst, true
}

// appendMapped appends XOR-MAPPED-ADDRESS (RFC 5389 §15.2): family u16, port
// u16, address, the latter two XORed with key, the cookie and the transaction, so
// that no NAT rewrites them.
func appendMapped(dst, key []byte, from netip.AddrPort) []byte {
	var value [20]byte
	n := 8
	if addr := from.Addr().Unmap(); addr.Is4() {
		a := addr.As4()
		value[1] = 1
		copy(value[4:], a[:])
	} else {
		a := addr.As16()
		value[1] = 2
		n = copy(value[4:], a[:]) + 4
	}
	binary.BigEndian.PutUint16(value[2:], from.Port())
	for i, k := range key[:2] {
		value[2+i] ^= k
	}
	for i := range value[4:n] {
		value[4+i] ^= key[i]
	}
	return appendAttribute(dst, stunXORMappedAddress, value[:n]...)
}

func appendAttribute(dst []byte, kind uint16, value ...byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, kind)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(value)))
	dst = append(dst, value...)
	for range -len(value) & 3 {
		dst = append(dst, 0)
	}
	return dst
}

// stunUnknown returns the types, as they are sent, of the attributes that must be
// known and are not. ok is false if b is no list of attributes.
func stunUnknown(b []byte) (unknown []byte, ok bool) {
	for len(b) > 0 {
		if len(b) < 4 {
			return nil, false
		}
		kind, length := binary.BigEndian.Uint16(b), (int(binary.BigEndian.Uint16(b[2:]))+3)&^3
		if len(b) < 4+length {
			return nil, false
		}
		switch {
		case kind >= stunOptional:
		case kind == stunUsername, kind == stunIntegrity, kind == stunRealm, kind == stunNonce:
		default:
			unknown = append(unknown, b[:2]...)
		}
		b = b[4+length:]
	}
	return unknown, true
}
