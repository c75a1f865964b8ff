package sipmsg

import (
	"strings"
	"testing"
	"unsafe"
)

// benchRegister is a REGISTER of a sleeping phone as they come: 855 bytes.
var benchRegister = func() string {
	head := crlf(
		"REGISTER sip:home.example.net SIP/2.0",
		"Via: SIP/2.0/UDP 198.51.100.23:49152;branch=z9hG4bK-524287-1---5d3f2a7c1e9b8d40;rport",
		"Max-Forwards: 70",
		"From: <sip:erin@home.example.net>;tag=b1c7f05a",
		"To: <sip:erin@home.example.net>",
		"Call-ID: 8f1d2c3b-77aa-4e0e-9d52-0c6a5b1e2f3d",
		"CSeq: 24 REGISTER",
		"Contact: <sip:erin@198.51.100.23:49152;pn-provider=apns;pn-param=A1B2C3D4E5.org.example.phone.voip;"+
			"pn-prid=00fc13adff78512c0f5d0e8a34f3b9a7d2c1e0f99a8b7c6d5e4f3a2b1c0d9e8f;transport=udp>"+
			";+sip.instance=\"<urn:uuid:5f2b1c7a-0e6d-4b8f-9a3c-1d2e3f4a5b6c>\"",
		"Supported: path, gruu, outbound",
		"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, MESSAGE, UPDATE, NOTIFY",
		"User-Agent: Phone/1.2 (device; os 17.0)",
		"Expires: 600",
		"Content-Length: 0",
		"", "")
	pad := 855 - len(head)
	return strings.Replace(head, "(device;", "(device"+strings.Repeat("x", max(0, pad))+";", 1)
}()

var benchInvite = crlf(
	"INVITE sip:erin@home.example.net SIP/2.0",
	"Via: SIP/2.0/TCP edge.example.org:5060;branch=z9hG4bK77ef4c2312983.1",
	"Via: SIP/2.0/UDP 203.0.113.9:5060;branch=z9hG4bKnashds8;received=203.0.113.9;rport=5060",
	"Record-Route: <sip:edge.example.org;lr>",
	"Max-Forwards: 69",
	"From: \"Frank\" <sip:frank@example.org>;tag=1928301774",
	"To: <sip:erin@home.example.net>",
	"Call-ID: a84b4c76e66710@203.0.113.9",
	"CSeq: 314159 INVITE",
	"Contact: <sip:frank@203.0.113.9:5060;transport=udp>",
	"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS",
	"Supported: replaces, timer",
	"Content-Type: application/sdp",
	"Content-Length: 282",
	"",
	"v=0\r\no=- 1 1 IN IP4 203.0.113.9\r\n"+strings.Repeat("a=candidate\r\n", 19)+"xx")

func BenchmarkScan(b *testing.B) {
	var s Scan
	b.SetBytes(int64(len(benchRegister)))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Parse(benchRegister); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for name, raw := range map[string]string{"REGISTER": benchRegister, "INVITE": benchInvite} {
		b.Run(name, func(b *testing.B) {
			data := []byte(raw)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(data, testSource); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// forward makes the edits of a home proxy.
func forward(m *Message, dst []byte) []byte {
	e := m.Edit()
	e.SetRequestURI("sip:erin@198.51.100.23:49152;transport=udp")
	e.StampVia()
	e.PushVia("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKproxy0123456789")
	e.PushRecordRoute("<sip:192.0.2.1:5060;lr;tk=0123456789abcdef0123456789abcdef>")
	e.SetMaxForwards(68)
	return e.Append(dst)
}

func BenchmarkForward(b *testing.B) {
	m, err := Parse([]byte(benchInvite), testSource)
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		dst = forward(m, dst[:0])
	}
}

func BenchmarkReply(b *testing.B) {
	m, err := Parse([]byte(benchRegister), testSource)
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		dst = m.AppendReply(dst[:0], Reply{Code: 200, ToTag: "1a2b3c4d"})
	}
}

func BenchmarkURIEqual(b *testing.B) {
	u, _ := ParseURI("sip:%65rin@198.51.100.23:49152;pn-provider=apns;pn-prid=00fc13adff78512c;transport=udp")
	v, _ := ParseURI("sip:erin@198.51.100.23:49152;transport=UDP;pn-prid=00FC13adff78512c;pn-provider=apns")
	b.ReportAllocs()
	for b.Loop() {
		if !u.Equal(v) {
			b.Fatal("not equal")
		}
	}
}

// TestScan_AllocatesNothing guards what the fast path builds on.
func TestScan_AllocatesNothing(t *testing.T) {
	var s Scan
	n := testing.AllocsPerRun(100, func() {
		if err := s.Parse(benchInvite); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("Scan.Parse allocates %v times, want 0", n)
	}
}

// TestMessage_Memory holds an INVITE of 900 bytes to 2 KB beyond its bytes.
func TestMessage_Memory(t *testing.T) {
	m := mustParse(t, benchInvite)
	size := int(unsafe.Sizeof(*m)) +
		cap(m.headers)*int(unsafe.Sizeof(headerSpan{})) +
		cap(m.addrs)*int(unsafe.Sizeof(NameAddr{})) +
		cap(m.vias)*int(unsafe.Sizeof(Via{}))
	if size > 2048 {
		t.Errorf("an INVITE of %d bytes costs %d bytes beyond them, want at most 2048", len(m.Raw()), size)
	}
	t.Logf("INVITE of %d bytes: %d bytes beyond them", len(m.Raw()), size)
	if n := testing.AllocsPerRun(100, func() { mustParse(t, benchRegister) }); n > 8 {
		t.Errorf("Parse allocates %v times, want at most 8", n)
	}
}
