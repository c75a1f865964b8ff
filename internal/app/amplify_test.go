package app

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// read returns the next datagram.
func (w *wire) read() string {
	w.t.Helper()
	if err := w.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		w.t.Fatal(err)
	}
	b := make([]byte, 1<<16)
	n, err := w.conn.Read(b)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b[:n])
}

// maxAnswer bounds in bytes the answer to a short request of a stranger: it must
// not be worth while to send requests in the name of others. A challenge with two
// algorithms is the longest.
const maxAnswer = 800

// TestAmplification_OneShortAnswer: whoever sends in another's name makes us send
// one datagram to that address for each of his own, not much longer, and no push.
// An INVITE that is refused like any other would be answered eleven times (RFC
// 3261 §17.2.1, timer G); RFC 3261 §26.3.2.4 has challenges given without state.
func TestAmplification_OneShortAnswer(t *testing.T) {
	const foreign = `Authorization: Digest username="alice", realm="example.com", nonce="00", uri="sip:example.com", response="00000000000000000000000000000000"`
	tests := []struct {
		method, uri string
		more        []string
		status      int // 0: no answer at all
	}{
		{"REGISTER", "sip:example.com", nil, 401},
		{"REGISTER", "sip:example.com", []string{foreign}, 401},
		{"REGISTER", "sip:elsewhere.example", nil, 407},
		{"INVITE", "sip:alice@example.com", nil, 407},
		{"INVITE", "sip:alice@example.com", []string{strings.Replace(foreign, "Auth", "Proxy-Auth", 1)}, 407},
		{"INVITE", "sip:nobody@example.com", nil, 407},
		{"INVITE", "sip:alice@elsewhere.example", nil, 407},
		{"INVITE", "sip:alice@example.com", []string{"To: <sip:alice@example.com>;tag=forged"}, 403},
		{"INVITE", "sip:alice@example.com", []string{"Route: <sip:203.0.113.1;lr>"}, 403},
		{"INVITE", "sip:alice@example.com;maddr=203.0.113.1", nil, 403},
		{"INVITE", "sip:alice@example.com", []string{"Max-Forwards: 0"}, 483},
		{"INVITE", "sip:alice@example.com", []string{"Proxy-Require: x"}, 420},
		{"INVITE", "sip:alice@example.com", []string{"CSeq: 1 OPTIONS"}, 400},
		{"INVITE", "sip:example.com", nil, 404},
		{"INVITE", "http://example.com", nil, 416},
		{"MESSAGE", "sip:alice@example.com", nil, 407},
		{"SUBSCRIBE", "sip:alice@example.com", nil, 407},
		{"OPTIONS", "sip:example.com", nil, 200},
		{"OPTIONS", "sip:alice@example.com", nil, 407},
		{"BYE", "sip:alice@example.com", []string{"To: <sip:alice@example.com>;tag=forged"}, 403},
		{"CANCEL", "sip:alice@example.com", nil, 481},
		{"ACK", "sip:alice@example.com", nil, 0},
		{"UNKNOWN", "sip:alice@example.com", nil, 407},
	}
	r := newRig(t)
	r.sleeper("alice", "tcp", "token-of-alice")
	pushed := len(r.sim.Pushes())
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s %s %v", tt.method, tt.uri, tt.more), func(t *testing.T) {
			w := r.dial("udp")
			w.t = t
			text := w.request(tt.method, tt.uri, tt.more...)
			w.send(text)
			if tt.status != 0 {
				answer := w.read()
				if !strings.HasPrefix(answer, fmt.Sprintf("SIP/2.0 %d ", tt.status)) {
					t.Fatalf("received %q, want %d", answer, tt.status)
				}
				if len(answer) > maxAnswer {
					t.Errorf("the answer has %d bytes, the request %d; at most %d are allowed", len(answer), len(text), maxAnswer)
				}
				t.Logf("%d bytes in, %d out", len(text), len(answer))
			}
			// Nothing came in between, and nothing is left that could send more.
			w.send(w.request("OPTIONS", "sip:example.com"))
			if second := w.read(); !strings.HasPrefix(second, "SIP/2.0 200 ") || strings.Contains(second, "CSeq: 1 "+tt.method+"\r\n") && tt.method != "OPTIONS" {
				t.Errorf("received %q, want the answer to the next request", second)
			}
			r.eventually("no transaction is left", func() bool { return r.metric("reveille_transaction_live") == 0 })
		})
	}
	if n := len(r.sim.Pushes()) - pushed; n != 0 {
		t.Errorf("strangers caused %d pushes", n)
	}
}

// TestAmplification_ShortestRequest: nobody gets more than four bytes out for one
// of his.
func TestAmplification_ShortestRequest(t *testing.T) {
	r := newRig(t)
	for _, method := range []string{"REGISTER", "INVITE", "OPTIONS", "MESSAGE"} {
		w := r.dial("udp")
		text := method + " sip:a@example.com SIP/2.0\r\nv:SIP/2.0/UDP a;branch=z9hG4bK1;rport\r\nf:<sip:a@b>;tag=1\r\n" +
			"t:<sip:a@example.com>\r\ni:1\r\nCSeq:1 " + method + "\r\n\r\n"
		w.send(text)
		answer := w.read()
		if len(answer) > 4*len(text) {
			t.Errorf("the answer to %s has %d bytes, the request %d", method, len(answer), len(text))
		}
		t.Logf("%s: %d bytes in, %d out", method, len(text), len(answer))
	}
}

// TestAmplification_LongRequest: the answer repeats Via, From, To, Call-ID and
// CSeq, and nothing else of the request.
func TestAmplification_LongRequest(t *testing.T) {
	r := newRig(t)
	w := r.dial("udp")
	for _, more := range []string{
		"X: " + strings.Repeat("x", 8000),
		"Contact: " + strings.Repeat("<sip:a@203.0.113.1>, ", 400) + "<sip:b@203.0.113.1>",
		"Record-Route: " + strings.Repeat("<sip:203.0.113.1;lr>, ", 400) + "<sip:203.0.113.2;lr>",
		"User-Agent: " + strings.Repeat("(", 8000),
	} {
		text := w.request("REGISTER", "sip:example.com", more)
		w.send(text)
		if answer := w.read(); len(answer) > maxAnswer {
			t.Errorf("the answer to %.20s… has %d bytes, the request %d", more, len(answer), len(text))
		}
	}
}
