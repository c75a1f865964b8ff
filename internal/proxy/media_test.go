package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"reveille/flow"
	"reveille/internal/resolve"
	"reveille/internal/rtpengine"
	"reveille/internal/sipmsg"
)

func TestMedia_BrowserCallsPhone_RFC3264(t *testing.T) {
	inStudio(t, Options{}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
		ok := w.established(r, browser)
		w.hangUp(r, browser, ok, true)
	})
}

func TestMedia_EitherSideOffersAnew(t *testing.T) {
	inStudio(t, Options{}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
		phone := udp("198.51.100.1:5060")
		ok := w.established(r, browser)
		// The phone holds the call.
		w.recv(phone, withSDP(inDialogRequest("INVITE", 1, ok, false, "sip:bob@203.0.113.9:5060"), offered))
		out := w.expect("INVITE 203.0.113.9:40000")[0]
		w.body(out, changed("offer", "browser", offered))
		w.answerSDP(out, 200, answerOf)
		w.body(w.expect("200 198.51.100.1:5060")[0], changed("answer", "phone", answerOf))
		r.expect(w, "offer callee→caller browser@1", "answer callee→caller phone@1")
		w.recv(phone, inDialogRequest("ACK", 1, ok, false, "sip:bob@203.0.113.9:5060"))
		w.body(w.expect("ACK 203.0.113.9:40000")[0], "")
		// The browser answers by an UPDATE (RFC 3311).
		w.recv(browser, withSDP(inDialogRequest("UPDATE", 3, ok, true, "sip:alice@198.51.100.1"), offered))
		out = w.expect("UPDATE 198.51.100.1:5060")[0]
		w.body(out, changed("offer", "phone", offered))
		w.answerSDP(out, 200, answerOf)
		w.body(w.expect("200 203.0.113.9:40000")[0], changed("answer", "browser", answerOf))
		r.expect(w, "offer caller→callee phone@1", "answer caller→callee browser@1")
		// One that is refused changes nothing.
		w.recv(browser, withSDP(inDialogRequest("INVITE", 4, ok, true, "sip:alice@198.51.100.1"), offered))
		w.reply(w.expect("INVITE 198.51.100.1:5060")[0], 488)
		w.expect("ACK 198.51.100.1:5060", "488 203.0.113.9:40000")
		r.expect(w, "offer caller→callee phone@1")
		w.recv(browser, strings.Replace(inDialogRequest("ACK", 4, ok, true, "sip:alice@198.51.100.1"), "z9hG4bK-ack-4", "z9hG4bK-invite-4", 1))
		// SDP in other requests is nobody's business here.
		w.recv(browser, withSDP(inDialogRequest("INFO", 5, ok, true, "sip:alice@198.51.100.1"), offered))
		out = w.expect("INFO 198.51.100.1:5060")[0]
		w.body(out, offered)
		w.answerSDP(out, 200, answerOf)
		w.body(w.one(), answerOf)
		r.expect(w)
		w.hangUp(r, phone, ok, false)
	})
}

func TestMedia_PhoneCallsBrowser(t *testing.T) {
	inStudio(t, Options{}, 1, func(w *world, r *engineRoom, _ flow.Flow) {
		carol := w.newPhone("carol", wss("198.51.100.7:40000", 2), "")
		w.register(carol)
		w.recv(caller, withSDP(request("INVITE", "sip:carol@example.com", "c1"), offered))
		out := w.expect("INVITE 198.51.100.7:40000")[0]
		w.body(out, changed("offer", "browser", offered))
		// Early media, then the same SDP again.
		w.answerSDP(out, 183, answerOf)
		w.body(w.expect("183 203.0.113.9:5060")[0], changed("answer", "phone", answerOf))
		r.expect(w, "offer caller→ browser@1", "answer caller→callee phone@1")
		w.reply(out, 180)
		w.body(w.expect("180 203.0.113.9:5060")[0], "")
		for range 2 {
			w.answerSDP(out, 200, answerOf)
			w.body(w.expect("200 203.0.113.9:5060")[0], changed("answer", "phone", answerOf))
		}
		// Nothing new was asked.
		r.expect(w)
		w.recv(caller, inDialogRequest("BYE", 2, mustParse(t, withSDP(response(out.m, 200), answerOf)), true, "sip:carol@198.51.100.7"))
		w.reply(w.expect("BYE 198.51.100.7:40000")[0], 200)
		w.one()
		r.expect(w, "delete@1")
	})
}

// TestMedia_LateOffer_RFC3261_13_2_1: the offer in the 200, the answer in the ACK.
func TestMedia_LateOffer_RFC3261_13_2_1(t *testing.T) {
	inStudio(t, Options{}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
		w.recv(browser, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		w.body(out, "")
		r.expect(w)
		w.answerSDP(out, 200, offered)
		ok := w.expect("200 203.0.113.9:40000")[0]
		w.body(ok, changed("offer", "browser", offered))
		r.expect(w, "offer callee→caller browser@1")
		w.recv(browser, withSDP(inDialogRequest("ACK", 1, ok.m, true, "sip:alice@198.51.100.1"), answerOf))
		w.body(w.expect("ACK 198.51.100.1:5060")[0], changed("answer", "phone", answerOf))
		r.expect(w, "answer callee→caller phone@1")
		// The same in the dialog.
		w.recv(browser, inDialogRequest("INVITE", 2, ok.m, true, "sip:alice@198.51.100.1"))
		w.answerSDP(w.expect("INVITE 198.51.100.1:5060")[0], 200, offered)
		w.body(w.expect("200 203.0.113.9:40000")[0], changed("offer", "browser", offered))
		w.recv(browser, withSDP(inDialogRequest("ACK", 2, ok.m, true, "sip:alice@198.51.100.1"), answerOf))
		w.body(w.expect("ACK 198.51.100.1:5060")[0], changed("answer", "phone", answerOf))
		r.expect(w, "offer callee→caller browser@1", "answer callee→caller phone@1")
		w.hangUp(r, browser, ok.m, true)
	})
}

// TestMedia_Reliable_RFC3262_5: the offer in a reliable 183, the answer in its PRACK, and
// another offer in the next PRACK.
func TestMedia_Reliable_RFC3262_5(t *testing.T) {
	inStudio(t, Options{}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
		w.recv(browser, request("INVITE", "sip:alice@example.com", "c1", "Require: 100rel"))
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		w.recv(out.flow, withSDP(response(out.m, 183, "Require: 100rel", "RSeq: 1"), offered))
		early := w.expect("183 203.0.113.9:40000")[0]
		w.body(early, changed("offer", "browser", offered))
		w.recv(browser, withSDP(inDialogRequest("PRACK", 2, early.m, true, "sip:alice@198.51.100.1", "RAck: 1 1 INVITE"), answerOf))
		prack := w.expect("PRACK 198.51.100.1:5060")[0]
		w.body(prack, changed("answer", "phone", answerOf))
		w.reply(prack, 200)
		w.one()
		r.expect(w, "offer callee→caller browser@1", "answer callee→caller phone@1")
		w.recv(browser, withSDP(inDialogRequest("PRACK", 3, early.m, true, "sip:alice@198.51.100.1", "RAck: 2 1 INVITE"), offered))
		prack = w.expect("PRACK 198.51.100.1:5060")[0]
		w.body(prack, changed("offer", "phone", offered))
		w.answerSDP(prack, 200, answerOf)
		w.body(w.one(), changed("answer", "browser", answerOf))
		r.expect(w, "offer caller→callee phone@1", "answer caller→callee browser@1")
		w.reply(out, 200)
		ok := w.expect("200 203.0.113.9:40000")[0]
		w.hangUp(r, browser, ok.m, true)
	})
}

// TestMedia_Untouched: nothing is asked about calls that need no engine.
func TestMedia_Untouched(t *testing.T) {
	multipart := "--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--x--\r\n"
	tests := []struct {
		name    string
		from    flow.Flow
		message string
		route   string
		body    string
	}{
		{"phone to phone", caller, withSDP(request("INVITE", "sip:alice@example.com", "c1"), offered), "", offered},
		{"a MESSAGE", wss("203.0.113.9:5060", 1), withSDP(request("MESSAGE", "sip:alice@example.com", "c1"), offered), "", offered},
		{"several parts", wss("203.0.113.9:5060", 1), strings.Replace(request("INVITE", "sip:alice@example.com", "c1"), "Content-Length: 0\n\n", fmt.Sprintf("Content-Type: multipart/mixed;boundary=x\nContent-Length: %d\n\n%s", len(multipart), multipart), 1), "", multipart},
		{"encoded", wss("203.0.113.9:5060", 1), withSDP(request("INVITE", "sip:alice@example.com", "c1", "Content-Encoding: gzip"), offered), "", offered},
		{"a route that says so", wss("203.0.113.9:5060", 1), withSDP(request("INVITE", "sip:bob@away.example", "c1"), offered), MediaNone, offered},
		{"a route of browsers", wss("203.0.113.9:5060", 1), withSDP(request("INVITE", "sip:bob@away.example", "c1"), offered), MediaBrowser, offered},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			routes := []Route{{Name: "out", Domain: "away.example", To: []NextHop{{Target: resolve.Target{Host: "198.51.100.1", Port: 5060, Transport: flow.UDP}}}, Media: tt.route}}
			inStudio(t, Options{Routes: routes}, 1, func(w *world, r *engineRoom, _ flow.Flow) {
				w.with(func() { w.alive[tt.from] = true })
				w.admit = func(*sipmsg.Message) Admission { return Admission{Trusted: true} }
				w.recv(tt.from, tt.message)
				out := w.one()
				w.body(out, tt.body)
				w.reply(out, 486)
				w.take()
				r.expect(w)
			})
		})
	}
}

func mustParse(t *testing.T, text string) *sipmsg.Message {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	m, err := sipmsg.Parse([]byte(strings.ReplaceAll(head, "\n", "\r\n")+"\r\n\r\n"+body), netip.AddrPort{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMedia_Routes(t *testing.T) {
	hop := []NextHop{{Target: resolve.Target{Host: "192.0.2.77", Port: 5060, Transport: flow.UDP}}}
	t.Run("to a gateway", func(t *testing.T) {
		routes := []Route{{Name: "pstn", Domain: "away.example", To: hop}}
		inStudio(t, Options{Routes: routes}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
			w.admit = func(*sipmsg.Message) Admission { return Admission{Trusted: true} }
			w.recv(browser, withSDP(request("INVITE", "sip:1@away.example", "c1"), offered))
			out := w.expect("INVITE 192.0.2.77:5060")[0]
			w.body(out, changed("offer", "phone", offered))
			w.reply(out, 486)
			w.expect("ACK 192.0.2.77:5060", "486 203.0.113.9:40000")
			r.expect(w, "offer caller→ phone@1", "delete@1")
		})
	})
	t.Run("to a gateway for browsers", func(t *testing.T) {
		routes := []Route{{Name: "webrtc", Domain: "away.example", To: hop, Media: MediaBrowser}}
		inStudio(t, Options{Routes: routes}, 1, func(w *world, r *engineRoom, _ flow.Flow) {
			w.admit = func(*sipmsg.Message) Admission { return Admission{Trusted: true} }
			w.recv(caller, withSDP(request("INVITE", "sip:1@away.example", "c1"), offered))
			out := w.expect("INVITE 192.0.2.77:5060")[0]
			w.body(out, changed("offer", "browser", offered))
			w.reply(out, 486)
			w.expect("ACK 192.0.2.77:5060", "486 203.0.113.9:5060")
			r.expect(w, "offer caller→ browser@1", "delete@1")
		})
	})
	t.Run("all calls", func(t *testing.T) {
		inStudio(t, Options{Media: Media{All: true}}, 1, func(w *world, r *engineRoom, _ flow.Flow) {
			w.recv(caller, withSDP(request("INVITE", "sip:alice@example.com", "c1"), offered))
			w.reply(w.one(), 486)
			w.take()
			r.expect(w, "offer caller→ phone@1", "delete@1")
		})
	})
}

// TestMedia_NoRecordRoute: what changed media at the beginning must see the end.
func TestMedia_NoRecordRoute(t *testing.T) {
	inStudio(t, Options{NoRecordRoute: true}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
		w.hangUp(r, browser, w.established(r, browser), true)
	})
}

func TestMedia_Fork(t *testing.T) {
	inStudio(t, Options{}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
		w.register(w.newPhone("alice", udp("198.51.100.2:5060"), ""))
		w.register(w.newPhone("alice", wss("198.51.100.3:40000", 3), ""))
		w.recv(browser, withSDP(request("INVITE", "sip:alice@example.com", "c1"), offered))
		var desk, web []sent
		for _, s := range w.take() {
			switch {
			case s.m.Status() == 100:
			case s.flow.Transport == flow.UDP:
				desk = append(desk, s)
			default:
				web = append(web, s)
			}
		}
		if len(desk) != 2 || len(web) != 1 {
			t.Fatalf("%d desk phones and %d browsers were called", len(desk), len(web))
		}
		// Browsers talk to each other by themselves; each phone is a call of its own.
		w.body(web[0], offered)
		r.change(func() {
			if len(r.open) != 2 {
				t.Errorf("%d calls at the engine, want 2: %v", len(r.open), r.open)
			}
		})
		r.expect(w, "offer caller→ phone@1", "offer caller→ phone@1")
		w.answerSDP(desk[0], 183, answerOf)
		w.answerSDP(desk[1], 200, answerOf)
		r.expect(w, "answer caller→callee browser@1", "answer caller→callee browser@1")
		var ok *sipmsg.Message
		for _, s := range w.take() {
			if s.m.Status() == 200 {
				ok = s.m
			}
		}
		w.reply(desk[0], 487)
		r.expect(w, "delete@1")
		w.take()
		r.change(func() {
			if len(r.open) != 1 {
				t.Errorf("calls at the engine: %v, want the one that was answered", r.open)
			}
		})
		w.recv(browser, inDialogRequest("BYE", 2, ok, true, "sip:alice@198.51.100.2"))
		r.expect(w, "delete@1")
		w.take()
	})
}

func TestMediaCall_InToken(t *testing.T) {
	for _, addr := range []string{"192.0.2.101:2223", "[2001:db8::1]:2223"} {
		c := newMediaCall()
		c.engine, c.caller, c.callee = netip.MustParseAddrPort(addr), "browser", "a-name-of-32-letters-which-is-all"
		got, err := parseMediaCall(c.append(nil))
		if err != nil || *got != *c {
			t.Errorf("parseMediaCall = %+v, %v, want %+v", got, err, c)
		}
		whole := c.append(nil)
		for n := range whole {
			if _, err := parseMediaCall(whole[:n]); !errors.Is(err, errToken) {
				t.Errorf("parseMediaCall of %d of %d bytes: %v", n, len(whole), err)
			}
		}
	}
}

func TestOptions_MediaNeedsProfiles(t *testing.T) {
	m := Media{Engines: newEngineRoom(1), Profiles: []rtpengine.Profile{rtpengine.Browser()}}
	if err := m.validate(); err == nil {
		t.Error("there is no profile for phones, and nobody says so")
	}
}

// TestMedia_PhoneComesBackAsAnother: the phone registers as one of another kind while an
// engine is asked for the offer. It gets one of its kind.
func TestMedia_PhoneComesBackAsAnother(t *testing.T) {
	inStudio(t, Options{Media: Media{All: true}}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
		carol := w.newPhone("carol", udp("198.51.100.7:5060"), "")
		w.register(carol)
		r.change(func() { r.slow = true })
		w.recv(caller, withSDP(request("INVITE", "sip:carol@example.com", "c1"), offered))
		w.expect()
		carol.flow = wss("198.51.100.7:40000", 2)
		w.register(carol)
		r.answerAll()
		out := w.expect("INVITE 198.51.100.7:40000")[0]
		w.body(out, changed("offer", "browser", offered))
		w.answerSDP(out, 200, answerOf)
		ok := w.expect("200 203.0.113.9:5060")[0]
		r.expect(w, "offer caller→ phone@1", "offer caller→ browser@1", "answer caller→callee phone@1")
		w.hangUpAt(r, caller, ok.m, "198.51.100.7:40000")
	})
}

// TestMedia_GivenUpWhileAsked: what an engine says of a mediation that was given up sends
// nothing in the name of the one that followed it.
func TestMedia_GivenUpWhileAsked(t *testing.T) {
	inStudio(t, Options{}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
		first, second := w.newPhone("carol", udp("198.51.100.7:5060"), ""), w.newPhone("carol", udp("198.51.100.8:5060"), "")
		first.regID, second.regID, second.instance = 1, 2, first.instance
		w.register(second)
		time.Sleep(time.Second)
		w.register(first)
		r.change(func() { r.slow = true })
		w.recv(browser, withSDP(request("INVITE", "sip:carol@example.com", "c1"), offered))
		w.expect()
		// As a browser it needs no engine, but nothing gets there. Its other flow needs one.
		first.flow = wss("198.51.100.7:40000", 2)
		w.with(func() { w.mute[first.flow] = true })
		w.register(first)
		w.expect()
		r.answerAll()
		out := w.expect("INVITE 198.51.100.8:5060")[0]
		w.body(out, changed("offer", "phone", offered))
		w.answerSDP(out, 200, answerOf)
		ok := w.expect("200 203.0.113.9:40000")[0]
		r.expect(w, "offer caller→ phone@1", "offer caller→ phone@1", "delete@1", "answer caller→callee browser@1")
		w.hangUpAt(r, browser, ok.m, "198.51.100.8:5060")
	})
}
