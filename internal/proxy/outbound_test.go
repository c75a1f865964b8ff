package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

// flows registers two flows of one phone of alice's; the second is the newer one.
func (w *world) flows(a, b flow.Flow, provider string) (first, second *phone) {
	w.t.Helper()
	first, second = w.newPhone("alice", a, provider), w.newPhone("alice", b, provider)
	second.instance, first.regID, second.regID = first.instance, 1, 2
	second.push = first.push
	w.register(first)
	time.Sleep(time.Second)
	w.register(second)
	return first, second
}

// callFrom sets up a call from a phone of alice's to bob, on the flow from, with
// that Contact, and returns the 200 as alice got it.
func (w *world) callFrom(from flow.Flow, bob *phone, contact string) *sipmsg.Message {
	w.t.Helper()
	invite := request("INVITE", "sip:bob@example.com", "c1")
	invite = strings.Replace(invite, `"Bob" <sip:bob@example.net>`, "<sip:alice@example.com>", 1)
	invite = strings.Replace(invite, "<sip:bob@203.0.113.9:5060>", "<"+contact+">", 1)
	w.recv(from, invite)
	w.reply(w.expect("INVITE " + bob.flow.Remote.String())[0], 200)
	return w.expect("200 " + from.Remote.String())[0].m
}

func TestInDialog_ComesOnTheFlowItBeganOn_RFC5626_4_3(t *testing.T) {
	const one, two = "198.51.100.1:40001", "198.51.100.1:40002"
	tests := []struct {
		name  string
		event func(w *world, first, second *phone)
		want  string
	}{
		{"both are alive", func(*world, *phone, *phone) {}, one},
		{"it is gone", func(w *world, first, _ *phone) { w.breaks(first.flow) }, two},
		{"neither shows life", func(w *world, first, second *phone) { w.sleeps(first); w.sleeps(second) }, one},
		{"the other alone shows life", func(w *world, first, _ *phone) { w.sleeps(first) }, two},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				first, second := w.flows(tcp(one, 1), tcp(two, 2), "")
				bob := w.newPhone("bob", udp("203.0.113.9:5060"), "")
				w.register(bob)
				ok := w.callFrom(first.flow, bob, "sip:alice@10.0.0.1:5060;ob")
				w.recv(first.flow, inDialogRequest("ACK", 1, ok, true, "sip:bob@203.0.113.9:5060"))
				w.expect("ACK 203.0.113.9:5060")
				tt.event(w, first, second)
				w.recv(bob.flow, inDialogRequest("INVITE", 2, ok, false, "sip:alice@10.0.0.1:5060;ob"))
				out := w.expect("INVITE " + tt.want)[0]
				w.reply(out, 200)
				w.expect("200 203.0.113.9:5060")
				w.recv(bob.flow, inDialogRequest("ACK", 2, ok, false, "sip:alice@10.0.0.1:5060;ob"))
				w.expect("ACK " + tt.want)
			})
		})
	}
}

// A phone that has changed networks calls at once and registers later.
func TestInDialog_FlowThatIsNotRegisteredYet_RFC5626_4_3(t *testing.T) {
	for _, provider := range []string{"", "fcm"} {
		t.Run("provider "+provider, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				alice := w.newPhone("alice", tcp("198.51.100.1:40001", 1), provider)
				if provider == "" {
					alice.uri = "sip:alice@198.51.100.1:5070;transport=tcp"
				}
				w.register(alice)
				w.breaks(alice.flow)
				bob := w.newPhone("bob", udp("203.0.113.9:5060"), "")
				w.register(bob)
				w.admit = func(m *sipmsg.Message) Admission { return Admission{User: alice.aor} }
				mobile := tcp("198.51.100.99:50000", 2)
				w.with(func() { w.alive[mobile] = true })
				ok := w.callFrom(mobile, bob, strings.Split(alice.contact(), ";")[0]+";ob")
				w.recv(mobile, inDialogRequest("ACK", 1, ok, true, "sip:bob@203.0.113.9:5060"))
				w.expect("ACK 203.0.113.9:5060")

				w.recv(bob.flow, inDialogRequest("INFO", 2, ok, false, "sip:alice@10.0.0.1:5060;ob"))
				w.reply(w.expect("INFO 198.51.100.99:50000")[0], 200)
				w.expect("200 203.0.113.9:5060")
				w.pushCount(0)

				// It breaks under the next one: the phone is looked for where it registers.
				w.recv(bob.flow, inDialogRequest("INFO", 3, ok, false, "sip:alice@10.0.0.1:5060;ob"))
				w.expect("INFO 198.51.100.99:50000")
				w.breaks(mobile)
				if provider == "" {
					w.expect("INFO 198.51.100.1:5070")
					return
				}
				w.pushCount(1)
				alice.flow = tcp("198.51.100.99:50001", 3)
				w.register(alice)
				w.expect("INFO 198.51.100.99:50001")
			})
		})
	}
}

// Behind the address of a datagram may be another phone by now.
func TestInDialog_OldAddressOfAPhoneThatSleepsIsNotTried(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		alice := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(alice)
		ok := w.call(alice, "c1")
		alice.flow = udp("198.51.100.7:40000")
		w.register(alice)
		w.sleeps(alice)
		w.recv(caller, inDialogRequest("INFO", 2, ok, true, "sip:alice@198.51.100.1:5060"))
		w.expect()
		w.pushCount(1)
	})
}

func TestInDialog_FlowFailed_RFC5626_5_3_1(t *testing.T) {
	tests := []struct{ name, contact, want string }{
		{"an address that it listens at", "sip:alice@198.51.100.1:5070;transport=tcp", "BYE 198.51.100.1:5070"},
		{"one that is good on its flow only", "sip:alice@198.51.100.1:5070;transport=tcp;ob", "430 203.0.113.9:5060"},
		{"a browser's", "sip:alice@x.invalid;transport=ws", "430 203.0.113.9:5060"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				bob := w.newPhone("bob", udp("203.0.113.9:5060"), "")
				w.register(bob)
				// Not registered, as before a phone has its configuration.
				alice := tcp("198.51.100.1:40000", 1)
				ok := w.callFrom(alice, bob, tt.contact)
				w.breaks(alice)
				w.recv(bob.flow, inDialogRequest("ACK", 1, ok, false, tt.contact))
				w.take()
				w.recv(bob.flow, inDialogRequest("BYE", 2, ok, false, tt.contact))
				w.expect(tt.want)
			})
		})
	}
}

func TestInDialog_TokenThatWasTamperedWith_RFC5626_5_3_1(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		alice := w.newPhone("alice", udp("198.51.100.1:5060"), "")
		w.register(alice)
		ok := w.call(alice, "c1")
		token := ok.RecordRoutes()[0].URI.User
		for i := range token {
			other := byte('a')
			if token[i] == other {
				other = 'b'
			}
			forged := token[:i] + string(other) + token[i+1:]
			m := strings.ReplaceAll(inDialogRequest("INFO", 2+i, ok, true, "sip:alice@198.51.100.1:5060"), token, forged)
			w.recv(caller, m)
			w.expect("403 203.0.113.9:5060")
		}
	})
}

func TestInvite_RecordRoutedForFlows_RFC5626_5_3(t *testing.T) {
	tests := []struct {
		name, contact, route string
		regID                uint32
		want                 int
	}{
		{"neither has one", "sip:bob@203.0.113.9:5060", "", 0, 0},
		{"the phone that is called", "sip:bob@203.0.113.9:5060", "", 1, 1},
		{"the phone that calls", "sip:bob@203.0.113.9:5060;ob", "", 0, 1},
		{"the phone that calls, by its Route", "sip:bob@203.0.113.9:5060", "Route: <sip:192.0.2.1;lr;ob>", 0, 1},
		{"a Route of ours that says nothing", "sip:bob@203.0.113.9:5060", "Route: <sip:192.0.2.1;lr>", 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{NoRecordRoute: true}, func(w *world) {
				alice := w.newPhone("alice", udp("198.51.100.1:5060"), "")
				alice.regID = tt.regID
				w.register(alice)
				invite := strings.Replace(request("INVITE", "sip:alice@example.com", "c1"), "sip:bob@203.0.113.9:5060>", tt.contact+">", 1)
				if tt.route != "" {
					invite = strings.Replace(invite, "Content-Length", tt.route+"\nContent-Length", 1)
				}
				w.recv(caller, invite)
				out := w.expect("INVITE 198.51.100.1:5060")[0]
				if got := len(out.m.RecordRoutes()); got != tt.want {
					t.Errorf("%d Record-Route, want %d:\n%s", got, tt.want, out.m.Raw())
				}
			})
		})
	}
}

// A phone with a PURR that is called is woken in the call as well, whatever the operator
// would rather have.
func TestInvite_RecordRoutedForPURRsOfTheCalled_RFC8599_6_2_2(t *testing.T) {
	tests := []struct {
		name     string
		purrs    bool
		provider string
		want     int
	}{
		{"a PURR was given", true, "fcm", 1},
		{"none are given", false, "fcm", 0},
		{"a phone that does not sleep", true, "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{NoRecordRoute: true, PURRs: tt.purrs}, func(w *world) {
				w.register(w.newPhone("alice", udp("198.51.100.1:5060"), tt.provider))
				w.invite()
				out := w.expect("INVITE 198.51.100.1:5060")[0]
				if got := len(out.m.RecordRoutes()); got != tt.want {
					t.Errorf("%d Record-Route, want %d", got, tt.want)
				}
				w.reply(out, 486)
				w.expect("ACK 198.51.100.1:5060", "486 203.0.113.9:5060")
			})
		})
	}
}

// Who is asleep in a call is woken for it if its Contact said so.
func TestInvite_RecordRoutedForPURRs_RFC8599_6_2_2(t *testing.T) {
	inWorld(t, Options{NoRecordRoute: true}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		bob := w.newPhone("bob", caller, "fcm")
		w.register(bob)
		for i, purr := range []string{w.keys.Mint(bob.id), "forged0000"} {
			invite := strings.Replace(request("INVITE", "sip:alice@example.com", fmt.Sprint("c", i)), "sip:bob@203.0.113.9:5060>", "sip:bob@203.0.113.9:5060;pn-purr="+purr+">", 1)
			w.recv(caller, invite)
			out := w.expect("INVITE 198.51.100.1:5060")[0]
			if got, want := len(out.m.RecordRoutes()), 1-i; got != want {
				t.Errorf("%d Record-Route for PURR %d, want %d", got, i, want)
			}
			w.reply(out, 486)
			w.expect("ACK 198.51.100.1:5060", "486 203.0.113.9:5060")
		}
	})
}

// The edge says that the flow behind it is gone: the phone's other flow is tried,
// through its own edge, inside a dialog too, and nobody else sees the 430.
func TestInvite_FlowFailedBehindAnEdge_RFC5626_7(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		first, second := w.newPhone("alice", udp("198.51.100.1:5060"), ""), w.newPhone("alice", udp("198.51.100.2:5060"), "")
		second.instance, first.regID, second.regID = first.instance, 1, 2
		first.path = []string{"<sip:one@198.51.100.1;lr;ob>"}
		second.path = []string{"<sip:two@198.51.100.2;lr;ob>"}
		w.register(first)
		time.Sleep(time.Second)
		w.register(second)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.2:5060")[0]
		if got := out.m.Routes()[0].URI.User; got != "two" {
			t.Errorf("Route names %q, want the flow token of the second Path", got)
		}
		w.reply(out, 430)
		out = w.expect("ACK 198.51.100.2:5060", "INVITE 198.51.100.1:5060")[1]
		if got := out.m.Routes()[0].URI.User; got != "one" {
			t.Errorf("Route names %q, want the flow token of the first Path", got)
		}
		w.reply(out, 200)
		w.expect("200 203.0.113.9:5060")
		// Out of flows: the caller hears of the phone, not of the flows.
		w.recv(caller, request("MESSAGE", "sip:alice@example.com", "c2"))
		w.reply(w.expect("MESSAGE 198.51.100.2:5060")[0], 430)
		w.reply(w.expect("MESSAGE 198.51.100.1:5060")[0], 430)
		w.expect("480 203.0.113.9:5060")
	})
}

// What a connection carried is nobody's any more when it is closed, whoever
// registered on it (RFC 5626 §7).
func TestInvite_ClosedFlowOfSeveralUsers_RFC5626_7(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		shared := tcp("198.51.100.1:40000", 1)
		for _, user := range []string{"alice", "carol"} {
			w.register(w.newPhone(user, shared, ""))
		}
		w.breaks(shared)
		for _, user := range []string{"alice", "carol"} {
			w.recv(caller, request("INVITE", "sip:"+user+"@example.com", "to-"+user))
			w.expect("480 203.0.113.9:5060")
		}
	})
}
