package sipmsg

import (
	"net/netip"
	"strings"
	"testing"
)

// TestEdit_SetBody: the length is that of the new body, and all else stays.
func TestEdit_SetBody(t *testing.T) {
	tests := []struct{ name, head, want string }{
		{"length", "X-A: 1\r\nContent-Length:  3 \r\nX-B: 2\r\n", "X-A: 1\r\nContent-Length:  6 \r\nX-B: 2\r\n"},
		{"compact", "l: 3\r\nX-B: 2\r\n", "l: 6\r\nX-B: 2\r\n"},
		{"none", "X-B: 2\r\n", "X-B: 2\r\nContent-Length: 6\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			const head = "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\n"
			m, err := Parse([]byte(head+tt.head+"\r\nold"), netip.AddrPort{})
			if err != nil {
				t.Fatal(err)
			}
			e := m.Edit()
			e.SetBody("newer\n")
			if got, want := string(e.Bytes()), head+tt.want+"\r\nnewer\n"; got != want {
				t.Errorf("sent\n%s, want\n%s", got, want)
			}
			if sent, err := Parse(e.Bytes(), netip.AddrPort{}); err != nil || sent.Body() != "newer\n" {
				t.Errorf("what is sent does not parse: %v", err)
			}
			if e := m.Edit(); string(e.Bytes()) != m.Raw() {
				t.Error("the message itself has changed")
			}
		})
	}
	t.Run("empty", func(t *testing.T) {
		m, err := Parse([]byte("INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Length: 3\r\n\r\nold"), netip.AddrPort{})
		if err != nil {
			t.Fatal(err)
		}
		e := m.Edit()
		e.SetBody("")
		if got := string(e.Bytes()); !strings.HasSuffix(got, "Content-Length: 0\r\n\r\n") {
			t.Errorf("sent %q", got)
		}
	})
}

func TestMessage_ContentType(t *testing.T) {
	for header, want := range map[string]string{
		"Content-Type: Application/SDP;charset=x": "application/sdp", "c: application/sdp ": "application/sdp",
		"Content-Type: multipart/mixed;boundary=x": "multipart/mixed", "X-A: 1": "",
	} {
		m, err := Parse([]byte("INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n"+header+"\r\nContent-Length: 0\r\n\r\n"), netip.AddrPort{})
		if err != nil {
			t.Fatal(err)
		}
		if got := m.ContentType(); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
}
