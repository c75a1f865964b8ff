package transport

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"reveille/flow"
)

// transaction is the one of RFC 5769 §2.
const transaction = "b7e7a701bc34d686fa87dfae"

// binding is a STUN Binding request with attributes in hexadecimal.
func binding(t testing.TB, attributes string) []byte {
	t.Helper()
	a := unhex(t, attributes)
	b := binary.BigEndian.AppendUint16([]byte{0, 1}, uint16(len(a)))
	return append(append(b, unhex(t, "2112a442"+transaction)...), a...)
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSTUN_Binding_RFC5389_7_3 takes its addresses and their coded forms from the
// test vectors of RFC 5769 §2.2 and §2.3.
func TestSTUN_Binding_RFC5389_7_3(t *testing.T) {
	const (
		v4     = "192.0.2.1:32853"
		v6     = "[2001:db8:1234:5678:11:2233:4455:6677]:32853"
		mapped = "0020 0008 0001a147 e112a643"
	)
	for _, tc := range []struct {
		name    string
		request []byte
		from    string
		want    string // type, length, and attributes; empty: no answer
	}{
		{name: "IPv4", request: binding(t, ""), from: v4, want: "0101 000c" + mapped},
		{name: "IPv4 mapped", request: binding(t, ""), from: "[::ffff:192.0.2.1]:32853", want: "0101 000c" + mapped},
		{name: "IPv6", request: binding(t, ""), from: v6, want: "0101 0018 0020 0014 0002a147 0113a9faa5d3f179bc25f4b5bed2b9d9"},
		{name: "software and fingerprint", request: binding(t, "8022 0003 61626300 8028 0004 00000000"), from: v4, want: "0101 000c" + mapped},
		{name: "a password that nobody asked for", request: binding(t, "0006 0001 61000000 0008 0014"+strings.Repeat("00", 20)), from: v4, want: "0101 000c" + mapped},
		{name: "required and unknown", request: binding(t, "0024 0004 6e0001ff"), from: v4, want: "0111 0010 0009 0004 00000414 000a 0002 00240000"},
		{name: "two of them", request: binding(t, "0024 0000 0025 0000"), from: v4, want: "0111 0010 0009 0004 00000414 000a 0004 00240025"},
		{name: "response", request: append([]byte{1, 1}, binding(t, "")[2:]...), from: v4},
		{name: "indication", request: append([]byte{0, 0x11}, binding(t, "")[2:]...), from: v4},
		{name: "other method", request: append([]byte{0, 3}, binding(t, "")[2:]...), from: v4},
		{name: "no cookie", request: make([]byte, 20), from: v4},
		{name: "short", request: binding(t, "")[:19], from: v4},
		{name: "one byte", request: []byte{0}, from: v4},
		{name: "longer than it says", request: append(binding(t, ""), 0, 0, 0, 0), from: v4},
		{name: "shorter than it says", request: binding(t, "8022 0004 61626364")[:24], from: v4},
		{name: "attribute beyond the end", request: binding(t, "8022 0008 61626364"), from: v4},
		{name: "half an attribute", request: binding(t, "8022"), from: v4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := appendBinding([]byte("x"), tc.request, netip.MustParseAddrPort(tc.from))
			want := []byte("x")
			if tc.want != "" {
				w := unhex(t, tc.want)
				want = append(append(append(want, w[:4]...), unhex(t, "2112a442"+transaction)...), w[4:]...)
			}
			if ok != (tc.want != "") || !bytes.Equal(got, want) {
				t.Errorf("appendBinding = %x, %v, want %x", got, ok, want)
			}
		})
	}
}

// FuzzSTUN checks that an answer is well formed, tells the address, and amplifies
// no more than appendBinding says.
func FuzzSTUN(f *testing.F) {
	f.Add(binding(f, ""), true)
	f.Add(binding(f, "8022 0003 61626300"), false)
	f.Add(binding(f, "0024 0000 0025 0000 0026 0000"), true)
	f.Fuzz(func(t *testing.T, b []byte, six bool) {
		from, most := netip.MustParseAddrPort("192.0.2.1:32853"), 1.6
		if six {
			from, most = netip.MustParseAddrPort("[2001:db8::1]:32853"), 2.2
		}
		request := bytes.Clone(b)
		got, ok := appendBinding(nil, b, from)
		if !bytes.Equal(request, b) {
			t.Error("the request was changed")
		}
		if !ok {
			if len(got) > 0 {
				t.Errorf("an answer without being one: %x", got)
			}
			return
		}
		if len(got) < stunHeader || int(binary.BigEndian.Uint16(got[2:])) != len(got)-stunHeader || len(got)%4 != 0 || !bytes.Equal(got[4:20], b[4:20]) {
			t.Fatalf("malformed answer %x to %x", got, b)
		}
		if _, ok := stunUnknown(got[stunHeader:]); !ok {
			t.Errorf("malformed attributes in %x", got)
		}
		if f := float64(len(got)) / float64(len(b)); f > most {
			t.Errorf("%d bytes are answered by %d: %.2f times as many, want at most %v", len(b), len(got), f, most)
		}
		if binary.BigEndian.Uint16(got) == stunResponse {
			back := append([]byte(nil), got[24:]...)
			for i := range back[2:] {
				k := i
				if i >= 2 {
					k = i - 2
				}
				back[2+i] ^= got[4+k]
			}
			addr, _ := netip.AddrFromSlice(back[4:])
			if netip.AddrPortFrom(addr, binary.BigEndian.Uint16(back[2:])) != from {
				t.Errorf("told %v, want %v", addr, from)
			}
		}
	})
}

func TestSTUN_OnTheSIPPort_RFC5626_8(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, b *bench) {
		for _, tc := range []struct{ from, to string }{
			{"192.0.2.50", server4 + ":5060"},
			{"2001:db8::50", "[" + server6 + "]:5060"},
		} {
			phone := b.phone(tc.from)
			sendTo(t, phone, tc.to, string(binding(t, "")))
			got, from := heard(t, phone)
			at := netip.AddrPortFrom(netip.MustParseAddr(tc.from), 5060)
			want, _ := appendBinding(nil, binding(t, ""), at)
			if got != string(want) || from != tc.to {
				t.Errorf("%s was answered %x by %s", tc.from, got, from)
			}
			f := flow.Flow{Listener: "udp", Transport: flow.UDP, Remote: at}
			if !b.Alive(f, time.Now()) {
				t.Error("a keep-alive does not show that the peer is there")
			}
			// What is no request gets no answer, so that two servers do not talk for ever.
			sendTo(t, phone, tc.to, got)
			sendTo(t, phone, tc.to, "\x00\x01")
			if got, _ := heard(t, phone); got != "" {
				t.Errorf("answered %x", got)
			}
		}
		if got := b.take(); len(got) != 0 {
			t.Errorf("handed on: %q", got)
		}
	})
}
