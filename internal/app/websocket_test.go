package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"reveille/internal/tlscert/certtest"
)

const wsYAML = `listen: [{name: ws, transport: ws, addr: "127.0.0.1:0", ws: {path: /sip, origins: ["https://*.example.com"]}}, {name: udp, transport: udp, addr: "127.0.0.1:0"}]`

// A browser is a WebSocket client that speaks SIP as a page does.
type browser struct {
	r    *rig
	conn *websocket.Conn
}

func (r *rig) browser() *browser {
	r.t.Helper()
	return r.browserAt("ws://"+r.Addr("ws").String(), nil)
}

// browserAt is a browser that trusts the authorities of client.
func (r *rig) browserAt(url string, client *http.Client) *browser {
	r.t.Helper()
	c, _, err := websocket.Dial(r.within(), url+"/sip", &websocket.DialOptions{
		HTTPClient: client, Subprotocols: []string{"sip"}, HTTPHeader: map[string][]string{"Origin": {"https://www.example.com"}},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.CloseNow() })
	return &browser{r, c}
}

func (b *browser) send(lines ...string) {
	b.r.t.Helper()
	text := strings.Join(lines, "\r\n") + "\r\n\r\n"
	if err := b.conn.Write(b.r.within(), websocket.MessageText, []byte(text)); err != nil {
		b.r.t.Fatal(err)
	}
}

// expect reads a message that begins with start and holds all of parts.
func (b *browser) expect(start string, parts ...string) string {
	b.r.t.Helper()
	kind, msg, err := b.conn.Read(b.r.within())
	if err != nil || kind != websocket.MessageText || !strings.HasPrefix(string(msg), start) {
		b.r.t.Fatalf("read %v, %v, want %s:\n%s", kind, err, start, msg)
	}
	for _, part := range parts {
		if !strings.Contains(string(msg), part) {
			b.r.t.Errorf("%q is missing:\n%s", part, msg)
		}
	}
	return string(msg)
}

// register sends what a browser does (RFC 7118 §8.1): names nobody can resolve,
// and no Content-Length.
func (b *browser) register(callID, instance string) string {
	b.r.t.Helper()
	b.send("REGISTER sip:example.com SIP/2.0",
		"Via: SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK"+callID,
		"From: sip:alice@example.com;tag=65bnmj.34asd",
		"To: sip:alice@example.com",
		"Call-ID: "+callID,
		"CSeq: 1 REGISTER",
		"Max-Forwards: 70",
		"Supported: path, outbound, gruu",
		"Contact: <sip:alice@df7jal23ls0d.invalid;transport=ws>;reg-id=1;+sip.instance=\"<urn:uuid:"+instance+">\"")
	return b.expect("SIP/2.0 200 ", "Call-ID: "+callID, "<sip:alice@df7jal23ls0d.invalid;transport=ws>", "urn:uuid:"+instance)
}

// A browser registers, is called on its connection, and is called on its new one
// after it has come back, though its name leads nowhere.
func TestWebSocket_BrowserRegistersAndIsCalled_RFC7118_8(t *testing.T) {
	r := newRig(t, wsYAML, openYAML)
	const instance = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
	first := r.browser()
	first.register("aiuy7k9njasd", instance)
	caller := r.dial("udp")
	call := func(b *browser) {
		t.Helper()
		caller.send(caller.request("OPTIONS", "sip:alice@example.com"))
		got := b.expect("OPTIONS sip:alice@df7jal23ls0d.invalid;transport=ws SIP/2.0\r\nVia: SIP/2.0/WS 127.0.0.1:", "\r\nContent-Length: 0\r\n")
		var answer []string
		for line := range strings.SplitSeq(got, "\r\n") {
			switch name, _, _ := strings.Cut(line, ":"); name {
			case "Via", "From", "Call-ID", "CSeq":
				answer = append(answer, line)
			case "To":
				answer = append(answer, line+";tag=browser")
			}
		}
		b.send(append([]string{"SIP/2.0 200 OK"}, answer...)...)
		caller.expect(200)
	}
	call(first)
	second := r.browser()
	second.register("second", instance)
	if err := first.conn.Close(websocket.StatusGoingAway, ""); err != nil {
		t.Errorf("Close: %v", err)
	}
	call(second)
}

// The same through TLS: Via says WSS, Record-Route transport=ws, for RFC 7118 §5.2
// has no other name for it.
func TestWebSocket_OverTLS_RFC7118_9_1(t *testing.T) {
	a := certtest.New(t)
	cert, key := certtest.Write(t, t.TempDir(), "sip", a.Issue("sip.example.com"))
	r := newRig(t, openYAML, fmt.Sprintf(`listen: [{name: udp, transport: udp, addr: "127.0.0.1:0"}, `+
		`{name: wss, transport: wss, addr: "127.0.0.1:0", advertise: sip.example.com, tls: {cert_file: %s, key_file: %s}, ws: {path: /sip}}]`, cert, key))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.Pool(), ServerName: "sip.example.com"}}}
	defer client.CloseIdleConnections()
	b := r.browserAt("wss://"+r.Addr("wss").String(), client)
	b.register("overtls", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6")
	caller := r.dial("udp")
	caller.send(caller.request("INVITE", "sip:alice@example.com"))
	b.expect("INVITE sip:alice@df7jal23ls0d.invalid;transport=ws SIP/2.0\r\nVia: SIP/2.0/WSS sip.example.com:", "@sip.example.com:", ";transport=ws;lr>")
}

// What the configuration says of paths and origins is what happens.
func TestWebSocket_Policy(t *testing.T) {
	r := newRig(t, wsYAML, openYAML)
	base := "ws://" + r.Addr("ws").String()
	for _, tt := range []struct {
		name, path, origin string
		status             int
	}{
		{"page of ours", "/sip", "https://www.example.com", 101},
		{"another page", "/sip", "https://www.example.org", 403},
		{"another path", "/", "https://www.example.com", 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			c, resp, err := websocket.Dial(ctx, base+tt.path, &websocket.DialOptions{
				Subprotocols: []string{"sip"}, HTTPHeader: map[string][]string{"Origin": {tt.origin}},
			})
			if resp == nil || resp.StatusCode != tt.status {
				t.Errorf("Dial = %v, %v; want %d", resp, err, tt.status)
			}
			if err == nil {
				_ = c.CloseNow()
			}
		})
	}
	if n := r.metric("reveille_transport_handshakes_refused_total"); n != 2 {
		t.Errorf("%v refusals are counted", n)
	}
}
