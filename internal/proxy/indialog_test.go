package proxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"reveille/internal/sipmsg"
	"reveille/push"
)

// call sets up a call from caller to a phone that is awake, and returns the 200
// as the caller got it.
func (w *world) call(p *phone, callID string) *sipmsg.Message {
	w.t.Helper()
	w.recv(caller, request("INVITE", "sip:alice@example.com", callID))
	invite := w.expect("INVITE " + p.flow.Remote.String())[0]
	w.reply(invite, 200, "Contact: <sip:alice@"+p.flow.Remote.String()+">")
	ok := w.expect("200 203.0.113.9:5060")[0].m
	w.recv(caller, inDialogRequest("ACK", 1, ok, true, "sip:alice@"+p.flow.Remote.String()))
	w.expect("ACK " + p.flow.Remote.String())
	return ok
}

func TestInDialog_ByeInEitherDirection(t *testing.T) {
	for _, fromCaller := range []bool{true, false} {
		t.Run(fmt.Sprintf("from caller %t", fromCaller), func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
				w.register(p)
				ok := w.call(p, "c1")
				source, target := caller, p.flow
				uri := "sip:alice@198.51.100.1:5060"
				if !fromCaller {
					source, target = p.flow, caller
					uri = "sip:bob@203.0.113.9:5060"
				}
				w.recv(source, inDialogRequest("BYE", 2, ok, fromCaller, uri))
				bye := w.expect("BYE " + target.Remote.String())[0]
				if got := bye.m.RequestURI().String(); got != uri {
					t.Errorf("Request-URI = %s, want the dialog's remote target %s", got, uri)
				}
				if n := len(bye.m.Routes()); n != 0 {
					t.Errorf("%d Route values left, want ours taken off", n)
				}
				w.reply(bye, 200)
				w.expect("200 " + source.Remote.String())
				w.pushCount(0)
			})
		})
	}
}

func TestInDialog_ReinviteFollowsThePhoneToItsNewFlow_RFC8599_6_2_3(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		ok := w.call(p, "c1")
		p.flow = tcp("198.51.100.7:40000", 3)
		w.register(p)
		w.recv(caller, inDialogRequest("INVITE", 2, ok, true, "sip:alice@198.51.100.1:5060"))
		invite := w.expect("INVITE 198.51.100.7:40000")[0]
		w.reply(invite, 200)
		w.expect("200 203.0.113.9:5060")
		w.recv(caller, inDialogRequest("ACK", 2, ok, true, "sip:alice@198.51.100.1:5060"))
		w.expect("ACK 198.51.100.7:40000")
	})
}

func TestInDialog_SleepingPhoneIsWokenInOrderOfArrival_RFC8599_6_2_3(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		ok := w.call(p, "c1")
		w.sleeps(p)
		target := "sip:alice@198.51.100.1:5060"
		w.recv(caller, inDialogRequest("INFO", 2, ok, true, target))
		w.recv(caller, inDialogRequest("INVITE", 3, ok, true, target))
		// The flow comes back to life in the eyes of a newcomer; it must not
		// overtake those that wait.
		w.mu.Lock()
		w.alive[p.flow] = true
		w.mu.Unlock()
		w.recv(caller, inDialogRequest("BYE", 4, ok, true, target))
		pu := w.pushCount(1)
		if pu.cause.Kind != push.MidDialog {
			t.Errorf("kind = %s, want mid_dialog", pu.cause.Kind)
		}
		w.take()
		p.flow = udp("198.51.100.7:40000")
		w.register(p)
		got := w.expect("INFO 198.51.100.7:40000", "INVITE 198.51.100.7:40000", "BYE 198.51.100.7:40000")
		for i, s := range got {
			if want := uint32(2 + i); s.m.CSeq().Seq != want {
				t.Errorf("message %d has CSeq %d, want %d", i, s.m.CSeq().Seq, want)
			}
			w.reply(s, 200)
		}
	})
}

func TestInDialog_TimeoutIs500WithRetryAfter_RFC5057(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		ok := w.call(p, "c1")
		w.sleeps(p)
		w.recv(caller, inDialogRequest("INVITE", 2, ok, true, "sip:alice@198.51.100.1:5060"))
		w.take()
		time.Sleep(15 * time.Second)
		s := w.expect("500 203.0.113.9:5060")[0]
		if v, has := s.m.HeaderNamed("Retry-After"); !has || v == "0" {
			t.Errorf("Retry-After = %q, want some seconds", v)
		}
	})
}

func TestInDialog_HeadOfTheLineLeavesAndTheNextAsksAnew(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		ok := w.call(p, "c1")
		w.sleeps(p)
		target := "sip:alice@198.51.100.1:5060"
		w.recv(caller, inDialogRequest("INFO", 2, ok, true, target))
		time.Sleep(10 * time.Second)
		w.recv(caller, inDialogRequest("BYE", 3, ok, true, target))
		w.pushCount(1)
		w.take()
		time.Sleep(5 * time.Second)
		w.expect("500 203.0.113.9:5060")
		w.pushCount(2)
		p.flow = udp("198.51.100.7:40000")
		w.register(p)
		w.expect("BYE 198.51.100.7:40000")
	})
}

func TestInDialog_CancelOfAParkedReinvite(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		ok := w.call(p, "c1")
		w.sleeps(p)
		invite := inDialogRequest("INVITE", 2, ok, true, "sip:alice@198.51.100.1:5060")
		w.recv(caller, invite)
		w.take()
		w.recv(caller, strings.ReplaceAll(strings.Replace(invite, "INVITE sip", "CANCEL sip", 1), "2 INVITE", "2 CANCEL"))
		w.expect("200 203.0.113.9:5060", "487 203.0.113.9:5060")
	})
}

func TestInDialog_CallersPhoneMovesToo(t *testing.T) {
	inWorld(t, Options{Identity: Identity{From: AnyFrom}}, func(w *world) {
		// The caller is a phone of ours: the callee's BYE finds it where it is now.
		bob := w.newPhone("bob", udp("203.0.113.9:5060"), "fcm")
		w.register(bob)
		w.admit = func(*sipmsg.Message) Admission { return Admission{User: bob.aor} }
		alice := w.newPhone("alice", udp("198.51.100.1:5060"), "")
		w.register(alice)
		ok := w.call(alice, "c1")
		w.sleeps(bob)
		w.recv(alice.flow, inDialogRequest("BYE", 1, ok, false, "sip:bob@203.0.113.9:5060"))
		w.take()
		w.pushCount(1)
		bob.flow = udp("203.0.113.9:6666")
		w.register(bob)
		w.expect("BYE 203.0.113.9:6666")
	})
}

func TestInDialog_PURRNamesAPeerThatWasNoPhoneOfOurs_RFC8599_6_2_3(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		alice := w.newPhone("alice", udp("198.51.100.1:5060"), "")
		w.register(alice)
		// Bob calls from an address that nobody registered, and shows his PURR.
		ok := w.call(alice, "c1")
		bob := w.newPhone("bob", udp("203.0.113.77:5060"), "fcm")
		w.register(bob)
		w.sleeps(bob)
		w.recv(alice.flow, inDialogRequest("BYE", 1, ok, false, "sip:bob@203.0.113.9:5060;pn-purr="+w.keys.Mint(bob.id)))
		w.expect()
		if pu := w.pushCount(1); pu.aor != bob.aor {
			t.Errorf("pushed %s, want %s", pu.aor, bob.aor)
		}
		bob.flow = udp("203.0.113.77:7777")
		w.register(bob)
		w.expect("BYE 203.0.113.77:7777")
	})
}

func TestInDialog_ForgedPURRCausesNoPush_RFC8599_6_2(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		bob := w.newPhone("bob", udp("203.0.113.77:5060"), "fcm")
		w.register(bob)
		w.sleeps(bob)
		good := w.keys.Mint(bob.id)
		forged := []byte(good)
		if forged[len(forged)-1]++; forged[len(forged)-1] > 'v' {
			forged[len(forged)-1] = '0'
		}
		// A To tag without our token: no dialog of ours, whatever the PURR.
		inDialog := strings.Replace(request("BYE", "sip:bob@203.0.113.77;pn-purr="+good, "x1"), "pn-purr="+good+">", "pn-purr="+good+">;tag=x", 1)
		w.recv(caller, inDialog)
		w.expect("403 203.0.113.9:5060")
		w.recv(caller, request("INVITE", "sip:bob@203.0.113.77;pn-purr="+string(forged), "x2"))
		w.expect("403 203.0.113.9:5060")
		w.pushCount(0)
	})
}

func TestReplaces_InviteToAPURRWakesThatDevice_RFC8599_7(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		bob := w.newPhone("bob", udp("203.0.113.77:5060"), "fcm")
		w.register(bob)
		w.sleeps(bob)
		w.recv(caller, request("INVITE", "sip:bob@203.0.113.77;pn-purr="+w.keys.Mint(bob.id), "x1", "Replaces: abc;to-tag=1;from-tag=2"))
		w.pushCount(1)
		w.take()
		bob.flow = udp("203.0.113.77:7777")
		w.register(bob)
		w.expect("INVITE 203.0.113.77:7777")
	})
}

func TestInDialog_TokenOfAnotherDialogIsRefused(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		ok := w.call(p, "c1")
		w.sleeps(p)
		other := strings.ReplaceAll(inDialogRequest("BYE", 2, ok, true, "sip:alice@198.51.100.1:5060"), "c1", "c2")
		w.recv(caller, other)
		w.expect("403 203.0.113.9:5060")
		w.recv(caller, strings.ReplaceAll(strings.ReplaceAll(inDialogRequest("ACK", 1, ok, true, "sip:alice@198.51.100.1:5060"), "tag=caller", "tag=forged"), "c1", "c3"))
		w.expect()
		w.pushCount(0)
	})
}

func TestInDialog_BindingGoneFallsBackToTheFlow(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "")
		w.register(p)
		ok := w.call(p, "c1")
		w.unregister(p)
		w.recv(caller, inDialogRequest("BYE", 2, ok, true, "sip:alice@198.51.100.1:5060"))
		w.expect("BYE 198.51.100.1:5060")
	})
}

func TestInDialog_ClosedConnectionOfAPeerIsDialledAnew(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", tcp("198.51.100.1:40000", 1), "")
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		invite := w.expect("INVITE 198.51.100.1:40000")[0]
		w.reply(invite, 200)
		ok := w.expect("200 203.0.113.9:5060")[0].m
		if n := len(ok.RecordRoutes()); n != 2 {
			t.Fatalf("%d Record-Route, want 2 between UDP and TCP (RFC 5658)", n)
		}
		w.unregister(p)
		w.mu.Lock()
		w.dead[p.flow] = true
		w.mu.Unlock()
		w.recv(caller, inDialogRequest("BYE", 2, ok, true, "sip:alice@198.51.100.1:5070;transport=tcp"))
		w.expect("BYE 198.51.100.1:5070")
		w.recv(caller, inDialogRequest("BYE", 3, ok, true, "sip:alice@phone.invalid;transport=ws"))
		w.expect("430 203.0.113.9:5060")
	})
}

func TestInDialog_StrictRouterInFrontOfUs_RFC3261_16_4(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "")
		w.register(p)
		ok := w.call(p, "c1")
		bye := inDialogRequest("BYE", 2, ok, true, "sip:alice@198.51.100.1:5060")
		route := ok.RecordRoutes()[0].URI.String()
		bye = strings.Replace(bye, "BYE sip:alice@198.51.100.1:5060 ", "BYE "+route+" ", 1)
		bye = strings.Replace(bye, "Route: <"+route+">", "Route: <sip:alice@198.51.100.1:5060>", 1)
		w.recv(caller, bye)
		got := w.expect("BYE 198.51.100.1:5060")[0]
		if uri := got.m.RequestURI().String(); uri != "sip:alice@198.51.100.1:5060" {
			t.Errorf("Request-URI = %s, want the last Route", uri)
		}
		if n := len(got.m.Routes()); n != 0 {
			t.Errorf("%d Route values left", n)
		}
	})
}

// TestInDialog_UserAtOurAddressIsNoStrictRouter_RFC3261_16_4: what counts is what we put
// into a Record-Route, not where a URI leads.
func TestInDialog_UserAtOurAddressIsNoStrictRouter_RFC3261_16_4(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "")
		w.register(p)
		ok := w.call(p, "c1")
		w.recv(caller, inDialogRequest("INFO", 2, ok, true, "sip:alice@192.0.2.1"))
		got := w.expect("INFO 198.51.100.1:5060")[0]
		if uri := got.m.RequestURI().String(); uri != "sip:alice@192.0.2.1" || len(got.m.Routes()) != 0 {
			t.Errorf("Request-URI %s with %d Route, want what was sent without ours", uri, len(got.m.Routes()))
		}
	})
}

func TestInDialog_StrictRouterBehindUs_RFC3261_16_6_6(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "")
		w.register(p)
		ok := w.call(p, "c1")
		tests := []struct {
			behind, uri string
			routes      []string
		}{
			{"<sip:198.51.100.50;lr>", "sip:alice@198.51.100.1:5060", []string{"<sip:198.51.100.50;lr>"}},
			{"<sip:198.51.100.50>", "sip:198.51.100.50", []string{"<sip:alice@198.51.100.1:5060>"}},
			{"<sip:198.51.100.50;x>, <sip:198.51.100.51;lr>", "sip:198.51.100.50;x", []string{"<sip:198.51.100.51;lr>", "<sip:alice@198.51.100.1:5060>"}},
		}
		for i, tt := range tests {
			w.recv(caller, inDialogRequest("INFO", i+2, ok, true, "sip:alice@198.51.100.1:5060;pn-prid=x", "Route: "+tt.behind))
			got := w.expect("INFO 198.51.100.1:5060")[0]
			var routes []string
			for _, r := range got.m.Routes() {
				routes = append(routes, r.String())
			}
			if uri := got.m.RequestURI().String(); uri != tt.uri || !slices.Equal(routes, tt.routes) {
				t.Errorf("Route %s: Request-URI %s, Route %q, want %s and %q", tt.behind, uri, routes, tt.uri, tt.routes)
			}
			w.reply(got, 200)
			w.expect("200 203.0.113.9:5060")
		}
	})
}

func TestAck_WithoutTokenIsDropped(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		w.recv(caller, strings.Replace(request("ACK", "sip:alice@example.com", "x"), "To: <sip:alice@example.com>", "To: <sip:alice@example.com>;tag=z", 1))
		w.expect()
		w.recv(caller, strings.Replace(request("ACK", "sip:alice@example.com", "x", "Route: <sip:203.0.113.50;lr>"), "To: <sip:alice@example.com>", "To: <sip:alice@example.com>;tag=z", 1))
		w.expect()
	})
}
