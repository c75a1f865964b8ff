package sipmsg

import (
	"strings"
	"testing"
)

func TestOutgoing(t *testing.T) {
	const rest = "f: <sip:a@h>;tag=1\r\nt: <sip:b@h>\r\ni: 1\r\nCSeq: 1 INVITE\r\n\r\n"
	tests := []struct{ name, wire, method, branch string }{
		{"request", "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP i;branch=z9hG4bK2\r\n" + rest, "INVITE", "z9hG4bK1"},
		{"list, folded, compact", "INVITE sip:b@h SIP/2.0\r\nv: SIP/2.0/UDP h\r\n ;branch=z9hG4bK1, SIP/2.0/UDP i;branch=z9hG4bK2\r\n" + rest, "INVITE", "z9hG4bK1"},
		{"another method", "Info sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=1\r\n" + rest, "Info", "1"},
		{"no branch", "BYE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\n" + rest, "BYE", ""},
		{"response", "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=1\r\n" + rest, "", ""},
		{"no Via", "BYE sip:b@h SIP/2.0\r\n" + rest, "", ""},
		{"a Via that is none", "BYE sip:b@h SIP/2.0\r\nVia: h\r\n" + rest, "", ""},
		{"no CSeq", "BYE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\n\r\n", "", ""},
		{"no end", "BYE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nCSeq: 1 BYE\r\n", "", ""},
		{"a body that is not there", "BYE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nl: 5\r\n" + rest, "", ""},
		{"too long", "BYE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\n" + rest + strings.Repeat("x", MaxMessage), "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			method, branch, err := Outgoing([]byte(tt.wire))
			if method != tt.method || branch != tt.branch || (err != nil) != (tt.method == "") {
				t.Errorf("Outgoing = %q, %q, %v; want %q, %q", method, branch, err, tt.method, tt.branch)
			}
		})
	}
}

// FuzzOutgoing: what Outgoing finds, Parse finds too, and what Parse takes, so does
// Outgoing.
func FuzzOutgoing(f *testing.F) {
	for _, tc := range tortureCases {
		f.Add([]byte(tc.raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		method, branch, err := Outgoing(raw)
		m, parseErr := Parse(raw, testSource)
		switch {
		case err != nil && parseErr == nil && m.IsRequest() && m.Raw() == string(raw):
			t.Errorf("Outgoing: %v, Parse takes it", err)
		case err != nil || method == "ACK":
		case m == nil:
			t.Errorf("Outgoing = %q, %q; Parse: %v", method, branch, parseErr)
		case m.Method() != method || m.TopVia().Branch() != branch:
			t.Errorf("Outgoing = %q, %q; Parse finds %q, %q", method, branch, m.Method(), m.TopVia().Branch())
		}
	})
}
