package main

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"reveille/internal/sipmsg"
)

// parse reads a REGISTER with the server's own parser, which finds what is wrong
// with it.
func parse(t *testing.T, b []byte) *sipmsg.Message {
	t.Helper()
	m, err := sipmsg.Parse(b, netip.AddrPort{})
	if err != nil {
		t.Fatalf("%v in\n%s", err, b)
	}
	return m
}

func TestMessage_IsARegister(t *testing.T) {
	for _, push := range []bool{true, false} {
		m := newTemplate(7, push, 0).message()
		m.setUser(42)
		m.set(fieldCSeq, 3)
		m.set(fieldBranch, 1234567890)
		m.set(fieldExpires, 3600)
		m.set(fieldCall, 0xabc)
		parse(t, m.bytes)
		text := string(m.bytes)
		for _, want := range []string{
			"From: <sip:user00000042@example.com>;tag=b00000000002a\r\n", "To: <sip:user00000042@example.com>\r\n", "CSeq: 0000000003 REGISTER\r\n",
			"Via: SIP/2.0/UDP 10.100.100.142:5060;branch=z9hG4bK1234567890;rport\r\n", "Call-ID: 00000007-00000abc-00000000002a@",
			"<sip:user00000042@10.100.100.142:5060", ";expires=003600\r\n",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("push %t: there is no %q in\n%s", push, want, text)
			}
		}
		if strings.Contains(text, "pn-prid=") != push || strings.ContainsAny(text, "{}") {
			t.Errorf("push %t:\n%s", push, text)
		}
		if n := len(text); push && (n < 800 || n > 900) {
			t.Errorf("a REGISTER has %d bytes, not what a phone app's has", n)
		}
	}
}

// TestMessage_LeavesNothingOfTheLast: a message that was another user's before is
// the same as a new one.
func TestMessage_LeavesNothingOfTheLast(t *testing.T) {
	tmpl := newTemplate(7, true, 0)
	used, fresh := tmpl.message(), tmpl.message()
	used.setUser(1_999_999)
	used.setUser(3)
	fresh.setUser(3)
	if string(used.bytes) != string(fresh.bytes) {
		t.Errorf("used\n%s\nfresh\n%s", used.bytes, fresh.bytes)
	}
	if used.setUser(4); string(used.bytes) == string(fresh.bytes) {
		t.Error("two users send the same")
	}
}

func TestPutOctets_OneAddressForEachUser(t *testing.T) {
	seen := map[string]bool{}
	for _, u := range []uint64{0, 1, 127, 128, 16383, 16384, 1_999_999} {
		b := []byte("...........")
		putOctets(b, u)
		if seen[string(b)] || len(b) != 11 {
			t.Errorf("user %d has %s", u, b)
		}
		seen[string(b)] = true
	}
	if !seen["100.100.100"] || !seen["222.108.227"] {
		t.Errorf("octets %v", seen)
	}
}

// TestKeys_Sign computes the response in the long way of RFC 7616 §3.4.1.
func TestKeys_Sign(t *testing.T) {
	const nonce = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_abcdef"
	k := newKeys(3)
	if k.challenge(2, []byte(strings.Repeat("x", nonceSize+1))) {
		t.Error("a nonce was taken that there is no room for")
	}
	if !k.challenge(2, []byte(nonce)) {
		t.Fatal("a nonce was not taken")
	}
	m := newTemplate(7, true, len(nonce)).message()
	m.setUser(2)
	k.sign(&m, 2, 1)
	k.sign(&m, 2, 0xfeed)
	parse(t, m.bytes)
	h := func(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }
	want := h(h("user00000002:example.com:secret-00000002") + ":" + nonce + ":00000002:000000000000feed:auth:" + h("REGISTER:sip:example.com"))
	header := `Authorization: Digest username="user00000002", realm="example.com", nonce="` + nonce + `", uri="sip:example.com", response="` + want +
		`", algorithm=SHA-256, cnonce="000000000000feed", qop=auth, nc=00000002` + "\r\n"
	if !strings.Contains(string(m.bytes), header) {
		t.Errorf("want %s in\n%s", header, m.bytes)
	}
}

func TestReadAnswer(t *testing.T) {
	const via = "\r\nVia: SIP/2.0/UDP 10.100.100.100:5060;branch=z9hG4bK"
	tests := []struct {
		name, text string
		status     int
		branch     uint64
		ok         bool
	}{
		{"200", "SIP/2.0 200 OK" + via + "0300000042;rport=5\r\n", 200, 300000042, true},
		{"401", "SIP/2.0 401 Unauthorized" + via + "0000000001;rport\r\n", 401, 1, true},
		{"a request", "OPTIONS sip:a SIP/2.0" + via + "0000000001\r\n", 0, 0, false},
		{"another's branch", "SIP/2.0 200 OK" + via + "abcdefghij\r\n", 0, 0, false},
		{"no branch", "SIP/2.0 200 OK\r\n\r\n", 0, 0, false},
		{"cut", "SIP/2.0 200 OK" + via + "00000", 0, 0, false},
		{"nothing", "", 0, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, branch, ok := readAnswer([]byte(tt.text))
			if ok != tt.ok || ok && (status != tt.status || branch != tt.branch) {
				t.Errorf("readAnswer = %d, %d, %t; want %d, %d, %t", status, branch, ok, tt.status, tt.branch, tt.ok)
			}
		})
	}
}

func TestReadNonce(t *testing.T) {
	text := "SIP/2.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"a\", nonce=\"md5\", algorithm=MD5\r\n" +
		"WWW-Authenticate: Digest realm=\"a\", nonce=\"sha\", algorithm=SHA-256, qop=\"auth\"\r\n\r\n"
	if nonce, ok := readNonce([]byte(text)); !ok || string(nonce) != "sha" {
		t.Errorf("readNonce = %q, %t", nonce, ok)
	}
	for _, text := range []string{"", "SIP/2.0 401 No\r\n\r\n", "WWW-Authenticate: Digest algorithm=SHA-256\r\n", "WWW-Authenticate: Digest algorithm=SHA-256, nonce=\"\r\n"} {
		if nonce, ok := readNonce([]byte(text)); ok {
			t.Errorf("readNonce(%q) = %q", text, nonce)
		}
	}
}

func TestLatencies_Quantiles(t *testing.T) {
	var l latencies
	if got := l.quantile(.5); got != 0 {
		t.Errorf("quantile of nothing = %v", got)
	}
	for us := range 10_000 {
		l.add(time.Duration(us) * time.Microsecond)
	}
	for _, tt := range []struct {
		q    float64
		want time.Duration
	}{{.5, 5000 * time.Microsecond}, {.99, 9900 * time.Microsecond}, {1, 9999 * time.Microsecond}} {
		if got := l.quantile(tt.q); got > tt.want || got < tt.want*95/100 {
			t.Errorf("quantile(%v) = %v, want %v or a little less", tt.q, got, tt.want)
		}
	}
	l.add(-time.Second) // The clock went back.
	l.add(time.Duration(1<<63 - 1))
	for us := uint64(0); us < 1<<40; us = us*5/4 + 1 {
		if b := bucket(us); lower(b) > us || lower(b+1) <= us {
			t.Fatalf("%d µs is in bucket %d, from %d to %d", us, b, lower(b), lower(b+1))
		}
	}
}
