package sipmsg

import (
	"net/netip"
	"strings"
	"testing"
)

var plainSource = netip.MustParseAddrPort("198.51.100.99:6000")

// checkPlain holds Plain to Parse: what it takes, Parse takes with the same
// values and answers with the same bytes. It reports whether Plain took raw.
func checkPlain(t *testing.T, raw, method string) bool {
	t.Helper()
	var p Plain
	if !p.Read([]byte(raw), method) {
		return false
	}
	m, err := Parse([]byte(raw), plainSource)
	if err != nil {
		t.Fatalf("Plain takes what Parse refuses with %v:\n%s", err, raw)
	}
	if m.Method() != method || m.RequestURI() != p.uri || m.TopVia() != p.via || len(m.Vias()) != 1 || m.From() != p.from || m.To() != p.to ||
		len(m.Contacts()) != 1 || m.Contacts()[0] != p.contact || m.CallID() != p.callID || m.CSeq() != p.cseq || m.ContactStar() || m.Body() != "" {
		t.Fatalf("Plain reads %+v\nof\n%s", p, raw)
	}
	for _, id := range [...]HeaderID{HdrRoute, HdrRequire, HdrPath, HdrFeatureCaps, HdrRecordRoute, HdrProxyRequire} {
		if m.Has(id) {
			t.Fatalf("Plain takes a request with %v:\n%s", id, raw)
		}
	}
	for _, id := range [...]HeaderID{HdrExpires, HdrUserAgent, HdrAuthorization} {
		v, ok := p.Header(id)
		if w, has := m.Header(id); v != w || ok != has {
			t.Fatalf("%v: %q, %v; Parse has %q, %v", id, v, ok, w, has)
		}
	}
	if aor, ok := p.AOR(); ok {
		if want, err := CanonicalAOR(m.To().URI); err != nil || want != aor {
			t.Fatalf("AOR %q, want %q, %v", aor, want, err)
		}
	}
	want := string(m.AppendReply(nil, Reply{Code: 200, ToTag: "tag", Headers: []HeaderField{{"X", "y"}}}))
	got := p.AppendReplyEnd(append(p.AppendReplyStart(nil, 200, "tag", plainSource), "X: y\r\n"...))
	if string(got) != want {
		t.Fatalf("answer\n%s\nwant\n%s", got, want)
	}
	return true
}

func TestPlain_TakesWhatPhonesSend(t *testing.T) {
	line := func(old, new string) string { return strings.Replace(benchRegister, old, new, 1) }
	for _, tt := range []struct {
		name, raw string
		take      bool
	}{
		{"phone", benchRegister, true},
		{"compact names", strings.NewReplacer("\r\nVia:", "\r\nv:", "\r\nCall-ID:", "\r\ni:", "\r\nContact:", "\r\nm:").Replace(benchRegister), true},
		{"display names", line("From: ", `From: "Erin, at home" `), true},
		{"To with a tag", line("To: <sip:erin@home.example.net>", "To: <sip:erin@home.example.net>;tag=x"), true},
		{"credentials", line("Expires:", "Authorization: Digest username=\"erin\"\r\nExpires:"), true},
		{"unknown header field", line("Expires:", "X-Grandstream-PBX: true\r\nExpires:"), true},
		{"no Content-Length", line("Content-Length: 0\r\n", ""), true},
		{"foreign received", line(";rport", ";rport;received=192.0.2.1"), true},
		{"contact without brackets", line("Contact: <sip:erin@198.51.100.23:49152;", "Contact: sip:erin@1.2.3.4;x=<"), false},
		{"two Vias", line("Max-Forwards", "Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKx\r\nMax-Forwards"), false},
		{"two Vias in a line", line(";rport", ";rport, SIP/2.0/UDP 192.0.2.7"), false},
		{"two contacts", line("Contact: ", "Contact: <sip:a@b>, "), false},
		{"star", line("Contact: <sip", "Contact: *\r\nX: <sip"), false},
		{"no contact", line("Contact: ", "X: "), false},
		{"fold", line("Supported: path", "Supported:\r\n path"), false},
		{"body", line("Content-Length: 0\r\n\r\n", "Content-Length: 1\r\n\r\nx"), false},
		{"bytes behind the end", benchRegister + "x", false},
		{"line end in front", "\r\n" + benchRegister, false},
		{"short body", line("Content-Length: 0", "Content-Length: 3"), false},
		{"Route", line("Supported", "Route: <sip:home.example.net;lr>\r\nSupported"), false},
		{"Require", line("Supported", "Require: path\r\nSupported"), false},
		{"Path", line("Supported", "Path: <sip:edge.example.net;lr>\r\nSupported"), false},
		{"Feature-Caps", line("Supported", "Feature-Caps: *;+sip.pns=\"apns\"\r\nSupported"), false},
		{"hop limit", line("Max-Forwards: 70", "Max-Forwards: 256"), false},
		{"other CSeq method", line("24 REGISTER", "24 INVITE"), false},
		{"CSeq too large", line("24 REGISTER", "4294967296 REGISTER"), false},
		{"URI headers in the Request-URI", line("net SIP", "net?a=b SIP"), false},
		{"version", line("SIP/2.0\r\n", "SIP/3.0\r\n"), false},
		{"other method", strings.ReplaceAll(benchRegister, "REGISTER", "PUBLISH"), false},
		{"lower case", line("REGISTER", "register"), false},
		{"two Call-IDs", line("CSeq", "Call-ID: other\r\nCSeq"), false},
		{"NUL", line("erin", "er\x00in"), false},
		{"LF alone", line("Supported", "X: \n\r\nSupported"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := checkPlain(t, tt.raw, "REGISTER"); got != tt.take {
				t.Errorf("taken: %v, want %v\n%s", got, tt.take, tt.raw)
			}
		})
	}
}

func TestPlain_AllocatesNothing(t *testing.T) {
	p, raw, out := new(Plain), []byte(benchRegister), make([]byte, 0, 2048)
	if n := testing.AllocsPerRun(100, func() {
		if !p.Read(raw, "REGISTER") {
			t.Fatal("declined")
		}
		if _, ok := p.AOR(); !ok {
			t.Fatal("no AOR")
		}
		p.AppendReplyEnd(p.AppendReplyStart(out[:0], 200, "0123456789abcdef", plainSource))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever is recognised as canonical is what the long way would make of it.
func TestCanonicalAOR_AsWritten(t *testing.T) {
	for _, tt := range []struct {
		uri  string
		want bool
	}{
		{"sip:alice@example.com", true},
		{"sip:+49-30.1!*'()&=+$,;?/@a-b.c", true},
		{"sips:alice@example.com", false},
		{"SIP:alice@example.com", false},
		{"sip:alice@Example.com", false},
		{"sip:alice@example.com.", false},
		{"sip:alice@example.com:5060", false},
		{"sip:alice:pw@example.com", false},
		{"sip:alice:@example.com", false},
		{"sip:alice@example.com;transport=udp", false},
		{"sip:alice@example.com?a=b", false},
		{"sip:al%69ce@example.com", false},
		{"sip:a#b@example.com", false},
		{"sip:j\xc3\xa4n@example.com", false},
		{"sip:example.com", false},
		{"sip:alice@192.0.2.1", false},
		{"sip:alice@[2001:db8::1]", false},
		{"tel:+4930", false},
	} {
		u, err := ParseURI(tt.uri)
		if err != nil {
			t.Fatal(err)
		}
		s, ok := u.canonical()
		if ok != tt.want || ok && s != tt.uri {
			t.Errorf("%s: %q, %v", tt.uri, s, ok)
		}
		checkCanonical(t, u)
	}
}

// checkCanonical compares both ways to the key.
func checkCanonical(t *testing.T, u URI) {
	t.Helper()
	if s, ok := u.canonical(); ok {
		if want := "sip:" + escapeUser(Unescape(u.User)) + "@" + canonicalHost(u.Host); s != want {
			t.Errorf("%q counts as canonical, the key is %q", s, want)
		}
	}
}

func FuzzPlain(f *testing.F) {
	f.Add(benchRegister)
	f.Add(strings.Replace(benchRegister, ";rport", ";rport;received=192.0.2.1 ;x=\"a,b\"", 1))
	for _, tc := range tortureCases {
		f.Add(tc.raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if len(raw) > 4096 {
			return
		}
		method, _, _ := strings.Cut(raw, " ")
		checkPlain(t, raw, method)
		if u, err := ParseURI(raw); err == nil {
			checkCanonical(t, u)
		}
	})
}

func BenchmarkPlain(b *testing.B) {
	p, raw, out := new(Plain), []byte(benchRegister), make([]byte, 0, 2048)
	b.ReportAllocs()
	for b.Loop() {
		if !p.Read(raw, "REGISTER") {
			b.Fatal("declined")
		}
		p.AppendReplyEnd(p.AppendReplyStart(out[:0], 200, "0123456789abcdef", plainSource))
	}
}
