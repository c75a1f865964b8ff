package sipmsg

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var testSource = netip.MustParseAddrPort("192.0.2.77:40123")

// crlf joins lines with CRLF.
func crlf(lines ...string) string { return strings.Join(lines, "\r\n") }

func mustParse(t testing.TB, raw string) *Message {
	t.Helper()
	m, err := Parse([]byte(raw), testSource)
	if err != nil {
		t.Fatalf("Parse: %v\n%s", err, raw)
	}
	return m
}

func TestMessage_Accessors(t *testing.T) {
	raw := crlf(
		"REGISTER sip:lab.test SIP/2.0",
		"Via: SIP/2.0/TCP edge.test;branch=z9hG4bK1, SIP/2.0/WS x.invalid;branch=z9hG4bK2",
		"Path: <sip:edge.test;lr>, <sip:far.test;lr;ob>",
		"Route: <sip:r.test;lr>",
		"Max-Forwards: 70",
		"From: Nina <sip:nina@lab.test>;tag=q1",
		"To: <sip:nina@lab.test>",
		"Call-ID: abc///def",
		"CSeq: 20 REGISTER",
		"m: \"N\" <sip:nina@x.invalid;transport=ws>;expires=60 , <sip:nina@b>",
		"Contact: sip:nina@c;expires=0",
		"Expires: 600",
		"k: path",
		"Supported: Outbound,",
		"  gruu,,",
		"X-Folded: one",
		"\ttwo",
		"Content-Length: 0",
		"", "")
	m := mustParse(t, raw)
	eq(t, "Raw", m.Raw(), raw)
	eq(t, "Source", m.Source(), testSource)
	eq(t, "IsRequest", m.IsRequest(), true)
	eq(t, "Method", m.Method(), "REGISTER")
	eq(t, "Status", m.Status(), 0)
	eq(t, "RequestURI", m.RequestURI().String(), "sip:lab.test")
	eq(t, "CallID", m.CallID(), "abc///def")
	eq(t, "CSeq", m.CSeq(), CSeq{20, "REGISTER"})
	eq(t, "From", m.From().String(), "Nina <sip:nina@lab.test>;tag=q1")
	eq(t, "FromTag", m.FromTag(), "q1")
	eq(t, "ToTag", m.ToTag(), "")
	eq(t, "TopVia", m.TopVia().SentBy(), "edge.test")
	eq(t, "len(Vias)", len(m.Vias()), 2)
	eq(t, "ContactStar", m.ContactStar(), false)
	uris := func(list []NameAddr) (s []string) {
		for _, a := range list {
			s = append(s, a.URI.String())
		}
		return s
	}
	if got, want := uris(m.Contacts()), []string{"sip:nina@x.invalid;transport=ws", "sip:nina@b", "sip:nina@c"}; !slices.Equal(got, want) {
		t.Errorf("Contacts() = %q, want %q", got, want)
	}
	if got, want := uris(m.Paths()), []string{"sip:edge.test;lr", "sip:far.test;lr;ob"}; !slices.Equal(got, want) {
		t.Errorf("Paths() = %q, want %q", got, want)
	}
	if got, want := uris(m.Routes()), []string{"sip:r.test;lr"}; !slices.Equal(got, want) {
		t.Errorf("Routes() = %q, want %q", got, want)
	}
	eq(t, "len(RecordRoutes)", len(m.RecordRoutes()), 0)
	if got, want := slices.Collect(m.Tokens(HdrSupported)), []string{"path", "Outbound", "gruu"}; !slices.Equal(got, want) {
		t.Errorf("Tokens(Supported) = %q, want %q", got, want)
	}
	for range m.Tokens(HdrSupported) {
		break // Stopping early must be possible.
	}
	eq(t, "HasToken", m.HasToken(HdrSupported, "OUTBOUND"), true)
	eq(t, "HasToken of another", m.HasToken(HdrSupported, "out"), false)
	expires, ok := m.Expires()
	eq(t, "Expires", expires, "600")
	eq(t, "has Expires", ok, true)
	folded, _ := m.HeaderNamed("X-FOLDED")
	eq(t, "folded", folded, "one two")
	compact, _ := m.HeaderNamed("K")
	eq(t, "compact", compact, "path")
	_, ok = m.HeaderNamed("X-None")
	eq(t, "has X-None", ok, false)
	_, ok = m.Header(HdrEvent)
	eq(t, "has Event", ok, false)
	eq(t, "Has", m.Has(HdrPath), true)
	var names []string
	for h := range m.Headers() {
		names = append(names, h.Name)
	}
	want := strings.Fields("Via Path Route Max-Forwards From To Call-ID CSeq m Contact Expires k Supported X-Folded Content-Length")
	if !slices.Equal(names, want) {
		t.Errorf("Headers() = %q, want %q", names, want)
	}
	for h := range m.Headers() {
		eq(t, "first header", h, Header{HdrVia, "Via", "SIP/2.0/TCP edge.test;branch=z9hG4bK1, SIP/2.0/WS x.invalid;branch=z9hG4bK2"})
		break
	}
}

func TestMessage_ContactStar(t *testing.T) {
	m := mustParse(t, plain("REGISTER", "sip:lab.test", "Contact: *"))
	eq(t, "ContactStar", m.ContactStar(), true)
	eq(t, "len(Contacts)", len(m.Contacts()), 0)
	m = mustParse(t, plain("REGISTER", "sip:lab.test", "Contact: <sip:a@b>, *"))
	eq(t, "ContactStar beside another", m.ContactStar(), true)
	eq(t, "len(Contacts) beside it", len(m.Contacts()), 1)
}

// TestParse_Defects holds what the torture messages leave out.
func TestParse_Defects(t *testing.T) {
	manyHeaders := plain("OPTIONS", "sip:h", strings.Split(strings.Repeat("X: y|", MaxHeaders)+"X: z", "|")...)
	tests := []struct {
		name string
		raw  string
		want int // as in tortureCase
	}{
		{"empty", "", -1},
		{"line ends", "\r\n\r\n\r\n", -1},
		{"keep-alive", "jaK", -1},
		{"STUN", "\x00\x01\x00\x00\x21\x12\xa4\x42", -1},
		{"HTTP", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", -1},
		{"line ends in front", "\r\n\r\n" + plain("OPTIONS", "sip:h"), 0},
		{"version in lower case", strings.Replace(plain("OPTIONS", "sip:h"), "SIP/2.0\r", "sip/2.0\r", 1), 0},
		{"version without minor", strings.Replace(plain("OPTIONS", "sip:h"), "SIP/2.0\r", "SIP/2\r", 1), 400},
		{"version in words", strings.Replace(plain("OPTIONS", "sip:h"), "SIP/2.0\r", "SIP/x.y\r", 1), 400},
		{"version 2.1", strings.Replace(plain("OPTIONS", "sip:h"), "SIP/2.0\r", "SIP/2.1\r", 1), 505},
		{"no Request-URI", "OPTIONS SIP/2.0\r\n\r\n", -1},
		{"method is no token", plain("OPT@IONS", "sip:h"), -1},
		{"LF alone", strings.ReplaceAll(plain("OPTIONS", "sip:h"), "\r\n", "\n"), -1},
		{"LF alone in a header field", plain("OPTIONS", "sip:h", "X: a\nEvil: b"), -1},
		{"CR alone in a header field", plain("OPTIONS", "sip:h", "X: a\rEvil: b"), -1},
		{"LF alone and a bad CSeq", plain("OPTIONS", "sip:h", "CSeq: x", "X: a\nb"), -1},
		{"NUL in a header field", plain("OPTIONS", "sip:h", "X: a\x00b"), -1},
		{"NUL in a quoted string", plain("OPTIONS", "sip:h", "To: \"\x00\" <sip:h>"), -1},
		{"NUL in a quoted pair", plain("OPTIONS", "sip:h", "To: \"\\\x00\" <sip:h>"), 0},
		{"NUL behind an unclosed quote", plain("OPTIONS", "sip:h", "X: \"\\\x00"), -1},
		{"no empty line", strings.TrimSuffix(plain("OPTIONS", "sip:h"), "\r\n"), 400},
		{"cut in a header field", strings.TrimSuffix(plain("OPTIONS", "sip:h"), "\r\n\r\n"), 400},
		{"header line without colon", plain("OPTIONS", "sip:h", "Nonsense"), 400},
		{"header line without name", plain("OPTIONS", "sip:h", ": x"), 400},
		{"header name with space", plain("OPTIONS", "sip:h", "X Y: z"), 400},
		{"first header line folded", "OPTIONS sip:h SIP/2.0\r\n X: y\r\n" + crlf(basics("OPTIONS")...) + "\r\n\r\n", 400},
		{"too many header lines", manyHeaders, 400},
		{"no Via", plainWithout("OPTIONS", "Via"), -1},
		{"no CSeq", plainWithout("OPTIONS", "CSeq"), -1},
		{"no To", plainWithout("OPTIONS", "To"), 400},
		{"no Max-Forwards", plainWithout("OPTIONS", "Max-Forwards"), 0},
		{"damaged ACK is not answered", plain("ACK", "sip:h", "To: <"), -1},
		{"damaged CANCEL is", plain("CANCEL", "sip:h", "To: <"), 400},
		{"CSeq without method", plain("OPTIONS", "sip:h", "CSeq: 1"), 400},
		{"CSeq without number", plain("OPTIONS", "sip:h", "CSeq: OPTIONS"), 400},
		{"CSeq negative", plain("OPTIONS", "sip:h", "CSeq: -1 OPTIONS"), 400},
		{"CSeq with text behind", plain("OPTIONS", "sip:h", "CSeq: 1 OPTIONS x"), 400},
		{"CSeq method in another case", plain("OPTIONS", "sip:h", "CSeq: 1 Options"), 400},
		{"empty Call-ID", plain("OPTIONS", "sip:h", "Call-ID:"), 400},
		{"Call-ID with space", plain("OPTIONS", "sip:h", "Call-ID: a b"), 400},
		{"Max-Forwards negative", plain("OPTIONS", "sip:h", "Max-Forwards: -1"), 400},
		{"Max-Forwards empty", plain("OPTIONS", "sip:h", "Max-Forwards:"), 400},
		{"Route without brackets is an address", plain("OPTIONS", "sip:h", "Route: sip:r;lr"), 0},
		{"Route empty", plain("OPTIONS", "sip:h", "Route:"), 400},
		{"Route with comma at the end", plain("OPTIONS", "sip:h", "Route: <sip:r>,"), 400},
		{"Path damaged", plain("OPTIONS", "sip:h", "Path: <sip:r"), 400},
		{"star in Route", plain("OPTIONS", "sip:h", "Route: *"), 400},
		{"too many Vias", plain("OPTIONS", "sip:h", "Via: SIP/2.0/UDP h"+strings.Repeat(", SIP/2.0/UDP h", maxValues)), 400},
		{"too many Contacts", plain("OPTIONS", "sip:h", "Contact: <sip:h>"+strings.Repeat(",<sip:h>", maxValues)), 400},
		{"tabs in the start line", strings.Replace(plain("OPTIONS", "sip:h"), " sip:h ", " sip:h\t ", 1), 400},
		{"longer than 65535 bytes", plain("OPTIONS", "sip:h", "X: "+strings.Repeat("x", 65536)), -1},
		{"body one byte short", withLength("4", "abc", append([]string{"MESSAGE sip:h SIP/2.0"}, basics("MESSAGE")...)...), 400},
		{"response without Content-Length", crlf(append([]string{"SIP/2.0 200 OK"}, basics("BYE")...)...) + "\r\n\r\n", 0},
		{"response with short body", withLength("9", "abc", append([]string{"SIP/2.0 200 OK"}, basics("BYE")...)...), -1},
		{"response without To", withBody("", append([]string{"SIP/2.0 200 OK"}, basics("BYE", "To")...)...), -1},
		{"response of another version", withBody("", append([]string{"SIP/3.0 200 OK"}, basics("BYE")...)...), -1},
		{"status code of two digits", withBody("", append([]string{"SIP/2.0 20 OK"}, basics("BYE")...)...), -1},
		{"status code 099", withBody("", append([]string{"SIP/2.0 099 OK"}, basics("BYE")...)...), -1},
		{"status code 700", withBody("", append([]string{"SIP/2.0 700 OK"}, basics("BYE")...)...), -1},
		{"status code of four digits", withBody("", append([]string{"SIP/2.0 2000 OK"}, basics("BYE")...)...), -1},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			m, err := Parse([]byte(tc.raw), testSource)
			got := 0
			var se *StatusError
			switch {
			case m == nil && err != nil:
				got = -1
			case errors.As(err, &se):
				got = se.Code
				checkReply(t, m, err)
			}
			if got != tc.want {
				t.Errorf("Parse = %d (%v), want %d\n%s", got, err, tc.want, tc.raw)
			}
		})
	}
	if _, err := Parse(make([]byte, MaxMessage+1), testSource); err != ErrTooLong {
		t.Errorf("Parse of a message too long: %v, want ErrTooLong", err)
	}
	var s Scan
	if err := s.Parse(strings.Repeat("x", MaxMessage+1)); err != ErrTooLong || s.Len() != 0 || s.Body() != "" {
		t.Errorf("Scan.Parse of a message too long: %v, want ErrTooLong", err)
	}
}

func plainWithout(method, name string) string {
	return crlf(append([]string{method + " sip:h SIP/2.0"}, basics(method, name)...)...) + "\r\n\r\n"
}

// TestMessage_Damaged: what a damaged request lacks reads as nothing.
func TestMessage_Damaged(t *testing.T) {
	m, err := Parse([]byte(plain("INVITE", "sip:h x", "From: <", "To: <", "CSeq: x", "Call-ID: a b", "Max-Forwards: x")), testSource)
	if m == nil || err == nil {
		t.Fatalf("Parse = %v, %v, want a request to answer", m, err)
	}
	eq(t, "From", m.From(), NameAddr{})
	eq(t, "To", m.To(), NameAddr{})
	eq(t, "FromTag", m.FromTag(), "")
	eq(t, "ToTag", m.ToTag(), "")
	eq(t, "CSeq", m.CSeq(), CSeq{})
	eq(t, "CallID", m.CallID(), "")
	eq(t, "Method", m.Method(), "INVITE")
	eq(t, "RequestURI", m.RequestURI().IsZero(), true)
	eq(t, "len(Contacts)", len(m.Contacts()), 0)
	_, ok := m.MaxForwards()
	eq(t, "has Max-Forwards", ok, false)
	if _, err := m.Request(); err != nil {
		t.Errorf("Request() of a damaged request: %v", err)
	}
}

// TestParse_ResponseKeepsWhatIsNotOurs: a response is not lost over a Contact
// that only its receiver uses.
func TestParse_ResponseKeepsWhatIsNotOurs(t *testing.T) {
	m := mustParse(t, withBody("", append([]string{
		"SIP/2.0 200 OK", "Contact: <sip:a@h>, nonsense, <sip:b@h>",
		"Record-Route: <sip:r;lr>", "Record-Route: <<",
	}, basics("INVITE")...)...))
	eq(t, "len(Contacts)", len(m.Contacts()), 1)
	eq(t, "len(RecordRoutes)", len(m.RecordRoutes()), 1)
	eq(t, "Edit", string(m.Edit().Bytes()), m.Raw())
}

// TestParse_Largest fills a datagram to the last byte, where 16-bit offsets end.
func TestParse_Largest(t *testing.T) {
	head := plain("MESSAGE", "sip:otto@lab.test")
	raw := head + strings.Repeat("b", MaxMessage-len(head))
	m := mustParse(t, raw)
	eq(t, "len(Body)", len(m.Body()), MaxMessage-len(head))
	pad := plain("MESSAGE", "sip:otto@lab.test", "X: ")
	raw = plain("MESSAGE", "sip:otto@lab.test", "X: "+strings.Repeat("x", MaxMessage-len(pad)))
	m = mustParse(t, raw)
	eq(t, "len(Raw)", len(m.Raw()), MaxMessage)
	eq(t, "Edit", string(m.Edit().Bytes()) == raw, true)
}

// TestParse_CopiesBytes: the caller may reuse its buffer.
func TestParse_CopiesBytes(t *testing.T) {
	buf := []byte(plain("OPTIONS", "sip:otto@lab.test"))
	want := string(buf)
	m, err := Parse(buf, testSource)
	if err != nil {
		t.Fatal(err)
	}
	clear(buf)
	if m.Raw() != want || m.Method() != "OPTIONS" || m.RequestURI().User != "otto" {
		t.Error("the message changed with the caller's buffer")
	}
}

func TestScan_Outline(t *testing.T) {
	var s Scan
	raw := plain("OPTIONS", "sip:otto@lab.test", "X: 1", "X: 2", "Contact: a", "m: b\r\n c") + "body"
	for range 2 { // A Scan is reusable.
		if err := s.Parse(raw); err != nil {
			t.Fatal(err)
		}
		eq(t, "IsRequest", s.IsRequest(), true)
		eq(t, "Method", s.Method(), "OPTIONS")
		eq(t, "RequestURI", s.RequestURI(), "sip:otto@lab.test")
		eq(t, "Len", s.Len(), 10)
		eq(t, "Count", s.Count(HdrContact), 2)
		v, ok := s.Value(HdrContact)
		eq(t, "Value", v, "a")
		eq(t, "ok", ok, true)
		_, ok = s.Value(HdrEvent)
		eq(t, "has Event", ok, false)
		eq(t, "Header", s.Header(9), Header{HdrContact, "m", "b\r\n c"})
		eq(t, "Folded", s.Folded(), true)
		eq(t, "Body", s.Body(), "body")
		eq(t, "Status", s.Status(), 0)
		if err := s.Parse("SIP/2.0 200 OK\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		eq(t, "Status", s.Status(), 200)
		eq(t, "Folded of another", s.Folded(), false)
		eq(t, "Count of another", s.Count(HdrContact), 0)
	}
}

func FuzzParse(f *testing.F) {
	for _, tc := range tortureCases {
		f.Add([]byte(tc.raw))
	}
	f.Add([]byte(benchRegister))
	f.Add([]byte(benchInvite))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := Parse(raw, testSource)
		if m == nil {
			if err == nil {
				t.Fatal("neither message nor error")
			}
			return
		}
		if err != nil {
			var se *StatusError
			if !errors.As(err, &se) || !m.IsRequest() {
				t.Fatalf("Parse returned a message with %v", err)
			}
			checkReply(t, m, err)
			return
		}
		if !strings.Contains(string(raw), m.Raw()) {
			t.Errorf("Raw() = %q is no part of %q", m.Raw(), raw)
		}
		if got := string(m.Edit().Bytes()); got != m.Raw() {
			t.Fatalf("Edit().Bytes() = %q, want %q", got, m.Raw())
		}
		again, err := Parse([]byte(m.Raw()), testSource)
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("parsed again: %v, %+v, want %+v", err, again, m)
		}
		if !m.IsRequest() {
			if _, err := m.Response(); err != nil {
				t.Errorf("Response(): %v", err)
			}
			return
		}
		checkReply(t, m, nil)
		checkForward(t, m)
		if _, err := m.Request(); err != nil {
			t.Errorf("Request(): %v", err)
		}
	})
}

// checkForward holds a forwarded request to the edits that were made.
func checkForward(t testing.TB, m *Message) {
	t.Helper()
	if m.headersLeft() < 4 || len(m.Raw()) > MaxMessage-1000 || len(m.Vias()) == maxValues || len(m.RecordRoutes()) == maxValues {
		return
	}
	wire := forward(m, nil)
	fwd, err := Parse(wire, netip.AddrPort{})
	if err != nil {
		t.Fatalf("forwarded request does not parse: %v\n%q", err, wire)
	}
	if len(fwd.Vias()) != len(m.Vias())+1 || len(fwd.RecordRoutes()) != len(m.RecordRoutes())+1 ||
		fwd.Body() != m.Body() || fwd.CallID() != m.CallID() || !slices.Equal(fwd.Routes(), m.Routes()) ||
		!slices.Equal(fwd.Contacts(), m.Contacts()) || fwd.From() != m.From() || fwd.To() != m.To() {
		t.Errorf("forwarded request differs beyond the edits:\n%q\nreceived:\n%q", wire, m.Raw())
	}
	if v := fwd.Vias()[1]; v.Branch() != m.TopVia().Branch() || v.SentBy() != m.TopVia().SentBy() {
		t.Errorf("stamped Via %q, received %q", v, m.TopVia())
	}
	ack := mustParse(t, string(fwd.AppendACK(nil, fwd)))
	cancel := mustParse(t, string(fwd.AppendCancel(nil, HeaderField{"Reason", "SIP;cause=200"})))
	for _, hop := range []*Message{ack, cancel} {
		if hop.TopVia().Branch() != fwd.TopVia().Branch() || len(hop.Vias()) != 1 || hop.CSeq().Seq != fwd.CSeq().Seq {
			t.Errorf("%s does not match its INVITE:\n%s", hop.Method(), hop.Raw())
		}
	}
}

func (m *Message) headersLeft() int { return MaxHeaders - len(m.headers) }
