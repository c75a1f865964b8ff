package hep

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// decode reads a packet as the specification describes it: a header with the length of
// all, then chunks in any order.
func decode(b []byte) (Packet, error) {
	var p Packet
	if len(b) < 6 || string(b[:4]) != "HEP3" || int(binary.BigEndian.Uint16(b[4:])) != len(b) {
		return p, fmt.Errorf("header %q of %d bytes", b[:min(6, len(b))], len(b))
	}
	var src, dst netip.Addr
	var srcPort, dstPort uint16
	var seconds, micros uint32
	family, kind := byte(0), byte(0)
	for b = b[6:]; len(b) > 0; {
		if len(b) < 6 {
			return p, fmt.Errorf("chunk of %d bytes", len(b))
		}
		vendor, id, n := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), int(binary.BigEndian.Uint16(b[4:]))
		if vendor != 0 || n < 6 || n > len(b) {
			return p, fmt.Errorf("chunk %d.%d of %d bytes", vendor, id, n)
		}
		v := b[6:n]
		b = b[n:]
		want := map[uint16]int{1: 1, 2: 1, 3: 4, 4: 4, 5: 16, 6: 16, 7: 2, 8: 2, 9: 4, 10: 4, 11: 1, 12: 4}[id]
		if want != 0 && len(v) != want {
			return p, fmt.Errorf("chunk %d has %d bytes", id, len(v))
		}
		switch id {
		case 1:
			family = v[0]
		case 2:
			p.Stream = v[0] == 6
		case 3, 5:
			src, _ = netip.AddrFromSlice(v)
		case 4, 6:
			dst, _ = netip.AddrFromSlice(v)
		case 7:
			srcPort = binary.BigEndian.Uint16(v)
		case 8:
			dstPort = binary.BigEndian.Uint16(v)
		case 9:
			seconds = binary.BigEndian.Uint32(v)
		case 10:
			micros = binary.BigEndian.Uint32(v)
		case 11:
			kind = v[0]
		case 12:
			p.CaptureID = binary.BigEndian.Uint32(v)
		case 14:
			p.Password = string(v)
		case 15:
			p.Payload = string(v)
		case 17:
			p.CorrelationID = string(v)
		default:
			return p, fmt.Errorf("chunk %d", id)
		}
	}
	if kind != 1 || micros > 999_999 || src.Is4() != (family == 2) || dst.Is4() != (family == 2) || src.Is6() != (family == 10) {
		return p, fmt.Errorf("kind %d, %d µs, family %d of %s and %s", kind, micros, family, src, dst)
	}
	p.At = time.Unix(int64(seconds), int64(micros)*1000)
	p.Src, p.Dst = netip.AddrPortFrom(src, srcPort), netip.AddrPortFrom(dst, dstPort)
	return p, nil
}

func example() Packet {
	return Packet{
		At: time.Unix(1_767_323_045, 123_456_789), Src: netip.MustParseAddrPort("192.0.2.9:5060"), Dst: netip.MustParseAddrPort("192.0.2.1:5061"),
		Stream: true, CaptureID: 2001, Password: "pw", CorrelationID: "c1", Payload: "OPTIONS sip:a SIP/2.0\r\n\r\n",
	}
}

func TestPacket_Golden(t *testing.T) {
	p := example()
	b, err := p.Append([]byte("before"))
	if err != nil {
		t.Fatal(err)
	}
	want := hex.EncodeToString([]byte("before")) + strings.Join([]string{
		"48455033" + "008c",             // HEP3, 140 bytes
		"0000" + "0001" + "0007" + "02", // IPv4
		"0000" + "0003" + "000a" + "c0000209",
		"0000" + "0004" + "000a" + "c0000201",
		"0000" + "0007" + "0008" + "13c4",
		"0000" + "0008" + "0008" + "13c5",
		"0000" + "0002" + "0007" + "06", // TCP
		"0000" + "0009" + "000a" + "695735a5",
		"0000" + "000a" + "000a" + "0001e240",
		"0000" + "000b" + "0007" + "01", // SIP
		"0000" + "000c" + "000a" + "000007d1",
		"0000" + "000e" + "0008" + "7077",
		"0000" + "0011" + "0008" + "6331",
		"0000" + "000f" + "001f" + hex.EncodeToString([]byte(p.Payload)),
	}, "")
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPacket_Addresses(t *testing.T) {
	for _, tc := range []struct{ src, dst, wantSrc, wantDst string }{
		{"192.0.2.1:1", "192.0.2.2:2", "192.0.2.1:1", "192.0.2.2:2"},
		{"[2001:db8::1]:1", "[2001:db8::2]:2", "[2001:db8::1]:1", "[2001:db8::2]:2"},
		{"[::ffff:192.0.2.1]:1", "192.0.2.2:2", "192.0.2.1:1", "192.0.2.2:2"},
		{"", "192.0.2.2:2", "0.0.0.0:0", "192.0.2.2:2"},
		{"[2001:db8::1]:1", "", "[2001:db8::1]:1", "[::]:0"},
		{"", "", "0.0.0.0:0", "0.0.0.0:0"},
	} {
		var p Packet
		p.Src, _ = netip.ParseAddrPort(tc.src)
		p.Dst, _ = netip.ParseAddrPort(tc.dst)
		b, err := p.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(b)
		if err != nil || got.Src.String() != tc.wantSrc || got.Dst.String() != tc.wantDst {
			t.Errorf("%q to %q: %v to %v, %v", tc.src, tc.dst, got.Src, got.Dst, err)
		}
	}
}

func TestPacket_TooLong(t *testing.T) {
	for _, p := range []Packet{{Payload: strings.Repeat("x", 65500)}, {Password: strings.Repeat("x", 70000)}, {CorrelationID: strings.Repeat("x", 65536+5)}} {
		if b, err := p.Append([]byte("before")); !errors.Is(err, ErrTooLong) || string(b) != "before" {
			t.Errorf("Append = %d bytes, %v", len(b), err)
		}
	}
}

// FuzzPacket_RoundTrip: what a collector reads is what was packed.
func FuzzPacket_RoundTrip(f *testing.F) {
	f.Add(int64(1), []byte{192, 0, 2, 1}, []byte{192, 0, 2, 2}, uint16(5060), uint16(5061), true, uint32(1), "pw", "c", "x")
	f.Add(int64(1<<40), make([]byte, 16), []byte{}, uint16(0), uint16(1), false, uint32(0), "", "", "")
	f.Fuzz(func(t *testing.T, at int64, src, dst []byte, srcPort, dstPort uint16, stream bool, id uint32, password, call, payload string) {
		s, _ := netip.AddrFromSlice(src)
		d, _ := netip.AddrFromSlice(dst)
		want := Packet{
			At: time.Unix(at&(1<<32-1), at&(1<<19-1)*1000), Src: netip.AddrPortFrom(s, srcPort), Dst: netip.AddrPortFrom(d, dstPort),
			Stream: stream, CaptureID: id, Password: password, CorrelationID: call, Payload: payload,
		}
		b, err := want.Append(nil)
		if err != nil {
			if len(payload)+len(password)+len(call) < 32000 {
				t.Fatal(err)
			}
			return
		}
		got, err := decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Packet{}, "Src", "Dst")); diff != "" {
			t.Error(diff)
		}
		if s.IsValid() && s.Unmap().Is4() && got.Src != netip.AddrPortFrom(s.Unmap(), srcPort) {
			t.Errorf("from %v, want %v", got.Src, want.Src)
		}
		if packet, rest := cut(append(b, 1, 2, 3)); len(packet) != len(b) || len(rest) != 3 {
			t.Errorf("cut %d and %d", len(packet), len(rest))
		}
	})
}
