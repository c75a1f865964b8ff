package sipmsg

import (
	"net/netip"
	"strings"
	"testing"
)

var plainSource = netip.MustParseAddrPort("198.51.100.99:6000")

// checkPlain holds Plain to Parse: what it takes with a contact that can be read,
// Parse takes with the same values and answers with the same bytes. It reports
// whether that is so.
func checkPlain(t *testing.T, raw, method string) bool {
	t.Helper()
	var p Plain
	if !p.Read([]byte(raw), method) {
		return false
	}
	m, err := Parse([]byte(raw), plainSource)
	var contact NameAddr
	if parseNameAddr(&contact, p.Contact()) != nil {
		if err == nil && len(m.Contacts()) == 1 {
			t.Fatalf("contact %q is refused, but not by Parse:\n%s", p.Contact(), raw)
		}
		return false
	}
	if err != nil {
		t.Fatalf("Plain takes what Parse refuses with %v:\n%s", err, raw)
	}
	if m.Method() != method || m.RequestURI() != p.uri || m.TopVia() != p.via || len(m.Vias()) != 1 || m.From() != p.from || m.To() != p.to ||
		len(m.Contacts()) != 1 || m.Contacts()[0] != contact || m.CallID() != p.callID || m.CSeq() != p.cseq || m.ContactStar() || m.Body() != "" {
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
		{"the same display name", strings.NewReplacer("From: ", "From: Erin ", "To: ", "To: Erin ").Replace(benchRegister), true},
		{"who registers another", line("From: <sip:erin", "From: <sip:frank"), true},
		{"From without a tag", line(";tag=b1c7f05a", ""), true},
		{"addresses without brackets", strings.NewReplacer("<sip:erin@home.example.net>", "sip:erin@home.example.net").Replace(benchRegister), true},
		{"From with more behind the address of To", line("<sip:erin@home.example.net>;tag", "<sip:erin@home.example.net>x;tag"), false},
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

// checkSameContact compares the short way of SameContact with the long one, for a
// contact that was before and one that comes now.
func checkSameContact(t *testing.T, before, now string) (same bool) {
	t.Helper()
	a, err := ParseNameAddr(before)
	if err != nil {
		return false
	}
	params := a.Params.Without("q", "expires")
	timing, same := SameContact(now, a.URI.String(), string(params))
	var b NameAddr
	want := parseNameAddr(&b, now) == nil && b.URI.raw == a.URI.raw && b.Params.Without("q", "expires") == params
	if same != want {
		t.Fatalf("SameContact(%q) after %q: %v, want %v", now, before, same, want)
	}
	for _, name := range [...]string{"q", "expires"} {
		v, ok := timing.Get(name)
		if w, has := b.Params.Get(name); same && (v != w || ok != has) {
			t.Fatalf("%s of %q: %q, %v, want %q, %v", name, now, v, ok, w, has)
		}
	}
	return same
}

func TestSameContact(t *testing.T) {
	const uri = "<sip:a@192.0.2.1;x=1>"
	many := strings.Repeat(";a", maxParams)
	for _, tt := range []struct {
		name, before, now string
		want              bool
	}{
		{"as before", uri + `;+sip.instance="<urn:x:1>"`, uri + `;+sip.instance="<urn:x:1>"`, true},
		{"lifetime behind", uri + `;a="b;c"`, uri + `;a="b;c";expires=5`, true},
		{"lifetime and preference", uri + ";a", uri + ";a;q=0.5;expires=5", true},
		{"nothing but the URI", uri, uri, true},
		{"nothing but a lifetime", uri, uri + " ; EXPIRES = 5", true},
		{"lifetime in front", uri + ";expires=7;a=b", uri + ";expires=5;a=b", true},
		{"lifetime between", uri + ";a=b;c=d", uri + ";a=b;expires=5;c=d", true},
		{"display name", uri, `"A" ` + uri + ";expires=5", true},
		{"no brackets", "sip:a@192.0.2.1;x=1", "sip:a@192.0.2.1;x=1;expires=5", true},
		{"two lifetimes", uri, uri + ";expires=5;expires=6", true},
		{"another parameter", uri + ";a", uri + ";a;b;expires=5", false},
		{"a longer parameter", uri + ";a=b", uri + ";a=bc", false},
		{"a parameter gets a value", uri + ";a", uri + ";a=b", false},
		{"another case", uri, "<sip:A@192.0.2.1;x=1>", false},
		{"a longer URI", uri, "<sip:a@192.0.2.1;x=1;y>", false},
		{"malformed", uri + ";a", uri + ";a;;expires=5", false},
		{"two contacts", uri, uri + ", " + uri, false},
		{"a comma behind the lifetime", uri + ";a", uri + ";a;expires=5,<sip:b@c>", false},
		{"as many parameters as can be", uri + many, uri + many, true},
		{"one parameter too many", uri + many, uri + many + ";expires=5", false},
		{"star", uri, "*", false},
		{"empty", uri, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := checkSameContact(t, tt.before, tt.now); got != tt.want {
				t.Errorf("same: %v, want %v", got, tt.want)
			}
		})
	}
	if _, same := SameContact("<>", "", ""); same {
		t.Error("no URI at all is taken for a contact")
	}
}

func FuzzSameContact(f *testing.F) {
	f.Add(`<sip:a@b;c>;d="e,f"`, `;expires=5`)
	f.Add(`<sip:a@b;c>;d;expires=1`, `;q=0.3 ;expires=5`)
	f.Add(`<sip:a@b>;d="`, `";e`)
	f.Fuzz(func(t *testing.T, before, more string) {
		if len(before)+len(more) > 1024 || strings.ContainsAny(before+more, "\r\n") {
			return
		}
		checkSameContact(t, before, trim(before+more))
		checkSameContact(t, before, trim(more))
	})
}

// BenchmarkPlain is what the fast path asks for: the request, whether its contact
// is the one of before, and the answer.
func BenchmarkPlain(b *testing.B) {
	p, raw, out := new(Plain), []byte(benchRegister), make([]byte, 0, 2048)
	before, err := Parse(raw, plainSource)
	if err != nil {
		b.Fatal(err)
	}
	uri, params := before.Contacts()[0].URI.String(), string(before.Contacts()[0].Params)
	b.ReportAllocs()
	for b.Loop() {
		if !p.Read(raw, "REGISTER") {
			b.Fatal("declined")
		}
		if _, same := SameContact(p.Contact(), uri, params); !same {
			b.Fatal("another contact")
		}
		p.AppendReplyEnd(p.AppendReplyStart(out[:0], 200, "0123456789abcdef", plainSource))
	}
}
