package hep

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"
)

// A Packet is a message with what is known of its way.
type Packet struct {
	At       time.Time
	Src, Dst netip.AddrPort
	// Stream: it went by a connection; otherwise by UDP.
	Stream bool
	// CaptureID names who has captured it.
	CaptureID uint32
	// Password lets the collector believe us; empty for none.
	Password string
	// CorrelationID ties it to others of the same call; empty for none.
	CorrelationID string
	Payload       string
}

// ErrTooLong says that a packet has more bytes than its length can say.
var ErrTooLong = errors.New("hep: packet longer than 65535 bytes")

// magic begins each packet; behind it is the length of all, of 16 bits.
const (
	magic     = "HEP3"
	headerLen = len(magic) + 2
)

// The chunks of vendor 0. Each is vendor u16 | type u16 | length u16, of the whole chunk |
// value; all numbers are big endian.
const (
	chunkFamily      = 0x0001 // u8: 2 for IPv4, 10 for IPv6
	chunkProtocol    = 0x0002 // u8: 17 for UDP, 6 for TCP
	chunkSrc4        = 0x0003
	chunkDst4        = 0x0004
	chunkSrc6        = 0x0005
	chunkDst6        = 0x0006
	chunkSrcPort     = 0x0007 // u16
	chunkDstPort     = 0x0008 // u16
	chunkSeconds     = 0x0009 // u32
	chunkMicros      = 0x000a // u32
	chunkKind        = 0x000b // u8
	chunkCaptureID   = 0x000c // u32
	chunkPassword    = 0x000e
	chunkPayload     = 0x000f
	chunkCorrelation = 0x0011
)

// Values of chunks.
const (
	familyIPv4  = 2
	familyIPv6  = 10
	protocolTCP = 6
	protocolUDP = 17
	kindSIP     = 1
)

// Append appends the packet to b. The error is ErrTooLong; b is returned as it was then.
func (p *Packet) Append(b []byte) ([]byte, error) {
	start := len(b)
	b = append(b, magic...)
	b = append(b, 0, 0)
	b = p.appendAddresses(b)
	protocol := byte(protocolUDP)
	if p.Stream {
		protocol = protocolTCP
	}
	b = append(chunk(b, chunkProtocol, 1), protocol)
	b = binary.BigEndian.AppendUint32(chunk(b, chunkSeconds, 4), uint32(p.At.Unix()))           //nolint:gosec // Until 2106.
	b = binary.BigEndian.AppendUint32(chunk(b, chunkMicros, 4), uint32(p.At.Nanosecond()/1000)) //nolint:gosec // Below a million.
	b = append(chunk(b, chunkKind, 1), kindSIP)
	b = binary.BigEndian.AppendUint32(chunk(b, chunkCaptureID, 4), p.CaptureID)
	b = appendText(b, chunkPassword, p.Password)
	b = appendText(b, chunkCorrelation, p.CorrelationID)
	if size := len(b) - start + chunkHeader + len(p.Payload); size > 1<<16-1 || len(p.Password)+len(p.CorrelationID) > 1<<15 {
		return b[:start], ErrTooLong
	}
	b = append(chunk(b, chunkPayload, len(p.Payload)), p.Payload...)
	binary.BigEndian.PutUint16(b[start+len(magic):], uint16(len(b)-start))
	return b, nil
}

// appendAddresses appends where the message came from and went to. An address that is not
// known is the unspecified one of the other's family.
func (p *Packet) appendAddresses(b []byte) []byte {
	src, dst := p.Src.Addr().Unmap(), p.Dst.Addr().Unmap()
	if src.Is4() || !src.IsValid() && (dst.Is4() || !dst.IsValid()) {
		b = append(chunk(b, chunkFamily, 1), familyIPv4)
		b = append(chunk(b, chunkSrc4, 4), four(src)...)
		b = append(chunk(b, chunkDst4, 4), four(dst)...)
	} else {
		b = append(chunk(b, chunkFamily, 1), familyIPv6)
		b = append(chunk(b, chunkSrc6, 16), sixteen(src)...)
		b = append(chunk(b, chunkDst6, 16), sixteen(dst)...)
	}
	b = binary.BigEndian.AppendUint16(chunk(b, chunkSrcPort, 2), p.Src.Port())
	return binary.BigEndian.AppendUint16(chunk(b, chunkDstPort, 2), p.Dst.Port())
}

func four(a netip.Addr) []byte {
	if !a.Is4() {
		a = netip.IPv4Unspecified()
	}
	v := a.As4()
	return v[:]
}

func sixteen(a netip.Addr) []byte {
	if !a.IsValid() {
		a = netip.IPv6Unspecified()
	}
	v := a.As16()
	return v[:]
}

// chunkHeader is the length of what stands before the value of a chunk.
const chunkHeader = 6

// chunk appends what stands before a value of n bytes.
func chunk(b []byte, kind uint16, n int) []byte {
	b = binary.BigEndian.AppendUint16(b, 0)
	b = binary.BigEndian.AppendUint16(b, kind)
	return binary.BigEndian.AppendUint16(b, uint16(chunkHeader+n)) //nolint:gosec // Append checks the whole.
}

// appendText appends a chunk unless its value is empty.
func appendText(b []byte, kind uint16, value string) []byte {
	if value == "" {
		return b
	}
	return append(chunk(b, kind, len(value)), value...)
}

// cut takes the first packet off b, which Append has made.
func cut(b []byte) (packet, rest []byte) {
	n := int(binary.BigEndian.Uint16(b[len(magic):]))
	return b[:n], b[n:]
}
