package app

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// A caller whom nobody knows is challenged like others, unless help is open to calls of all; and
// what looks like a scan to the guard is none.
func TestEmergency_OfAnyone_RFC5031_4_2(t *testing.T) {
	help, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer help.Close()
	for _, open := range []bool{false, true} {
		r := newRig(t, `auth: {mode: {registrar: required, proxy: required}, users: [{name: bob, password: b}]}`, `guard: {hosts: domains, exempt: []}`,
			fmt.Sprintf(`proxy: {emergency: {route: help, numbers: ["112"], anyone: %t}, routes: [{name: help, domain: psap.example.com, to: "sip:%s"}]}`, open, help.LocalAddr()))
		for _, uri := range []string{"urn:service:sos", "sip:112@example.com", "tel:112", "sip:bob@example.com"} {
			w := r.dial("udp")
			call := w.request("INVITE", uri, "Call-ID: "+uri)
			w.send(call)
			if !open || uri == "sip:bob@example.com" {
				w.expect(407)
				continue
			}
			b := make([]byte, 65536)
			line, rest := "", ""
			var from net.Addr
			for !strings.Contains(rest, "\r\nCall-ID: "+uri+"\r\n") { // Else it is a copy of the last one.
				if err := help.SetReadDeadline(time.Now().Add(patience)); err != nil {
					t.Fatal(err)
				}
				var n int
				if n, from, err = help.ReadFrom(b); err != nil {
					t.Fatalf("%s: %v", uri, err)
				}
				line, rest, _ = strings.Cut(string(b[:n]), "\r\n")
			}
			if !strings.HasPrefix(line, "INVITE ") {
				t.Fatalf("%s arrived as %q", uri, line)
			}
			if _, err := help.WriteTo([]byte("SIP/2.0 200 OK\r\n"+rest), from); err != nil {
				t.Fatal(err)
			}
			got := w.status()
			for strings.HasPrefix(got, "SIP/2.0 100 ") {
				got = w.status()
			}
			if !strings.HasPrefix(got, "SIP/2.0 200 ") {
				t.Fatalf("%s: %q, want 200", uri, got)
			}
		}
	}
}

func TestEmergency_GoesByItsRoute_RFC5031_4_2(t *testing.T) {
	help, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer help.Close()
	r := newRig(t, `auth: {mode: {registrar: "off", proxy: "off"}, trusted: [{cidr: 127.0.0.0/8}]}`,
		`proxy: {emergency: {route: help, numbers: ["112"]}, routes: [{name: help, domain: psap.example.com, to: "sip:`+help.LocalAddr().String()+`"}]}`)
	for _, uri := range []string{"urn:service:sos.police", "sip:112@example.com", "tel:112;phone-context=example.com"} {
		w := r.dial("udp")
		w.send(w.request("MESSAGE", uri))
		b := make([]byte, 65536)
		if err := help.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, from, err := help.ReadFrom(b)
		if err != nil {
			t.Fatalf("%s: %v", uri, err)
		}
		want := strings.Replace(uri, "tel:112;phone-context=example.com", "sip:112@example.com;user=phone", 1)
		if got := string(b[:n]); !strings.HasPrefix(got, "MESSAGE "+want+" SIP/2.0\r\n") {
			t.Errorf("%s arrived as %q", uri, got)
		}
		answer := strings.Replace(string(b[:n]), "MESSAGE "+want+" SIP/2.0", "SIP/2.0 200 OK", 1)
		if _, err := help.WriteTo([]byte(answer), from); err != nil {
			t.Fatal(err)
		}
		w.expect(200)
	}
}

func TestEmergency_NotServed(t *testing.T) {
	r := newRig(t, `auth: {mode: {registrar: "off", proxy: "off"}, trusted: [{cidr: 127.0.0.0/8}]}`)
	w := r.dial("udp")
	w.send(w.request("MESSAGE", "urn:service:sos"))
	w.expect(416)
}
