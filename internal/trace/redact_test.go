package trace

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// message returns a REGISTER with one more header field.
func message(line string) string {
	return "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n" + line + "\r\nCall-ID: c1\r\nContent-Length: 0\r\n\r\n"
}

// shown returns what is left of that header field.
func shown(t *testing.T, line string, s *Secrets) string {
	t.Helper()
	lines := strings.Split(Redact(message(line), s, false), "\r\n")
	if len(lines) < 4 || lines[0] != "REGISTER sip:example.com SIP/2.0" {
		t.Fatalf("Redact = %q", lines)
	}
	return lines[2]
}

func TestRedact_HeaderFields(t *testing.T) {
	older := &Secrets{Params: []string{"pn-tok", "app-tok"}, Headers: []string{"X-MPUSH"}}
	token := strings.Repeat("k3z9", 20)
	for _, tc := range []struct{ name, line, want string }{
		{
			"digest", `Authorization: Digest username="alice", realm="example.com", nonce="N", uri="sip:example.com", response="R", algorithm=MD5, cnonce="C", opaque="O", qop=auth, nc=00000001`,
			`Authorization: Digest username="alice", realm="example.com", nonce="***", uri="sip:example.com", response="***", algorithm=MD5, cnonce="***", opaque="***", qop=auth, nc=00000001`,
		},
		{"folded, without quotes", "proxy-authorization: DIGEST\r\n username=\"a\",response=R ,\r\n\tnc = 1", `proxy-authorization: DIGEST username="a", response=***, nc=1`},
		{
			"challenge", `WWW-Authenticate: Digest realm="example.com", nonce="N", opaque="", stale=true, algorithm=SHA-256, qop="auth"`,
			`WWW-Authenticate: Digest realm="example.com", nonce="***", opaque="***", stale=true, algorithm=SHA-256, qop="auth"`,
		},
		{"bearer", "Authorization: Bearer eyJ.x.y", "Authorization: Bearer ***"},
		{"basic", "Authorization: Basic YTpi", "Authorization: Basic ***"},
		{"no parameters", "Authorization: Digest whatever", "Authorization: Digest ***"},
		{"open quote", `Authorization: Digest response="abc`, "Authorization: Digest ***"},
		{"other scheme", "Authorization: sEcReT", "Authorization: ***"},
		{"digest uri", `Authorization: Digest uri="sip:a@b;pn-prid=S", username="x;pn-prid=T"`, `Authorization: Digest uri="sip:a@b;pn-prid=***", username="***"`},
		{"next nonce", `Authentication-Info: nextnonce="N", rspauth="R"`, "Authentication-Info: ***"},
		{
			"push", "Contact: <sip:alice@192.0.2.9;pn-provider=apns;pn-param=T.app;pn-prid=S;ob>;+sip.instance=\"<urn:uuid:1>\"",
			"Contact: <sip:alice@192.0.2.9;pn-provider=apns;pn-param=***;pn-prid=***;ob>;+sip.instance=\"<urn:uuid:1>\"",
		},
		{"compact, without brackets", "m: sip:alice@192.0.2.9;PN-PRID=S;expires=60", "m: sip:alice@192.0.2.9;PN-PRID=***;expires=60"},
		{"two contacts", "m: sip:a@b;pn-prid=S, \"A\" <sip:c@d;pn-prid=T>;q=1", "m: sip:a@b;pn-prid=***, \"A\" <sip:c@d;pn-prid=***>;q=1"},
		{"escaped name", "Contact: <sip:a@b;%70n-pri%64=S>", "Contact: <sip:a@b;%70n-pri%64=***>"},
		{"folded and quoted", "Contact: <sip:a@b>\r\n ; pn-prid\r\n =\r\n \"S\\\";,>\" ;q=1", "Contact: <sip:a@b> ; pn-prid=***;q=1"},
		{"older parameters", "Contact: <sip:a@b;app-id=x;pn-tok=S;App-Tok=T>", "Contact: <sip:a@b;app-id=x;pn-tok=***;App-Tok=***>"},
		{"older header field", "x-mpush: a:b:S", "x-mpush: ***"},
		{"what says that it is a token", "X-Push-Token: S", "X-Push-Token: ***"},
		{"repeated elsewhere", "Contact: <sip:a@b;pn-prid=0123456789abcdef;dev=x-0123456789abcdef>", "Contact: <sip:a@b;pn-prid=***;dev=x-***>"},
		{"repeated unescaped", "Contact: <sip:a@b;pn-prid=0123456789%3aabcdef>;d=\"0123456789:abcdef\"", "Contact: <sip:a@b;pn-prid=***>;d=\"***\""},
		{"PURR of the server", "Feature-Caps: *;+sip.pns=\"apns\";+sip.pnspurr=\"S\"", "Feature-Caps: *;+sip.pns=\"apns\";+sip.pnspurr=***"},
		{"PURR", "Contact: <sip:a@b;pn-purr=S;ob>", "Contact: <sip:a@b;pn-purr=***;ob>"},
		{"token of ours", "Record-Route: <sip:" + token + "@192.0.2.1;lr>, <sip:p@192.0.2.2;lr>", "Record-Route: <sip:***@192.0.2.1;lr>, <sip:***@192.0.2.2;lr>"},
		{"token of ours elsewhere", "X-Route: <sip:" + token + "@192.0.2.1;lr>", "X-Route: <sip:***@192.0.2.1;lr>"},
		{"token of ours, escaped", "X-Route: <sip:%6b" + token[1:] + "@192.0.2.1;lr>", "X-Route: <sip:***@192.0.2.1;lr>"},
		{"password", "From: \"A\" <sip:alice:S@example.com>;tag=1", "From: \"A\" <sip:alice:***@example.com>;tag=1"},
		{"password without brackets", "f: sips:alice:S;p=x@example.com;tag=1", "f: sips:alice:***@example.com;tag=1"},
		{"display name", `From: "says ;pn-prid=S" <sip:a@b>`, `From: "***" <sip:a@b>`},
		{"open quote elsewhere", `From: "A <sip:a:S@b>`, `From: "***`},
		{"header fields of a URI", "Refer-To: <sip:a@b?Replaces=c%3Bto-tag%3D1&Contact=%3Csip%3Ax%3Bpn-prid%3DS%3E&Subject=hi>", "Refer-To: <sip:a@b?Replaces=c%3Bto-tag%3D1&Contact=***&Subject=***>"},
		{"nested in a Replaces", "r: <sip:a@b?Replaces=c%253Bpn-prid%253DS>", "r: <sip:a@b?Replaces=***>"},
		{"History-Info", "History-Info: <sip:a@b?Reason=SIP%3Bcause%3D302>;index=1", "History-Info: <sip:a@b?Reason=SIP%3Bcause%3D302>;index=1"},
		{"a question", "Subject: how? and = why", "Subject: how? and = why"},
		{"plain", "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK2;rport", "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK2;rport"},
		{"IPv6", "Contact: <sip:a@[2001:db8::1]:5060;ob>", "Contact: <sip:a@[2001:db8::1]:5060;ob>"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, shown(t, tc.line, older)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRedact_StartLine(t *testing.T) {
	token := strings.Repeat("k3z9", 20)
	for _, tc := range []struct{ line, want string }{
		{"INVITE sip:a@192.0.2.9;pn-prid=S,x;ob SIP/2.0", "INVITE sip:a@192.0.2.9;pn-prid=***;ob SIP/2.0"},
		{"INVITE sip:a:S@example.com SIP/2.0", "INVITE sip:a:***@example.com SIP/2.0"},
		{"BYE sip:" + token + "@192.0.2.1;lr SIP/2.0", "BYE sip:***@192.0.2.1;lr SIP/2.0"},
		{"INVITE sip:a@b?Authorization=S SIP/2.0", "INVITE sip:a@b?Authorization=*** SIP/2.0"},
		{"SIP/2.0 486 Busy Here", "SIP/2.0 486 Busy Here"},
		{"SIP/2.0 400 Bad ;pn-prid=S", "SIP/2.0 400 Bad ;pn-prid=***"},
	} {
		got, _, _ := strings.Cut(Redact(tc.line+"\r\nCall-ID: 1\r\n\r\n", nil, false), "\r\n")
		if got != tc.want {
			t.Errorf("%q became %q, want %q", tc.line, got, tc.want)
		}
	}
}

func TestRedact_Bodies(t *testing.T) {
	const sdp = "v=0\r\nk=clear:S\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:S|2^20\r\na=ice-ufrag:u\r\na=ice-pwd:S\r\na=key-mgmt:mikey S\r\na=fingerprint:sha-256 AA:BB\r\na=rtpmap:0 PCMU/8000\r\n"
	const plainSDP = "v=0\r\nk=***\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 ***\r\na=ice-ufrag:u\r\na=ice-pwd:***\r\na=key-mgmt:***\r\na=fingerprint:sha-256 AA:BB\r\na=rtpmap:0 PCMU/8000\r\n"
	for _, tc := range []struct {
		name, header, body, want string
		all                      bool
	}{
		{"session description", "c: application/sdp;x=y", sdp, plainSDP, false},
		{"fragment of one", "Content-Type: application/trickle-ice-sdpfrag", "a=ice-pwd:S\n", "a=ice-pwd:***\n", false},
		{"text", "Content-Type: text/plain", "hello", "(5 bytes of text/plain)", false},
		{"text, asked for", "Content-Type: text/plain", "say \"hello; you\r\nx;pn-prid=S\r\n", "say \"hello; you\r\nx;pn-prid=***\r\n", true},
		{"form, asked for", "Content-Type: text/plain", "pn-prid=S&x=y\nx\n", "***\nx\n", true},
		{"JSON, asked for", "Content-Type: application/json", "{\"a\":{pn-prid:'S'}}", "***", true},
		{"part in base64", "Content-Type: multipart/mixed;boundary=x", "--x\r\nContent-Transfer-Encoding: BASE64\r\n\r\nUw==", "(46 bytes of multipart/mixed)", true},
		{"several parts", "Content-Type: multipart/mixed;boundary=x", "--x\r\n\r\n" + sdp, "--x\r\n\r\n" + plainSDP, true},
		{"compressed", "Content-Type: text/plain\r\ne: gzip", "....", "(4 bytes of text/plain)", true},
		{"part of a message", "Content-Type: message/sipfrag", "SIP/2.0 401 X\r\nProxy-Authorization: S\r\n", "(39 bytes of message/sipfrag)", true},
		{"no type", "X: y", "digits", "(6 bytes of a body)", false},
		{"two types", "c: text/plain\r\nContent-Type: application/sdp", "S", "(1 bytes of text/plain)", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, got, _ := strings.Cut(Redact("MESSAGE sip:a@b SIP/2.0\r\n"+tc.header+"\r\n\r\n"+tc.body, nil, tc.all), "\r\n\r\n")
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRedact_DamagedMessages(t *testing.T) {
	for _, tc := range []struct{ name, raw, want string }{
		{"no SIP", "GET / HTTP/1.1\r\n\r\n", ""},
		{"line feed alone", "INVITE sip:a@b SIP/2.0\r\nX: y\nAuthorization: S\r\n\r\n", "INVITE sip:a@b SIP/2.0\r\n(header fields that cannot be told apart: CR or LF alone)\r\n"},
		{"a line that is none", "INVITE sip:a@b SIP/2.0\r\nCall-ID: 1\r\nwhat;pn-prid=S\r\n\r\n", "INVITE sip:a@b SIP/2.0\r\nCall-ID: 1\r\n\r\n"},
		{"cut off", "INVITE sip:a@b SIP/2.0\r\nCall-ID: 1\r\nAuthorization: S", "INVITE sip:a@b SIP/2.0\r\nCall-ID: 1\r\n\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Redact(tc.raw, nil, true)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRedact_CostsWhatItsLengthCosts: the bound is generous enough for a slow machine, and
// far below what a quadratic pass over 60 KB takes.
func TestRedact_CostsWhatItsLengthCosts(t *testing.T) {
	const size = 60000
	pieces := []string{"sip:", "sip:a@", "?", "?a", "<", "<?", "<;pn-a=", ";pn-prid=0123456789abcdef", ";", "; ", ";%70", "\"", "\\\"", "\"sip:\"", "%25", "a=b&", "a=\"\",", ","}
	for _, open := range []string{"", "\"", "<sip:a?", ";pn-a="} {
		for _, piece := range pieces {
			v := open + strings.Repeat(piece, size/len(piece))
			for place, raw := range map[string]string{
				"header field":  "INVITE sip:a@b SIP/2.0\r\nX: " + v + "\r\n\r\n",
				"Request-URI":   "INVITE " + strings.ReplaceAll(v, " ", "") + "@h SIP/2.0\r\nX: y\r\n\r\n",
				"Route":         "INVITE sip:a@b SIP/2.0\r\nRoute: " + v + "@h\r\n\r\n",
				"Authorization": "INVITE sip:a@b SIP/2.0\r\nAuthorization: Digest " + v + "\r\n\r\n",
				"body":          "INVITE sip:a@b SIP/2.0\r\nContent-Type: application/sdp\r\n\r\n" + v,
			} {
				start := time.Now()
				Redact(raw, nil, true)
				if took := time.Since(start); took > 2*time.Second {
					t.Errorf("%q and then %q over and over in the %s: %v", open, piece, place, took)
				}
			}
		}
	}
}
