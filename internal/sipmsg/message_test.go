package sipmsg

import (
	"net/netip"
	"strings"
	"testing"
)

var testSource = netip.MustParseAddrPort("192.0.2.77:40123")

// crlf joins lines with CRLF; a message's last two arguments are "" and the body.
func crlf(lines ...string) string { return strings.Join(lines, "\r\n") }

func mustParse(t testing.TB, raw string) *Message {
	t.Helper()
	m, err := Parse([]byte(raw), testSource)
	if err != nil {
		t.Fatalf("Parse: %v\n%s", err, raw)
	}
	return m
}

func TestParse_Smoke(t *testing.T) {
	m := mustParse(t, crlf(
		"INVITE sip:bob@example.org;x=1 SIP/2.0",
		"Via: SIP/2.0/UDP 192.0.2.77:5060;branch=z9hG4bKa;rport, SIP / 2.0 / tcp edge.example.org : 5070 ;branch=z9hG4bKb",
		"Max-Forwards: 70",
		"f: \"Al, ice\" <sip:alice@example.org>;tag=1",
		"To: <sip:bob@example.org>",
		"i: a84b4c76e66710",
		"CSeq: 314159 INVITE",
		"Contact: <sip:alice@192.0.2.77;transport=udp>;q=0.5",
		"Content-Length: 4",
		"",
		"body and more"))
	if got := m.Body(); got != "body" {
		t.Errorf("Body() = %q", got)
	}
	if got := len(m.Vias()); got != 2 {
		t.Fatalf("len(Vias()) = %d", got)
	}
	if got := m.Vias()[1].SentBy(); got != "edge.example.org:5070" {
		t.Errorf("SentBy() = %q", got)
	}
	if got := string(m.Edit().Bytes()); got != m.Raw() {
		t.Errorf("Edit().Bytes() = %q", got)
	}
	t.Logf("%s", m.AppendReply(nil, Reply{Code: 180, ToTag: "x"}))
	e := m.Edit()
	e.StampVia()
	e.PushVia("SIP/2.0/UDP proxy;branch=z9hG4bKp")
	e.SetMaxForwards(69)
	e.PushRecordRoute("<sip:proxy;lr>")
	e.SetRequestURI("sip:bob@192.0.2.9\r\nX: y")
	t.Logf("%s", e.Bytes())
}
