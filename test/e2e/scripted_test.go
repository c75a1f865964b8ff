//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// dialog is the state that the caller keeps of a call.
type dialog struct {
	caller           *wire
	from, to, callID string
	target           string
	routes           []string
}

// call sets up a call from bob to a phone that is awake.
func (s *server) call(callee *wire, contact string) *dialog {
	s.t.Helper()
	d := s.newDialog()
	d.invite()
	invite := callee.expect("INVITE ")
	callee.reply(invite, "200 OK", "Contact: <"+contact+">")
	ok := d.caller.expect("SIP/2.0 200 ")
	d.to, d.target = header(ok, "To"), contact
	d.routes = headers(ok, "Record-Route")
	slices.Reverse(d.routes)
	for i := range d.routes {
		d.routes[i] = strings.Replace(d.routes[i], "Record-Route:", "Route:", 1)
	}
	d.send("ACK", 1)
	callee.expect("ACK ")
	return d
}

// callAsleep has bob call alice's phone, which fell asleep, and returns once the
// phone was pushed.
func (s *server) callAsleep(token string) (caller *wire) {
	s.t.Helper()
	phone := s.dial("tcp")
	phone.register("alice", token, 1)
	phone.conn.Close()
	d := s.newDialog()
	d.invite()
	s.eventually("the push", 5*time.Second, func() bool { return s.pushes(token) == 1 })
	return d.caller
}

func (s *server) newDialog() *dialog {
	caller := s.dial("udp")
	return &dialog{caller: caller, callID: "call-" + caller.addr(), from: "<sip:bob@example.com>;tag=caller"}
}

// invite sends the caller's first INVITE.
func (d *dialog) invite() {
	d.caller.send("INVITE sip:alice@example.com SIP/2.0", "Via: "+d.caller.via("i1"), "Max-Forwards: 70", "From: "+d.from,
		"To: <sip:alice@example.com>", "Call-ID: "+d.callID, "CSeq: 1 INVITE", "Contact: <sip:bob@"+d.caller.addr()+">")
}

// send sends a request of the caller in the dialog.
func (d *dialog) send(method string, cseq int) {
	lines := []string{
		method + " " + d.target + " SIP/2.0", "Via: " + d.caller.via(fmt.Sprintf("%s-%d", method, cseq)), "Max-Forwards: 70",
		"From: " + d.from, "To: " + d.to, "Call-ID: " + d.callID, fmt.Sprintf("CSeq: %d %s", cseq, method),
	}
	if method == "INVITE" {
		lines = append(lines, "Contact: <sip:bob@"+d.caller.addr()+">")
	}
	d.caller.send(append(lines, d.routes...)...)
}

// A phone falls asleep in a call, and a re-INVITE and the BYE find it.
func TestRequestsFindAPhoneThatFellAsleepInACall(t *testing.T) {
	for _, withPURR := range []bool{false, true} {
		t.Run(fmt.Sprintf("pn-purr %t", withPURR), func(t *testing.T) {
			t.Parallel()
			s := start(t, options{open: true})
			const token = "tok:secret-token-5"
			phone := s.dial("tcp")
			ok := phone.register("alice", token, 1)
			contact := "sip:alice@" + phone.addr() + ";transport=tcp"
			if withPURR {
				_, rest, found := strings.Cut(header(ok, "Feature-Caps"), `+sip.pnspurr="`)
				purr, _, closed := strings.Cut(rest, `"`)
				if !found || !closed {
					t.Fatalf("no PURR in %q", header(ok, "Feature-Caps"))
				}
				contact += ";pn-purr=" + purr
			}
			d := s.call(phone, contact)
			for i, method := range []string{"INVITE", "BYE"} {
				phone.conn.Close()
				woken := make(chan *wire, 1)
				s.onPush(token, func() {
					w := s.dial("tcp")
					woken <- w
				})
				d.send(method, 2+i)
				select {
				case phone = <-woken:
				case <-time.After(10 * time.Second):
					t.Fatal("no push")
				}
				phone.register("alice", token, 1)
				m := phone.expect(method + " ")
				if want := "sip:alice@"; !strings.Contains(firstLine(m), want) {
					t.Errorf("Request-URI in %q, want the dialog's target", firstLine(m))
				}
				phone.reply(m, "200 OK", "Contact: <"+contact+">")
				d.caller.expect("SIP/2.0 200 ")
				if method == "INVITE" {
					d.send("ACK", 2+i)
					phone.expect("ACK ")
				}
			}
			if n := s.pushes(token); n != 2 {
				t.Errorf("%d pushes, want 2", n)
			}
		})
	}
}

func TestTwoRegistersDuringOneWaitBringOneInvite(t *testing.T) {
	t.Parallel()
	s := start(t, options{open: true})
	const token = "tok:secret-token-6"
	caller := s.callAsleep(token)
	phone := s.dial("udp")
	phone.register("alice", token, 1)
	invite := phone.expect("INVITE ")
	phone.register("alice", token, 2)
	again := s.dial("udp")
	again.register("alice", token, 1)
	if m := again.receive(time.Second); m != "" {
		t.Errorf("a second branch: %q", firstLine(m))
	}
	phone.reply(invite, "200 OK", "Contact: <sip:alice@"+phone.addr()+">")
	caller.expect("SIP/2.0 200 ")
}

func TestTheSameTokenUnderAnotherAORReleasesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, options{open: true, wait: "3s"})
	const token = "tok:secret-token-7"
	caller := s.callAsleep(token)
	thief := s.dial("udp")
	thief.register("mallory", token, 1)
	if m := thief.receive(time.Second); m != "" {
		t.Errorf("the thief received %q", firstLine(m))
	}
	caller.expect("SIP/2.0 480 ")
}

func TestForgedToTagAndForeignRouteRelayNothing(t *testing.T) {
	t.Parallel()
	s := start(t, options{open: true})
	victim := s.dial("udp")
	caller := s.dial("udp")
	tests := []struct{ name, uri, to, route string }{
		{"forged To tag", "sip:x@" + victim.addr(), "<sip:x@example.com>;tag=forged", ""},
		{"foreign Route", "sip:alice@example.com", "<sip:alice@example.com>", "Route: <sip:" + victim.addr() + ";lr>"},
		{"foreign Route behind ours", "sip:alice@example.com", "<sip:alice@example.com>", "Route: <sip:" + s.addr + ";lr>, <sip:" + victim.addr() + ";lr>"},
		{"maddr", "sip:x@example.com;maddr=127.0.0.1", "<sip:x@example.com>", ""},
		{"foreign domain", "sip:x@" + victim.addr(), "<sip:x@" + victim.addr() + ">", ""},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lines := []string{
				"OPTIONS " + tt.uri + " SIP/2.0", "Via: " + caller.via(fmt.Sprint("f", i)), "Max-Forwards: 70",
				"From: <sip:bob@example.com>;tag=caller", "To: " + tt.to, fmt.Sprintf("Call-ID: forged-%d", i), "CSeq: 1 OPTIONS",
			}
			if tt.route != "" {
				lines = append(lines, tt.route)
			}
			caller.send(lines...)
			caller.expect("SIP/2.0 403 ")
			if m := victim.receive(200 * time.Millisecond); m != "" {
				t.Errorf("relayed %q", firstLine(m))
			}
		})
	}
}
