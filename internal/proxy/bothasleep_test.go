package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"reveille/internal/sipmsg"
)

// bothAsleep sets up a call between two phones of ours that fall asleep in it.
func (w *world) bothAsleep() (bob, alice *phone, ok *sipmsg.Message) {
	w.t.Helper()
	bob = w.newPhone("bob", udp("203.0.113.9:5060"), "fcm")
	alice = w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
	w.register(bob)
	w.register(alice)
	w.admit = func(*sipmsg.Message) Admission { return Admission{User: bob.aor} }
	ok = w.call(alice, "c1")
	w.sleeps(bob)
	w.sleeps(alice)
	return bob, alice, ok
}

// Both phones sleep when both hang up: each wakes, and hears the other's BYE.
func TestInDialog_ByesOfTwoSleepingPhonesCross_RFC3261_15(t *testing.T) {
	inWorld(t, Options{Identity: Identity{From: AnyFrom}}, func(w *world) {
		bob, alice, ok := w.bothAsleep()
		bob.flow, alice.flow = udp("203.0.113.9:6666"), udp("198.51.100.1:7777")
		w.recv(bob.flow, inDialogRequest("BYE", 2, ok, true, "sip:alice@198.51.100.1:5060"))
		w.recv(alice.flow, inDialogRequest("BYE", 1, ok, false, "sip:bob@203.0.113.9:5060"))
		w.expect()
		w.pushCount(2)
		w.register(alice)
		toAlice := w.expect("BYE 198.51.100.1:7777")[0]
		w.register(bob)
		toBob := w.expect("BYE 203.0.113.9:6666")[0]
		// RFC 3261 §15.1.2: to each the call is over already, or not yet.
		w.reply(toAlice, 200)
		w.expect("200 203.0.113.9:6666")
		w.reply(toBob, 481)
		w.expect("481 198.51.100.1:7777")
	})
}

// 491 is between the phones, which try again at times of their own (RFC 3261 §14.1).
func TestInDialog_CrossingReinvitesOfTwoSleepingPhones_RFC3261_14_2(t *testing.T) {
	inWorld(t, Options{Identity: Identity{From: AnyFrom}}, func(w *world) {
		bob, alice, ok := w.bothAsleep()
		bob.flow, alice.flow = udp("203.0.113.9:6666"), udp("198.51.100.1:7777")
		w.recv(bob.flow, inDialogRequest("INVITE", 2, ok, true, "sip:alice@198.51.100.1:5060", "Contact: <sip:bob@203.0.113.9:6666>"))
		w.recv(alice.flow, inDialogRequest("INVITE", 1, ok, false, "sip:bob@203.0.113.9:5060", "Contact: <sip:alice@198.51.100.1:7777>"))
		w.expect()
		w.pushCount(2)
		w.register(bob)
		toBob := w.expect("INVITE 203.0.113.9:6666")[0]
		w.register(alice)
		toAlice := w.expect("INVITE 198.51.100.1:7777")[0]
		w.reply(toBob, 491)
		w.expect("ACK 203.0.113.9:6666", "491 198.51.100.1:7777")
		w.reply(toAlice, 491)
		w.expect("ACK 198.51.100.1:7777", "491 203.0.113.9:6666")
		w.recv(bob.flow, strings.Replace(inDialogRequest("ACK", 2, ok, true, "sip:alice@198.51.100.1:5060"), "-ack-", "-invite-", 1))
		w.recv(alice.flow, strings.Replace(inDialogRequest("ACK", 1, ok, false, "sip:bob@203.0.113.9:5060"), "-ack-", "-invite-", 1))
		// The one who waits less is first.
		w.recv(alice.flow, inDialogRequest("INVITE", 2, ok, false, "sip:bob@203.0.113.9:6666", "Contact: <sip:alice@198.51.100.1:7777>"))
		w.reply(w.expect("INVITE 203.0.113.9:6666")[0], 200)
		w.expect("200 198.51.100.1:7777")
		w.recv(alice.flow, inDialogRequest("ACK", 2, ok, false, "sip:bob@203.0.113.9:6666"))
		w.expect("ACK 203.0.113.9:6666")
	})
}

// What refreshes a session (RFC 4028) waits for the phone like any other request, and
// what cannot wait has its answer before the session ends: min is 90 s.
func TestSessionTimer_RefreshOfASleepingPhone_RFC4028_7_4(t *testing.T) {
	for _, method := range []string{"UPDATE", "INVITE"} {
		t.Run(method, func(t *testing.T) {
			inWorld(t, Options{Identity: Identity{From: AnyFrom}}, func(w *world) {
				_, alice, ok := w.bothAsleep()
				timer := []string{"Contact: <sip:bob@203.0.113.9:5060>", "Supported: timer", "Session-Expires: 90;refresher=uac", "Min-SE: 90"}
				w.recv(udp("203.0.113.9:5060"), inDialogRequest(method, 2, ok, true, "sip:alice@198.51.100.1:5060", timer...))
				w.pushCount(1)
				began := time.Now()
				time.Sleep(15 * time.Second)
				refused := w.one()
				// RFC 4028 §7.4: a 408 or 481 would end the session; this does not (RFC 5057).
				if _, has := refused.m.Header(sipmsg.HdrRetryAfter); refused.m.Status() != 500 || !has {
					t.Errorf("no wake: %d, Retry-After %v", refused.m.Status(), has)
				}
				if took := time.Since(began); took > 30*time.Second {
					t.Errorf("answered after %s", took)
				}
				if method == "INVITE" {
					w.recv(udp("203.0.113.9:5060"), strings.Replace(inDialogRequest("ACK", 2, ok, true, "sip:alice@198.51.100.1:5060"), "-ack-", "-invite-", 1))
				}
				// The next attempt is in time.
				w.recv(udp("203.0.113.9:5060"), inDialogRequest(method, 3, ok, true, "sip:alice@198.51.100.1:5060", timer...))
				w.pushCount(2)
				alice.flow = udp("198.51.100.1:7777")
				w.register(alice)
				got := w.expect(method + " 198.51.100.1:7777")[0]
				for _, h := range timer {
					name, value, _ := strings.Cut(h, ": ")
					if v, _ := got.m.HeaderNamed(name); v != value {
						t.Errorf("%s: %q, want %q", name, v, value)
					}
				}
				w.reply(got, 200, "Require: timer", "Session-Expires: 90;refresher=uac")
				s := w.expect("200 203.0.113.9:5060")[0]
				if v, _ := s.m.Header(sipmsg.HdrSessionExpires); v != "90;refresher=uac" {
					t.Errorf("Session-Expires: %q", v)
				}
				if method == "INVITE" {
					w.recv(udp("203.0.113.9:5060"), inDialogRequest("ACK", 3, ok, true, "sip:alice@198.51.100.1:5060"))
					w.expect("ACK 198.51.100.1:7777")
				}
			})
		})
	}
}

// A subscription of a phone to a server, both ways.
func TestInDialog_SubscriptionOfASleepingPhone_RFC6665_4_2_2(t *testing.T) {
	inWorld(t, eventServer(), func(w *world) {
		p := w.newPhone("alice", udp("203.0.113.9:5060"), "fcm")
		w.register(p)
		w.admit = func(*sipmsg.Message) Admission { return Admission{User: p.aor} }
		from := strings.NewReplacer("sip:bob@example.net", "sip:alice@example.com")
		w.recv(p.flow, from.Replace(request("SUBSCRIBE", "sip:alice@example.com", "s1", "Event: message-summary", "Contact: <sip:alice@203.0.113.9:5060>")))
		w.reply(w.expect("SUBSCRIBE 192.0.2.50:5060")[0], 200, "Expires: 600")
		ok := w.expect("200 203.0.113.9:5060")[0].m
		server := udp("192.0.2.50:5060")
		notify := func(seq int) string {
			return inDialogRequest("NOTIFY", seq, ok, false, "sip:alice@203.0.113.9:5060", "Event: message-summary", "Subscription-State: active;expires=600")
		}
		w.sleeps(p)
		// It does not wake: what the server hears ends no subscription.
		w.recv(server, notify(1))
		w.recv(server, notify(2))
		w.pushCount(1)
		time.Sleep(16 * time.Second)
		for _, s := range w.expect("500 192.0.2.50:5060", "500 192.0.2.50:5060") {
			if _, has := s.m.Header(sipmsg.HdrRetryAfter); !has {
				t.Error("500 without Retry-After")
			}
		}
		w.take()
		// It wakes: all in order, on the new flow.
		w.recv(server, notify(3))
		w.recv(server, notify(4))
		p.flow = udp("203.0.113.9:6666")
		w.register(p)
		for i, s := range w.expect("NOTIFY 203.0.113.9:6666", "NOTIFY 203.0.113.9:6666") {
			if got := s.m.CSeq().Seq; got != uint32(3+i) {
				t.Errorf("CSeq %d in place %d", got, i)
			}
			w.reply(s, 200)
		}
		w.expect("200 192.0.2.50:5060", "200 192.0.2.50:5060")
		w.recv(p.flow, inDialogRequest("SUBSCRIBE", 2, ok, true, "sip:192.0.2.50", "Event: message-summary", "Expires: 600"))
		w.reply(w.expect("SUBSCRIBE 192.0.2.50:5060")[0], 200, "Expires: 600")
		w.expect("200 203.0.113.9:6666")
	})
}

func TestRefer_OutOfADialogToASleepingPhone_RFC3515(t *testing.T) {
	for _, wakes := range [][]string{nil, {"REFER"}} {
		t.Run(fmt.Sprint(wakes), func(t *testing.T) {
			inWorld(t, Options{Wakes: wakes}, func(w *world) {
				p := w.sleeper("198.51.100.1:5060")
				w.recv(caller, request("REFER", "sip:alice@example.com", "r1", "Contact: <sip:bob@203.0.113.9:5060>", "Refer-To: <sip:carol@example.com>"))
				if wakes == nil {
					w.expect("480 203.0.113.9:5060")
					w.pushCount(0)
					return
				}
				w.pushCount(1)
				p.flow = udp("198.51.100.7:40000")
				w.register(p)
				refer := w.expect("REFER 198.51.100.7:40000")[0]
				if len(refer.m.RecordRoutes()) == 0 {
					t.Error("the NOTIFYs of its subscription will not come through us")
				}
				w.reply(refer, 202, "Contact: <sip:alice@198.51.100.7:40000>")
				ok := w.expect("202 203.0.113.9:5060")[0].m
				// RFC 3515 §2.4.4: the phone tells how it went, in the dialog of the REFER.
				w.recv(p.flow, inDialogRequest("NOTIFY", 1, ok, false, "sip:bob@203.0.113.9:5060", "Event: refer", "Subscription-State: terminated;reason=noresource"))
				w.reply(w.expect("NOTIFY 203.0.113.9:5060")[0], 200)
				w.expect("200 198.51.100.7:40000")
			})
		})
	}
}
