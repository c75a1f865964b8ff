package app

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"reveille/internal/sipmsg"
)

// A rawPhone sends what a test writes, from one UDP socket.
type rawPhone struct {
	t    *testing.T
	conn *net.UDPConn
	addr string
	seen map[string]bool // what has come
}

func (r *rig) rawPhone() *rawPhone {
	r.t.Helper()
	server, err := net.ResolveUDPAddr("udp", r.Addr("udp").String())
	if err != nil {
		r.t.Fatal(err)
	}
	conn, err := net.DialUDP("udp", nil, server)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return &rawPhone{r.t, conn, conn.LocalAddr().String(), map[string]bool{}}
}

// send sends a request of alice's in which "@me" stands for the phone's address.
func (p *rawPhone) send(method, uri, callID string, seq int, headers ...string) {
	p.t.Helper()
	text := fmt.Sprintf("%s %s SIP/2.0\r\nVia: SIP/2.0/UDP @me;branch=z9hG4bK%s%d\r\nMax-Forwards: 70\r\nCall-ID: %s\r\nCSeq: %d %s\r\nFrom: <sip:alice@example.com>;tag=%s\r\nTo: <sip:alice@example.com>\r\nContact: <sip:alice@@me>\r\n%s\r\nContent-Length: 0\r\n\r\n",
		method, uri, callID, seq, callID, seq, method, callID, strings.Join(headers, "\r\n"))
	if _, err := p.conn.Write([]byte(strings.ReplaceAll(text, "@me", p.addr))); err != nil {
		p.t.Fatal(err)
	}
}

// next returns the next message, less those that were sent again.
func (p *rawPhone) next(want string) *sipmsg.Message {
	p.t.Helper()
	b := make([]byte, 65536)
	if err := p.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	for {
		n, err := p.conn.Read(b)
		if err != nil {
			p.t.Fatalf("waiting for %s: %v", want, err)
		}
		text := string(b[:n])
		if p.seen[text] {
			continue
		}
		p.seen[text] = true
		m, err := sipmsg.Parse([]byte(text), netip.AddrPort{})
		if err != nil {
			p.t.Fatalf("%v\n%s", err, text)
		}
		got := m.Method()
		if !m.IsRequest() {
			got = fmt.Sprint(m.Status())
		}
		if got == want {
			return m
		}
		p.t.Fatalf("got %s, want %s:\n%s", got, want, m.Raw())
	}
}

func (p *rawPhone) ok(m *sipmsg.Message) {
	p.t.Helper()
	if _, err := p.conn.Write(m.AppendReply(nil, sipmsg.Reply{Code: 200})); err != nil {
		p.t.Fatal(err)
	}
}

// A user watches herself: also refreshes are told that would be answered in place if
// nobody watched, and so is the end of the server.
func TestRegEvent_OwnRegistration_RFC3680_4_6(t *testing.T) {
	r := newRig(t, openYAML, "registrar: {reg_event: {interval: 0s}}")
	p := r.rawPhone()
	p.send("REGISTER", "sip:example.com", "reg", 1)
	p.next("200")
	p.send("SUBSCRIBE", "sip:alice@example.com", "sub", 1, "Event: reg")
	p.next("200")
	n := p.next("NOTIFY")
	if !strings.Contains(n.Body(), `event="registered"`) {
		t.Errorf("first document:\n%s", n.Body())
	}
	p.ok(n)
	p.send("REGISTER", "sip:example.com", "reg", 2)
	p.next("200")
	if n = p.next("NOTIFY"); !strings.Contains(n.Body(), `event="refreshed"`) || !strings.Contains(n.Body(), `state="partial"`) {
		t.Errorf("document after a refresh:\n%s", n.Body())
	}
	p.ok(n)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if v, _ := p.next("NOTIFY").Header(sipmsg.HdrSubscriptionState); !strings.HasPrefix(v, "terminated;reason=probation;retry-after=") {
		t.Errorf("Subscription-State at the end: %q", v)
	}
}

func TestRegEvent_Reload(t *testing.T) {
	r := newRig(t, openYAML, "registrar: {reg_event: {interval: 0s}}")
	p := r.rawPhone()
	p.send("REGISTER", "sip:example.com", "reg", 1)
	p.next("200")
	p.send("SUBSCRIBE", "sip:alice@example.com", "sub", 1, "Event: reg")
	p.next("200")
	p.ok(p.next("NOTIFY"))
	if err := r.Reload(r.config(openYAML, "registrar: {reg_event: {enabled: false}}")); err != nil {
		t.Fatal(err)
	}
	n := p.next("NOTIFY")
	if v, _ := n.Header(sipmsg.HdrSubscriptionState); v != "terminated;reason=rejected" {
		t.Errorf("Subscription-State %q", v)
	}
	p.ok(n)
	p.send("SUBSCRIBE", "sip:alice@example.com", "again", 1, "Event: reg")
	p.next("489")
}

// Strangers and other users learn nothing, not even who exists.
func TestRegEvent_Others_RFC6665_6_2(t *testing.T) {
	r := newRig(t, openYAML)
	r.rawPhone().send("REGISTER", "sip:example.com", "reg", 1)
	p := r.rawPhone()
	for i, user := range []string{"alice", "nobody"} {
		p.send("SUBSCRIBE", "sip:"+user+"@example.com", "sub", i+1, "Event: reg")
		p.next("403")
	}
	if n := r.notifier.Subscriptions(); n != 0 {
		t.Errorf("%d subscriptions", n)
	}
}
