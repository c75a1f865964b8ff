package flow

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// samples are flows of every shape that the binary form must carry.
var samples = map[string]Flow{
	"none":     {},
	"udp4":     {Listener: "main", Transport: UDP, Remote: netip.MustParseAddrPort("192.0.2.1:5060")},
	"udp6":     {Listener: "main", Transport: UDP, Remote: netip.MustParseAddrPort("[2001:db8::1]:5060")},
	"mapped":   {Listener: "main", Transport: UDP, Remote: netip.MustParseAddrPort("[::ffff:192.0.2.1]:5060")},
	"tcp":      {Incarnation: 1<<64 - 1, Listener: "tcp", Transport: TCP, Remote: netip.MustParseAddrPort("192.0.2.1:40000"), Conn: 17},
	"node":     {Node: 1<<32 - 1, Incarnation: 9, Listener: "a", Transport: TLS, Remote: netip.MustParseAddrPort("[::1]:1"), Conn: 1 << 63},
	"wss":      {Incarnation: 1, Listener: "edge", Transport: WSS, Remote: netip.MustParseAddrPort("198.51.100.9:65535"), Conn: 1},
	"nowhere":  {Listener: "x", Transport: WS, Incarnation: 3, Conn: 4},
	"nameless": {Transport: UDP, Remote: netip.MustParseAddrPort("0.0.0.0:0")},
	"long":     {Listener: strings.Repeat("n", 255), Transport: UDP, Remote: netip.MustParseAddrPort("192.0.2.1:1")},
}

func TestFlow_BinaryRoundTrip(t *testing.T) {
	for name, f := range samples {
		t.Run(name, func(t *testing.T) {
			b := f.AppendBinary([]byte("before"))
			if !bytes.HasPrefix(b, []byte("before")) {
				t.Fatalf("AppendBinary overwrote what it appends to: %q", b)
			}
			got, rest, err := ParseBinary(append(b[len("before"):], "after"...))
			if err != nil {
				t.Fatalf("ParseBinary: %v", err)
			}
			if got != f {
				t.Errorf("ParseBinary = %+v, want %+v", got, f)
			}
			if string(rest) != "after" {
				t.Errorf("rest = %q, want %q", rest, "after")
			}
		})
	}
}

// The layout is on disks: a change must fail here, and then raise the version.
func TestFlow_BinaryLayout(t *testing.T) {
	for name, want := range map[string]string{
		"none": "\x00",
		"udp4": "\x01\x01\x00\x00\x00\x13\xc4\x04\xc0\x00\x02\x01\x04main",
		"tcp":  "\x01\x02\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x11\x9c\x40\x04\xc0\x00\x02\x01\x03tcp",
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, string(samples[name].AppendBinary(nil))); diff != "" {
				t.Errorf("AppendBinary (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFlow_BinaryDropsZoneAndCutsName(t *testing.T) {
	f := Flow{Listener: strings.Repeat("n", 300), Transport: UDP, Remote: netip.MustParseAddrPort("[fe80::1%eth0]:5060")}
	got, rest, err := ParseBinary(f.AppendBinary(nil))
	if err != nil || len(rest) != 0 {
		t.Fatalf("ParseBinary: %v, %d bytes left", err, len(rest))
	}
	want := Flow{Listener: f.Listener[:255], Transport: UDP, Remote: netip.MustParseAddrPort("[fe80::1]:5060")}
	if got != want {
		t.Errorf("ParseBinary = %+v, want %+v", got, want)
	}
}

func TestParseBinary_Malformed(t *testing.T) {
	whole := string(samples["tcp"].AppendBinary(nil))
	cases := map[string]string{
		"unknown version":        "\x02" + whole[1:],
		"transport zero":         "\x01\x00" + whole[2:],
		"transport unknown":      "\x01\x06" + whole[2:],
		"node over 32 bits":      "\x01\x01\xff\xff\xff\xff\x7f\x00\x00\x00\x00\x00\x00",
		"number over 64 bits":    "\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
		"address of five bytes":  "\x01\x01\x00\x00\x00\x13\xc4\x05\xc0\x00\x02\x01\x01\x00",
		"port without address":   "\x01\x01\x00\x00\x00\x13\xc4\x00\x00",
		"name longer than bytes": "\x01\x01\x00\x00\x00\x13\xc4\x04\xc0\x00\x02\x01\x05main",
	}
	for n := range len(whole) {
		cases["first bytes only: "+whole[:n]] = whole[:n]
	}
	for name, in := range cases {
		t.Run(name, func(t *testing.T) {
			if f, _, err := ParseBinary([]byte(in)); !errors.Is(err, ErrBinary) {
				t.Errorf("ParseBinary(%q) = %v, %v, want ErrBinary", in, f, err)
			}
		})
	}
}

// What parses has one binary form, and that form parses to the same flow.
func FuzzParseBinary(f *testing.F) {
	for _, s := range samples {
		f.Add(s.AppendBinary(nil))
	}
	f.Add([]byte("\x01\x01\x80\x00\x00\x00\x13\xc4\x04\xc0\x00\x02\x01\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		parsed, rest, err := ParseBinary(b)
		if err != nil {
			if !parsed.IsZero() || rest != nil {
				t.Fatalf("ParseBinary(%q) = %v, %q beside %v", b, parsed, rest, err)
			}
			return
		}
		if !bytes.HasSuffix(b, rest) || len(rest) == len(b) {
			t.Fatalf("ParseBinary(%q): rest %q", b, rest)
		}
		again, left, err := ParseBinary(parsed.AppendBinary(nil))
		if err != nil || len(left) != 0 || again != parsed {
			t.Fatalf("ParseBinary(%q) = %+v, and of its form = %+v, %q, %v", b, parsed, again, left, err)
		}
	})
}

func TestFlow_String(t *testing.T) {
	for name, want := range map[string]string{
		"none": "none",
		"udp4": "udp:192.0.2.1:5060@main",
		"udp6": "udp:[2001:db8::1]:5060@main",
		"tcp":  "tcp:192.0.2.1:40000@tcp#17",
	} {
		if got := samples[name].String(); got != want {
			t.Errorf("String() of %s = %q, want %q", name, got, want)
		}
	}
}

func TestFlow_Identity(t *testing.T) {
	a, b := samples["tcp"], samples["tcp"]
	if a != b {
		t.Error("equal flows differ")
	}
	b.Incarnation++
	if a == b {
		t.Error("a connection's flow outlives its incarnation")
	}
	if m := map[Flow]int{a: 1, b: 2}; m[a] != 1 || m[b] != 2 {
		t.Errorf("flows as map keys: %v", m)
	}
}

func TestTransport(t *testing.T) {
	for _, tc := range []struct {
		in             string
		want           Transport
		ok             bool
		stream, secure bool
	}{
		{in: "UDP", want: UDP, ok: true},
		{in: "tcp", want: TCP, ok: true, stream: true},
		{in: "Tls", want: TLS, ok: true, stream: true, secure: true},
		{in: "ws", want: WS, ok: true, stream: true},
		{in: "WSS", want: WSS, ok: true, stream: true, secure: true},
		{in: ""},
		{in: "SCTP"},
		{in: "UDPX"},
		{in: "transport(0)"},
	} {
		t.Run(tc.in, func(t *testing.T) {
			got, ok := ParseTransport(tc.in)
			if got != tc.want || ok != tc.ok {
				t.Fatalf("ParseTransport(%q) = %v, %v, want %v, %v", tc.in, got, ok, tc.want, tc.ok)
			}
			if got.Stream() != tc.stream || got.Secure() != tc.secure {
				t.Errorf("%v: stream %v, secure %v", got, got.Stream(), got.Secure())
			}
			if ok && got.String() != strings.ToUpper(tc.in) {
				t.Errorf("String() = %q", got.String())
			}
		})
	}
	if got := Transport(9).String(); got != "transport(9)" {
		t.Errorf("String() of an unknown transport = %q", got)
	}
}
