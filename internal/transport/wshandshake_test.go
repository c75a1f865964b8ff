package transport

import (
	"errors"
	"strings"
	"testing"
)

func TestWSPolicy_RFC6455_4_2(t *testing.T) {
	swap := func(from, to string) string { return strings.Replace(wsHandshake, from, to, 1) }
	for _, tc := range []struct {
		name    string
		options WSOptions
		in      string
		status  int // 0: accepted
		text    string
	}{
		{name: "RFC 7118 §8.1", in: wsHandshake},
		{name: "names in lower case", in: strings.NewReplacer("Upgrade", "upgrade", "Sec-WebSocket", "sec-websocket", "Host", "host").Replace(wsHandshake)},
		{name: "Firefox", in: swap("Connection: Upgrade", "Connection: keep-alive, Upgrade")},
		{name: "Connection in two lines", in: swap("Connection: Upgrade", "Connection: keep-alive\r\nConnection: Upgrade")},
		{name: "websocket in capitals", in: swap("websocket", "WebSocket")},
		{name: "several subprotocols", in: swap("sip\r\n", "xmpp, sip,msrp\r\n")},
		{name: "subprotocols in two lines", in: swap("Protocol: sip", "Protocol: xmpp\r\nSec-WebSocket-Protocol: sip")},
		{name: "extension offered", in: swap("Origin", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nOrigin")},
		{name: "cookies", in: swap("Origin", "Cookie: a=b; c=d\r\nOrigin")},
		{name: "address with query", in: swap("GET / ", "GET /sip?token=1 ")},

		{name: "no HTTP", in: "OPTIONS sip:a SIP/2.0\r\nVia: b\r\n\r\n", status: 400, text: "malformed"},
		{name: "header line without colon", in: swap("Upgrade: websocket", "Upgrade"), status: 400, text: "malformed"},
		{name: "HTTP/1.0", in: swap("HTTP/1.1", "HTTP/1.0"), status: 505, text: "HTTP/1.1"},
		{name: "HTTP/2", in: swap("HTTP/1.1", "HTTP/2.0"), status: 505, text: "HTTP/1.1"},
		{name: "POST", in: swap("GET", "POST"), status: 405, text: "GET"},
		{name: "HEAD", in: swap("GET", "HEAD"), status: 405, text: "GET"},
		{name: "no Host", in: swap("Host: sip.example.com\r\n", ""), status: 400, text: "Host"},
		{name: "a browser's address line", in: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", status: 426, text: "WebSocket"},
		{name: "Upgrade to h2c", in: swap("websocket", "h2c"), status: 426, text: "WebSocket"},
		{name: "Upgrade is not in Connection", in: swap("Connection: Upgrade", "Connection: close"), status: 426, text: "WebSocket"},
		{name: "no version", in: swap("Sec-WebSocket-Version: 13\r\n", ""), status: 426, text: "13"},
		{name: "version 8", in: swap("Version: 13", "Version: 8"), status: 426, text: "13"},
		{name: "no key", in: swap("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), status: 400, text: "Key"},
		{name: "two keys", in: swap("Origin", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin"), status: 400, text: "Key"},
		{name: "short key", in: swap("dGhlIHNhbXBsZSBub25jZQ==", "dGhl"), status: 400, text: "Key"},
		{name: "key that is not base64", in: swap("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j%Q=="), status: 400, text: "Key"},
		{name: "body", in: swap("Origin", "Content-Length: 5\r\nOrigin"), status: 400, text: "behind"},
		{name: "chunked body", in: swap("Origin", "Transfer-Encoding: chunked\r\nOrigin"), status: 400, text: "behind"},
		{name: "no subprotocol", in: swap("Sec-WebSocket-Protocol: sip\r\n", ""), status: 400, text: `"sip"`},
		{name: "another subprotocol", in: swap("Protocol: sip", "Protocol: msrp"), status: 400, text: `"sip"`},
		{name: "subprotocol in capitals", in: swap("Protocol: sip", "Protocol: SIP"), status: 400, text: `"sip"`},

		{name: "path", options: WSOptions{Path: "/sip"}, in: swap("GET / ", "GET /sip ")},
		{name: "path with query", options: WSOptions{Path: "/sip"}, in: swap("GET / ", "GET /sip?a=/ ")},
		{name: "another path", options: WSOptions{Path: "/sip"}, in: wsHandshake, status: 404, text: "path"},
		{name: "path below", options: WSOptions{Path: "/sip"}, in: swap("GET / ", "GET /sip/x "), status: 404, text: "path"},
		{name: "origin", options: WSOptions{Origins: []string{"https://www.example.com"}}, in: wsHandshake},
		{name: "another origin", options: WSOptions{Origins: []string{"https://www.example.org"}}, in: wsHandshake, status: 403, text: "origin"},
		{name: "two origins", options: WSOptions{Origins: []string{"https://www.example.com"}}, in: swap("Origin", "Origin: https://www.example.com\r\nOrigin"), status: 403, text: "origin"},
		{name: "no origin", options: WSOptions{Origins: []string{"https://www.example.org"}}, in: swap("Origin: https://www.example.com\r\n", "")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := newWSPolicy(tc.options)
			if err != nil {
				t.Fatal(err)
			}
			key, err := p.check([]byte(tc.in), nil)
			if tc.status == 0 {
				if err != nil || key != "dGhlIHNhbXBsZSBub25jZQ==" {
					t.Errorf("check = %q, %v", key, err)
				}
				return
			}
			no, ok := errors.AsType[*refusal](err)
			if !ok || no.status != tc.status || !strings.Contains(no.reason, tc.text) {
				t.Fatalf("check = %q, %v, want %d with %q", key, err, tc.status, tc.text)
			}
			response := string(no.response())
			// RFC 6455 §4.4 and RFC 9110 §15.5.22.
			if (tc.status == 426) != strings.Contains(response, "\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: Upgrade, close\r\n") {
				t.Errorf("response %q", response)
			}
			if (tc.status == 405) != strings.Contains(response, "\r\nAllow: GET\r\n") {
				t.Errorf("response %q", response)
			}
		})
	}
}

func TestOrigin(t *testing.T) {
	for _, tc := range []struct {
		pattern   string
		good, bad []string
	}{
		{
			"https://phone.example.com",
			[]string{"https://phone.example.com", "HTTPS://Phone.Example.COM"},
			[]string{"", "null", "http://phone.example.com", "https://phone.example.com:8443", "https://phone.example.com.evil.test", "https://xphone.example.com", "https://phone.example.com/"},
		},
		{
			"https://*.Example.com",
			[]string{"https://a.example.com", "https://a.b.example.com"},
			[]string{"https://example.com", "https://.example.com", "https://evil.test/.example.com", "https://evil.test?.example.com", "https://a.example.com:1", "http://a.example.com", "https://aexample.com"},
		},
		{"https://*.example.com:8443", []string{"https://a.example.com:8443"}, []string{"https://a.example.com", "https://evil.test:1.example.com:8443"}},
		{"https://example.com:443", []string{"https://example.com"}, nil},
		{"http://localhost:3000", []string{"http://localhost:3000"}, []string{"http://localhost"}},
		{"http://[::1]:3000", []string{"http://[::1]:3000"}, nil},
		{"null", []string{"null"}, []string{"", "https://null"}},
		{"capacitor://localhost", []string{"capacitor://localhost"}, nil},
	} {
		o, err := parseOrigin(tc.pattern)
		if err != nil {
			t.Errorf("parseOrigin(%q): %v", tc.pattern, err)
			continue
		}
		for _, s := range tc.good {
			if !o.matches(s) {
				t.Errorf("%q does not match %q", tc.pattern, s)
			}
		}
		for _, s := range tc.bad {
			if o.matches(s) {
				t.Errorf("%q matches %q", tc.pattern, s)
			}
		}
	}
	for _, s := range []string{"", "*", "example.com", "https://", "https://a/b", "https://a?b", "https://u@a", "https://a.*.com", "https://*", "https://*.1.2.3.4", "https://a b"} {
		if o, err := parseOrigin(s); err == nil {
			t.Errorf("parseOrigin(%q) = %+v", s, o)
		}
	}
}
