package proxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"reveille/flow"
	"reveille/internal/resolve"
	"reveille/internal/sipmsg"
	"reveille/push"
)

func TestMedia_CancelWhileAsked(t *testing.T) {
	inStudio(t, Options{}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
		r.slow = true
		w.recv(browser, withSDP(request("INVITE", "sip:alice@example.com", "c1"), offered))
		w.expect()
		w.recv(browser, cancelOf("c1"))
		w.expect("200 203.0.113.9:40000", "487 203.0.113.9:40000")
		r.expect(w, "offer caller→ phone@1")
		r.answerAll()
		r.expect(w, "delete@1")
		// Nothing leaves.
		w.expect()
	})
}

func TestMedia_CancelWhileItRings(t *testing.T) {
	inStudio(t, Options{}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
		w.recv(browser, withSDP(request("INVITE", "sip:alice@example.com", "c1"), offered))
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		w.answerSDP(out, 183, answerOf)
		w.take()
		w.recv(browser, cancelOf("c1"))
		w.expect("200 203.0.113.9:40000", "CANCEL 198.51.100.1:5060")
		r.expect(w, "offer caller→ phone@1", "answer caller→callee browser@1")
		w.reply(out, 487)
		w.expect("ACK 198.51.100.1:5060", "487 203.0.113.9:40000")
		r.expect(w, "delete@1")
	})
}

// TestMedia_AnswerInOrder: while an engine is asked about a 183, nothing overtakes it.
func TestMedia_AnswerInOrder(t *testing.T) {
	inStudio(t, Options{}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
		w.recv(browser, withSDP(request("INVITE", "sip:alice@example.com", "c1"), offered))
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		r.expect(w, "offer caller→ phone@1")
		r.change(func() { r.slow = true })
		w.answerSDP(out, 183, answerOf)
		w.reply(out, 180)
		w.answerSDP(out, 200, "v=0\r\ns=another\r\n")
		ok := mustParse(t, response(out.m, 200))
		w.recv(udp("198.51.100.1:5060"), inDialogRequest("BYE", 1, ok, false, "sip:bob@203.0.113.9:5060"))
		w.expect()
		r.answerAll()
		var got []string
		for _, s := range w.take() {
			got = append(got, strings.SplitN(s.m.Raw(), " ", 3)[0]+s.m.Body())
			if s.m.Status() != 0 {
				got[len(got)-1] = fmt.Sprint(s.m.Status(), s.m.Body())
			}
		}
		want := []string{"183" + changed("answer", "browser", answerOf), "180", "200" + changed("answer", "browser", "v=0\r\ns=another\r\n"), "BYE"}
		if !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
	})
}

func TestMedia_EngineAway(t *testing.T) {
	t.Run("another takes the call", func(t *testing.T) {
		inStudio(t, Options{}, 2, func(w *world, r *engineRoom, browser flow.Flow) {
			r.broken[r.addrs[0]] = true
			w.recv(browser, withSDP(request("INVITE", "sip:alice@example.com", "c1"), offered))
			out := w.expect("INVITE 198.51.100.1:5060")[0]
			r.expect(w, "offer caller→ phone@1", "offer caller→ phone@2")
			// It stays there.
			w.answerSDP(out, 200, answerOf)
			ok := w.expect("200 203.0.113.9:40000")[0]
			w.recv(browser, inDialogRequest("BYE", 2, ok.m, true, "sip:alice@198.51.100.1"))
			r.expect(w, "answer caller→callee browser@2", "delete@2")
			w.take()
		})
	})
	t.Run("the call fails", func(t *testing.T) {
		inStudio(t, Options{}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
			r.broken[r.addrs[0]] = true
			w.recv(browser, withSDP(request("INVITE", "sip:alice@example.com", "c1"), offered))
			w.expect("480 203.0.113.9:40000")
		})
	})
	t.Run("the call to a next hop fails", func(t *testing.T) {
		routes := []Route{{Name: "pstn", Domain: "away.example", To: []NextHop{{Target: resolve.Target{Host: "192.0.2.77", Port: 5060, Transport: flow.UDP}}}}}
		inStudio(t, Options{Routes: routes}, 0, func(w *world, _ *engineRoom, browser flow.Flow) {
			w.admit = func(*sipmsg.Message) Admission { return Admission{Trusted: true} }
			w.recv(browser, withSDP(request("INVITE", "sip:1@away.example", "c1"), offered))
			w.expect("500 203.0.113.9:40000")
		})
	})
	t.Run("SDP passes", func(t *testing.T) {
		inStudio(t, Options{Media: Media{Pass: true}}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
			r.broken[r.addrs[0]] = true
			w.recv(browser, withSDP(request("INVITE", "sip:alice@example.com", "c1"), offered))
			out := w.expect("INVITE 198.51.100.1:5060")[0]
			w.body(out, offered)
			r.expect(w, "offer caller→ phone@1")
			w.answerSDP(out, 200, answerOf)
			ok := w.expect("200 203.0.113.9:40000")[0]
			w.body(ok, answerOf)
			// The call is none of an engine's any more.
			w.recv(browser, withSDP(inDialogRequest("INVITE", 2, ok.m, true, "sip:alice@198.51.100.1"), offered))
			w.body(w.expect("INVITE 198.51.100.1:5060")[0], offered)
			r.expect(w)
		})
	})
	t.Run("in a dialog", func(t *testing.T) {
		inStudio(t, Options{}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
			ok := w.established(r, browser)
			r.change(func() { r.broken[r.addrs[0]] = true })
			w.recv(browser, withSDP(inDialogRequest("INVITE", 2, ok, true, "sip:alice@198.51.100.1"), offered))
			// RFC 5057 §5.1: the dialog goes on.
			if s := w.expect("500 203.0.113.9:40000")[0]; !s.m.Has(sipmsg.HdrRetryAfter) {
				t.Error("there is no Retry-After")
			}
			r.change(func() { r.broken[r.addrs[0]] = false })
			r.expect(w, "offer caller→callee phone@1")
			w.hangUp(r, browser, ok, true)
		})
	})
	t.Run("an answer passes", func(t *testing.T) {
		inStudio(t, Options{}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
			w.recv(browser, withSDP(request("INVITE", "sip:alice@example.com", "c1"), offered))
			out := w.expect("INVITE 198.51.100.1:5060")[0]
			r.change(func() { r.broken[r.addrs[0]] = true })
			w.answerSDP(out, 200, answerOf)
			ok := w.expect("200 203.0.113.9:40000")[0]
			w.body(ok, answerOf)
			r.change(func() { r.broken[r.addrs[0]] = false })
			r.expect(w, "offer caller→ phone@1", "answer caller→callee browser@1")
			w.hangUp(r, browser, ok.m, true)
		})
	})
}

// TestMedia_Parked: what waits for a phone holds no ports.
func TestMedia_Parked(t *testing.T) {
	inStudio(t, Options{}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
		carol := w.newPhone("carol", tcp("198.51.100.7:40000", 7), "fcm")
		w.register(carol)
		w.sleeps(carol)
		w.recv(browser, withSDP(request("INVITE", "sip:carol@example.com", "c1"), offered))
		w.outcome(w.pushCount(1), push.OK)
		time.Sleep(5 * time.Second)
		r.expect(w)
		carol.flow = tcp("198.51.100.7:40001", 8)
		w.register(carol)
		out := w.expect("INVITE 198.51.100.7:40001")[0]
		w.body(out, changed("offer", "phone", offered))
		w.reply(out, 603)
		w.take()
		r.expect(w, "offer caller→ phone@1", "delete@1")
	})
}

// TestMedia_PhoneMovesWhileAsked: it is called once, where it is now.
func TestMedia_PhoneMovesWhileAsked(t *testing.T) {
	inStudio(t, Options{}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
		carol := w.newPhone("carol", tcp("198.51.100.7:40000", 7), "fcm")
		w.register(carol)
		r.slow = true
		w.recv(browser, withSDP(request("INVITE", "sip:carol@example.com", "c1"), offered))
		carol.flow = tcp("198.51.100.7:40001", 8)
		w.register(carol)
		w.expect()
		r.answerAll()
		out := w.expect("INVITE 198.51.100.7:40001")[0]
		w.body(out, changed("offer", "phone", offered))
		w.reply(out, 603)
		w.take()
	})
}

// TestMedia_PhoneIsOfAnotherKindNow: a user who was called at the desk phone's flow comes
// back as a browser, which needs no engine.
func TestMedia_PhoneIsOfAnotherKindNow(t *testing.T) {
	inStudio(t, Options{}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
		carol := w.newPhone("carol", tcp("198.51.100.7:40000", 7), "fcm")
		w.register(carol)
		r.slow = true
		w.recv(browser, withSDP(request("INVITE", "sip:carol@example.com", "c1"), offered))
		carol.flow = wss("198.51.100.7:40001", 8)
		w.register(carol)
		out := w.expect("INVITE 198.51.100.7:40001")[0]
		w.body(out, offered)
		r.answerAll()
		w.reply(out, 603)
		w.take()
	})
}

// TestMedia_Race: the time of the race policy begins when the INVITE has left.
func TestMedia_Race(t *testing.T) {
	inStudio(t, Options{Policy: func(string, string) Mode { return Race }}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
		carol := w.newPhone("carol", tcp("198.51.100.7:40000", 7), "fcm")
		w.register(carol)
		r.slow = true
		w.recv(browser, withSDP(request("INVITE", "sip:carol@example.com", "c1"), offered))
		time.Sleep(time.Second)
		w.pushCount(0)
		r.answerAll()
		first := w.expect("INVITE 198.51.100.7:40000")[0]
		time.Sleep(300 * time.Millisecond)
		w.outcome(w.pushCount(1), push.OK)
		carol.flow = tcp("198.51.100.7:40001", 8)
		w.register(carol)
		second := w.expect("INVITE 198.51.100.7:40001")[0]
		w.body(second, first.m.Body())
		// It is still one call.
		r.expect(w, "offer caller→ phone@1")
		w.answerSDP(second, 200, answerOf)
		ok := w.expect("200 203.0.113.9:40000")[0]
		w.body(ok, changed("answer", "browser", answerOf))
		w.recv(browser, inDialogRequest("BYE", 2, ok.m, true, "sip:carol@198.51.100.7"))
		w.take()
	})
}

// TestMedia_LateAnswer: an INVITE that is given up without an answer may still be
// answered; its ports stay for that long.
func TestMedia_LateAnswer(t *testing.T) {
	inStudio(t, Options{Policy: func(string, string) Mode { return Race }}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
		carol := w.newPhone("carol", tcp("198.51.100.7:40000", 7), "fcm")
		w.register(carol)
		w.register(w.newPhone("carol", udp("198.51.100.1:5060"), ""))
		w.recv(browser, withSDP(request("INVITE", "sip:carol@example.com", "c1"), offered))
		var desk, mobile sent
		for _, s := range w.take() {
			switch s.flow.Remote.Port() {
			case 5060:
				desk = s
			case 40000:
				if s.flow == carol.flow {
					mobile = s
				}
			}
		}
		w.reply(desk, 180)
		w.take()
		time.Sleep(300 * time.Millisecond)
		w.outcome(w.pushCount(1), push.OK)
		r.expect(w, "offer caller→ phone@1", "offer caller→ phone@1")
		time.Sleep(30 * time.Second)
		r.expect(w)
		w.answerSDP(mobile, 200, answerOf)
		var ok *sipmsg.Message
		for _, s := range w.take() {
			if s.m.Status() == 200 && s.flow == browser {
				ok = s.m
			}
		}
		if ok == nil {
			t.Fatal("the 200 did not get to the caller")
		}
		r.expect(w, "answer caller→callee browser@1")
		w.reply(desk, 487)
		w.recv(browser, inDialogRequest("BYE", 2, ok, true, "sip:carol@198.51.100.7"))
		w.take()
	})
}

// TestMedia_NobodyAnswers: the call at the engine ends with the transaction.
func TestMedia_NobodyAnswers(t *testing.T) {
	inStudio(t, Options{}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
		w.recv(browser, withSDP(request("INVITE", "sip:alice@example.com", "c1"), offered))
		w.expect("INVITE 198.51.100.1:5060")
		time.Sleep(33 * time.Second)
		r.expect(w, "offer caller→ phone@1", "delete@1")
		w.take()
	})
}

// TestMedia_EarlyBye_RFC3261_15: a caller may end one of several early dialogs behind a
// branch; the others go on.
func TestMedia_EarlyBye_RFC3261_15(t *testing.T) {
	inStudio(t, Options{}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
		w.recv(browser, withSDP(request("INVITE", "sip:alice@example.com", "c1"), offered))
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		w.answerSDP(out, 183, answerOf)
		early := w.expect("183 203.0.113.9:40000")[0]
		w.recv(browser, inDialogRequest("BYE", 2, early.m, true, "sip:alice@198.51.100.1"))
		w.reply(w.expect("BYE 198.51.100.1:5060")[0], 200)
		w.one()
		r.expect(w, "offer caller→ phone@1", "answer caller→callee browser@1")
		w.reply(out, 487)
		w.take()
		r.expect(w, "delete@1")
	})
}

// TestMedia_Bounded: more than a call can need does not wait.
func TestMedia_Bounded(t *testing.T) {
	inStudio(t, Options{}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
		ok := w.established(r, browser)
		r.change(func() { r.slow = true })
		for i := range maxMediaWaiting + 6 {
			w.recv(browser, withSDP(inDialogRequest("UPDATE", 10+i, ok, true, "sip:alice@198.51.100.1"), offered))
		}
		refused := 0
		for _, s := range w.take() {
			if s.m.Status() == 500 {
				refused++
			}
		}
		if refused != 5 {
			t.Errorf("%d requests were refused, want 5", refused)
		}
		r.answerAll()
		if n := len(w.take()); n != maxMediaWaiting+1 {
			t.Errorf("%d requests left, want %d", n, maxMediaWaiting+1)
		}
		w.hangUpQuietly(r, browser, ok)
	})
}

// hangUpQuietly ends a call whatever else is under way.
func (w *world) hangUpQuietly(r *engineRoom, from flow.Flow, ok *sipmsg.Message) {
	w.t.Helper()
	w.recv(from, inDialogRequest("BYE", 91, ok, true, "sip:x@192.0.2.200"))
	r.answerAll()
	w.take()
}

// TestMedia_AllGoneByReload: a call goes on when the configuration has no engines any
// more.
func TestMedia_AllGoneByReload(t *testing.T) {
	inStudio(t, Options{}, 1, func(w *world, r *engineRoom, browser flow.Flow) {
		ok := w.established(r, browser)
		o := *w.proxy.opts()
		o.Media = Media{}
		if err := w.proxy.Reload(o); err != nil {
			t.Fatal(err)
		}
		w.recv(browser, withSDP(inDialogRequest("INVITE", 2, ok, true, "sip:alice@198.51.100.1"), offered))
		w.body(w.expect("INVITE 198.51.100.1:5060")[0], offered)
		w.recv(browser, inDialogRequest("BYE", 3, ok, true, "sip:alice@198.51.100.1"))
		w.take()
		r.expect(w)
		r.change(func() { clear(r.open) })
	})
}
