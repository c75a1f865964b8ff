package proxy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/push"
)

// rungback has alice's phone pushed for a call, and returns what the caller hears when
// the push was taken.
func (w *world) rungback(p *phone, extra ...string) sent {
	w.t.Helper()
	w.sleeps(p)
	w.invite(extra...)
	w.expect()
	w.outcome(w.pushCount(1), push.OK)
	ours := w.expect("180 203.0.113.9:5060")[0]
	time.Sleep(time.Second)
	return ours
}

func everybody() Options { return Options{Ringback: Ringback{Callers: []string{"*"}}} }

// What the caller hears creates an early dialog with us, in which nothing is asked.
func TestRingback_IsOfAUserAgentOfItsOwn_RFC3261_12_1_1(t *testing.T) {
	inWorld(t, everybody(), func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		ours := w.rungback(p, "Supported: 100rel", "Record-Route: <sip:edge.example.net;lr>")
		want := `SIP/2.0 180 Ringing
Via: SIP/2.0/UDP 203.0.113.9:5060;rport=5060;branch=z9hG4bK-invite-c1;received=203.0.113.9
Record-Route: <sip:edge.example.net;lr>
From: "Bob" <sip:bob@example.net>;tag=caller
To: <sip:alice@example.com>;tag=` + ours.m.ToTag() + `
Call-ID: c1
CSeq: 1 INVITE
Contact: <sip:192.0.2.1:5060>
Content-Length: 0

`
		if got := strings.ReplaceAll(ours.m.Raw(), "\r\n", "\n"); got != want || ours.m.ToTag() == "" {
			t.Errorf("the caller hears\n%s, want\n%s", got, want)
		}
		// Whatever it asks in that dialog, nobody is there (RFC 3261 §12.2.2).
		for i, method := range []string{"PRACK", "UPDATE", "INFO", "BYE", "INVITE"} {
			text := inDialogRequest(method, 2+i, ours.m, true, "sip:192.0.2.1:5060")
			w.recv(caller, strings.Replace(text, "Route: <sip:edge.example.net;lr>\n", "", 1))
			if answer := w.expect("481 203.0.113.9:5060")[0]; answer.m.Method() != method {
				t.Errorf("%s is answered 481", answer.m.Method())
			}
		}
		// The call goes on. What a phone says comes from another user agent.
		w.register(p)
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		w.reply(out, 180)
		if theirs := w.expect("180 203.0.113.9:5060")[0]; theirs.m.ToTag() != "callee" {
			t.Errorf("the phone's To tag is %q", theirs.m.ToTag())
		}
		w.reply(out, 200)
		w.expect("200 203.0.113.9:5060")
	})
}

// A caller that knows how is told that it hears from us no more, before it hears from
// the phone.
func TestRingback_EndsItsEarlyDialog_RFC6228_4(t *testing.T) {
	inWorld(t, everybody(), func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		ours := w.rungback(p, "Supported: timer, 199")
		w.register(p)
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		w.reply(out, 183)
		end := w.expect("199 203.0.113.9:5060", "183 203.0.113.9:5060")[0]
		if end.m.ToTag() != ours.m.ToTag() || !strings.Contains(end.m.Raw(), "\r\nReason: SIP;cause=480\r\n") {
			t.Errorf("the early dialog of %s is ended by\n%s", ours.m.ToTag(), end.m.Raw())
		}
		// Once is enough.
		w.reply(out, 180)
		w.expect("180 203.0.113.9:5060")
		w.reply(out, 200)
		w.expect("200 203.0.113.9:5060")
	})
}

// A final answer ends the early dialog by itself: one comes, whatever it is.
func TestRingback_FinalAnswers_RFC3261_13_2_2_4(t *testing.T) {
	tests := []struct {
		name string
		goOn func(w *world, p *phone)
		want string
	}{
		{"the phone does not wake", func(*world, *phone) { time.Sleep(24 * time.Second) }, "480 203.0.113.9:5060"},
		{"the push turns out to have failed", func(w *world, _ *phone) { w.outcome(w.pushCount(1), push.Gone) }, "480 203.0.113.9:5060"},
		{"the phone takes the call at once", func(w *world, p *phone) {
			w.register(p)
			w.reply(w.expect("INVITE 198.51.100.1:5060")[0], 200)
		}, "200 203.0.113.9:5060"},
		{"the phone is busy", func(w *world, p *phone) {
			w.register(p)
			w.reply(w.expect("INVITE 198.51.100.1:5060")[0], 486)
		}, "ACK 198.51.100.1:5060|486 203.0.113.9:5060"},
		{"the caller gives up while it waits", func(w *world, _ *phone) { w.recv(caller, cancelOf("c1")) }, "200 203.0.113.9:5060|487 203.0.113.9:5060"},
		{"the caller gives up when the phone is back", func(w *world, p *phone) {
			w.register(p)
			out := w.expect("INVITE 198.51.100.1:5060")[0]
			w.recv(caller, cancelOf("c1"))
			w.expect("200 203.0.113.9:5060")
			w.reply(out, 100)
			w.reply(w.expect("CANCEL 198.51.100.1:5060")[0], 200)
			w.reply(out, 487)
		}, "ACK 198.51.100.1:5060|487 203.0.113.9:5060"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, everybody(), func(w *world) {
				p := w.sleeper("198.51.100.1:5060")
				ours := w.rungback(p, "Supported: 199")
				tt.goOn(w, p)
				out := w.expect(strings.Split(tt.want, "|")...)
				last := out[len(out)-1].m
				// RFC 3261 §8.2.6.2: what we say ourselves has one tag.
				if mine := last.Status() == 480 || last.Status() == 487 && last.ToTag() != "callee"; mine && last.ToTag() != ours.m.ToTag() {
					t.Errorf("our final has To tag %q, and the 180 %q", last.ToTag(), ours.m.ToTag())
				}
			})
		})
	}
}

// Who hears nothing: whoever is not meant, wants all answers to be reliable, hears a
// phone already, or sends no call.
func TestRingback_WhoHearsNothing_RFC3262_3(t *testing.T) {
	tests := []struct {
		name string
		o    Ringback
		call func(w *world)
	}{
		{"nobody is meant", Ringback{}, func(w *world) { w.invite() }},
		{"another caller is meant", Ringback{Callers: []string{"bob@example.com", "*@example.org"}}, func(w *world) { w.invite() }},
		{"another network is meant", Ringback{Networks: []netip.Prefix{netip.MustParsePrefix("203.0.113.10/32")}}, func(w *world) { w.invite() }},
		{"provisional answers must be reliable", Ringback{Callers: []string{"*"}}, func(w *world) { w.invite("Require: 100rel") }},
		{"a MESSAGE", Ringback{Callers: []string{"*"}}, func(w *world) { w.recv(caller, request("MESSAGE", "sip:alice@example.com", "c1")) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{Ringback: tt.o}, func(w *world) {
				w.sleeper("198.51.100.1:5060")
				tt.call(w)
				w.outcome(w.pushCount(1), push.OK)
				w.expect()
				time.Sleep(25 * time.Second)
				w.expect("480 203.0.113.9:5060")
			})
		})
	}
}

func TestRingback_Covers(t *testing.T) {
	trunk := udp("203.0.113.9:5060")
	tests := []struct {
		name, from string
		o          Ringback
		flow       flow.Flow
		want       bool
	}{
		{"everybody", "sip:bob@example.net", Ringback{Callers: []string{"*"}}, trunk, true},
		{"everybody, also who tells nothing", "sip:anonymous@anonymous.invalid", Ringback{Callers: []string{"*"}}, trunk, true},
		{"a number", "tel:+15550100", Ringback{Callers: []string{"*"}}, trunk, true},
		{"a domain", "sip:bob@EXAMPLE.net;x=y", Ringback{Callers: []string{"*@example.net"}}, trunk, true},
		{"a user, by TLS", "sips:bob@example.net", Ringback{Callers: []string{"bob@example.net"}}, trunk, true},
		{"another user", "sip:carol@example.net", Ringback{Callers: []string{"bob@example.net"}}, trunk, false},
		{"a trunk", "sip:bob@example.net", Ringback{Networks: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}, trunk, true},
		{"a trunk, as IPv6 has it", "sip:bob@example.net", Ringback{Networks: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}, udp("[::ffff:203.0.113.9]:5060"), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.ReplaceAll(request("INVITE", "sip:alice@example.com", "c1"), "sip:bob@example.net", tt.from)
			m, err := sipmsg.Parse([]byte(strings.ReplaceAll(text, "\n", "\r\n")), tt.flow.Remote)
			if err != nil {
				t.Fatal(err)
			}
			if got := tt.o.covers(m, tt.flow); got != tt.want {
				t.Errorf("covers = %t, want %t", got, tt.want)
			}
		})
	}
	if err := (&Ringback{Callers: []string{"["}}).validate(); err == nil {
		t.Error("a pattern that is none is taken")
	}
}

// Whoever calls from a next hop of a route that is named is meant; from those of other
// routes nobody is.
func TestRingback_OfATrunk(t *testing.T) {
	for route, want := range map[string][]string{"carrier": {"180 203.0.113.9:5060"}, "gateway": nil} {
		t.Run(route, func(t *testing.T) {
			o := Options{Ringback: Ringback{Routes: []string{route}}, Trunks: known{"203.0.113.9:5060": {"carrier"}}, Resolver: dnsNames{}}
			for _, name := range []string{"carrier", "gateway"} {
				o.Routes = append(o.Routes, Route{Name: name, Domain: "*", To: to("sip:" + name + ".example")})
			}
			inWorld(t, o, func(w *world) {
				w.sleeper("198.51.100.1:5060")
				w.invite()
				w.outcome(w.pushCount(1), push.OK)
				w.expect(want...)
				time.Sleep(25 * time.Second)
				w.expect("480 203.0.113.9:5060")
			})
		})
	}
}

// Two pushes, one ringing; and none after a phone was heard.
func TestRingback_Once(t *testing.T) {
	o := everybody()
	o.Policy = func(string, string) Mode { return Race }
	inWorld(t, o, func(w *world) {
		one, two := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm"), w.newPhone("alice", udp("198.51.100.2:5060"), "fcm")
		for _, p := range []*phone{one, two} {
			w.register(p)
			w.sleeps(p)
		}
		w.invite("Supported: 199")
		w.expect()
		w.pushCount(2)
		w.outcome(w.pushes[0], push.OK)
		w.expect("180 203.0.113.9:5060")
		w.outcome(w.pushes[1], push.OK)
		w.expect()
		time.Sleep(time.Second)
		w.register(one)
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		w.reply(out, 180)
		w.expect("199 203.0.113.9:5060", "180 203.0.113.9:5060")
		w.reply(out, 200)
		w.expect("200 203.0.113.9:5060")
	})
	inWorld(t, o, func(w *world) {
		desk := w.newPhone("alice", udp("198.51.100.3:5060"), "")
		w.register(desk)
		w.sleeper("198.51.100.1:5060")
		w.invite("Supported: 199")
		out := w.expect("INVITE 198.51.100.3:5060")[0]
		w.reply(out, 180)
		w.expect("180 203.0.113.9:5060")
		w.outcome(w.pushCount(1), push.OK)
		w.expect()
		w.reply(out, 200)
		w.expect("200 203.0.113.9:5060")
	})
}

// A phone that seems awake and says nothing is being woken, too.
func TestRingback_InARace(t *testing.T) {
	o := everybody()
	o.Policy = func(string, string) Mode { return Race }
	inWorld(t, o, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		w.invite()
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		time.Sleep(300 * time.Millisecond)
		w.outcome(w.pushCount(1), push.OK)
		w.expect("180 203.0.113.9:5060")
		w.reply(out, 200)
		w.expect("200 203.0.113.9:5060")
	})
}

// RFC 3261 §12.1.1: who was called by sips is called back by it.
func TestRingback_ContactIsSIPS_RFC3261_12_1_1(t *testing.T) {
	inWorld(t, everybody(), func(w *world) {
		from := wss("203.0.113.9:40000", 1)
		p := w.newPhone("alice", wss("198.51.100.1:40000", 2), "fcm")
		p.uri = "sips:alice@198.51.100.1:40000;transport=ws"
		w.register(p)
		w.sleeps(p)
		w.recv(from, strings.ReplaceAll(request("INVITE", "sips:alice@example.com", "c1"), "SIP/2.0/UDP", "SIP/2.0/WSS"))
		w.outcome(w.pushCount(1), push.OK)
		contacts := w.expect("180 203.0.113.9:40000")[0].m.Contacts()
		if i := slices.IndexFunc(contacts, func(c sipmsg.NameAddr) bool { return c.URI.String() == "sips:192.0.2.1:443;transport=ws" }); i < 0 {
			t.Errorf("Contact is %v", contacts)
		}
		time.Sleep(25 * time.Second)
		w.expect("480 203.0.113.9:40000")
	})
}
