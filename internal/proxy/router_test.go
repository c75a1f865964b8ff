package proxy

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

func TestRequest_Refusals(t *testing.T) {
	toTag := func(s string) string { return strings.Replace(s, "\nCall-ID", ";tag=forged\nCall-ID", 1) }
	tests := []struct {
		name, message string
		want          int
		header        string
	}{
		{"OPTIONS to the server_RFC3261_11", request("OPTIONS", "sip:192.0.2.1", "x"), 200, "Allow"},
		{"OPTIONS to the domain", request("OPTIONS", "sip:example.com", "x"), 200, "Allow"},
		{"INVITE to the server itself", request("INVITE", "sip:example.com", "x"), 404, ""},
		{"user without binding", request("INVITE", "sip:nobody@example.com", "x"), 480, ""},
		{"unknown user_RFC3261_16_5", request("INVITE", "sip:ghost@example.com", "x"), 404, ""},
		{"user at our address", request("INVITE", "sip:nobody@192.0.2.1:5060", "x"), 480, ""},
		{"foreign domain without route", request("INVITE", "sip:bob@elsewhere.example", "x"), 403, ""},
		{"forged To tag", toTag(request("BYE", "sip:alice@example.com", "x")), 403, ""},
		{"forged To tag to a foreign host", toTag(request("BYE", "sip:victim@203.0.113.50", "x")), 403, ""},
		{"foreign Route", request("INVITE", "sip:alice@example.com", "x", "Route: <sip:203.0.113.50;lr>"), 403, ""},
		{"foreign Route behind ours", request("INVITE", "sip:alice@example.com", "x", "Route: <sip:192.0.2.1;lr>, <sip:203.0.113.50;lr>"), 403, ""},
		{"maddr", request("INVITE", "sip:alice@example.com;maddr=203.0.113.50", "x"), 403, ""},
		{"scheme_RFC3261_16_3", request("INVITE", "mailto:alice@example.com", "x"), 416, ""},
		{"Max-Forwards 0_RFC3261_16_3", strings.Replace(request("INVITE", "sip:alice@example.com", "x"), "Max-Forwards: 70", "Max-Forwards: 0", 1), 483, ""},
		{"Max-Forwards 0 of OPTIONS", strings.Replace(request("OPTIONS", "sip:alice@example.com", "x"), "Max-Forwards: 70", "Max-Forwards: 0", 1), 200, "Allow"},
		{"Proxy-Require_RFC3261_16_3", request("INVITE", "sip:alice@example.com", "x", "Proxy-Require: foo, bar"), 420, "Unsupported"},
		{"SUBSCRIBE to a phone", request("SUBSCRIBE", "sip:alice@example.com", "x", "Event: presence"), 489, ""},
		{"PUBLISH to a phone", request("PUBLISH", "sip:alice@example.com", "x", "Event: presence"), 405, "Allow"},
	}
	known := func(aor usrloc.AOR) bool { return aor != "sip:ghost@example.com" }
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{Known: known}, func(w *world) {
				w.register(w.newPhone("alice", udp("198.51.100.1:5060"), "fcm"))
				w.recv(caller, tt.message)
				s := w.one()
				if s.m.Status() != tt.want || s.flow != caller {
					t.Fatalf("answer %d on %s, want %d to the caller", s.m.Status(), s.flow, tt.want)
				}
				if _, has := s.m.HeaderNamed(tt.header); tt.header != "" && !has {
					t.Errorf("%d without %s:\n%s", tt.want, tt.header, s.m.Raw())
				}
				w.pushCount(0)
			})
		})
	}
}

func TestRequest_GateRefusal(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.admit = func(*sipmsg.Message) Admission {
			return Admission{Refusal: &sipmsg.Reply{Code: 407, Headers: []sipmsg.HeaderField{{Name: "Proxy-Authenticate", Value: `Digest realm="example.com"`}}}}
		}
		w.recv(caller, request("INVITE", "sip:alice@example.com", "x"))
		got := w.take()
		if len(got) != 1 || got[0].m.Status() != 407 {
			t.Fatalf("sent%s\nwant 407 alone", lines(got))
		}
	})
}

func TestRequest_SlowGateHoldsTheCancelBack(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		var answer func(Admission)
		w.proxy.opts().Gate = gateFunc(func(done func(Admission)) { answer = done })
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.recv(caller, cancelOf("c1"))
		time.Sleep(200 * time.Millisecond)
		if got := w.take(); len(got) != 1 || got[0].m.Status() != 100 {
			t.Fatalf("sent%s\nwant 100 alone while the Gate decides", lines(got))
		}
		answer(Admission{})
		synctest.Wait()
		var invite sent
		for _, s := range w.take() {
			if s.m.IsRequest() && s.m.Method() == "INVITE" {
				invite = s
			}
		}
		if invite.m == nil {
			t.Fatal("the INVITE was not forwarded before its CANCEL")
		}
		w.reply(invite, 180)
		for _, s := range w.take() {
			if s.m.Method() == "CANCEL" && s.m.IsRequest() {
				w.reply(s, 200)
			}
		}
		w.reply(invite, 487)
		w.expect("ACK 198.51.100.1:5060", "487 203.0.113.9:5060")
	})
}

type gateFunc func(done func(Admission))

func (g gateFunc) Admit(_ *sipmsg.Message, _ flow.Flow, done func(Admission)) { g(done) }

func TestRequest_RoutesAreForThoseWithRight(t *testing.T) {
	trunk := Route{Name: "trunk", Domain: "pstn.example", Prefix: "+1", To: to("sip:203.0.113.80:5060")}
	inWorld(t, Options{Routes: []Route{trunk}, Identity: Identity{From: AnyFrom}}, func(w *world) {
		w.recv(caller, request("INVITE", "sip:+1555@pstn.example", "x1"))
		w.expect("403 203.0.113.9:5060")
		w.admit = func(*sipmsg.Message) Admission { return Admission{User: "sip:bob@example.com", Realm: "example.com"} }
		w.recv(caller, request("INVITE", "sip:+49555@pstn.example", "x2"))
		w.expect("403 203.0.113.9:5060")
		w.recv(caller, request("INVITE", "sip:+1555@pstn.example", "x3",
			`Proxy-Authorization: Digest realm="other", username="bob"`, `Proxy-Authorization: Digest realm="example.com", username="bob"`))
		out := w.expect("INVITE 203.0.113.80:5060")[0]
		if got := strings.Count(out.m.Raw(), "Proxy-Authorization"); got != 1 || strings.Contains(out.m.Raw(), `realm="example.com"`) {
			t.Errorf("credentials for us went on, or those of others did not:\n%s", out.m.Raw())
		}
		w.reply(out, 200)
		w.expect("200 203.0.113.9:5060")
	})
}

func TestRequest_LoopIsFound_RFC5393_4_2(t *testing.T) {
	inWorld(t, Options{Domains: []string{"example.com"}}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "")
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		// The phone is a proxy that sends it straight back to the AOR.
		back := strings.Replace(out.m.Raw(), "INVITE "+out.m.RequestURI().String(), "INVITE sip:alice@example.com", 1)
		back = strings.Replace(back, "\r\nVia:", "\r\nVia: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKback\r\nVia:", 1)
		w.recv(p.flow, strings.ReplaceAll(back, "\r\n", "\n"))
		w.expect("482 198.51.100.1:5060")
		// With another Request-URI it is a spiral, which is legal.
		w.register(w.newPhone("carol", udp("198.51.100.3:5060"), ""))
		spiral := strings.Replace(strings.ReplaceAll(back, "z9hG4bKback", "z9hG4bKspiral"), "INVITE sip:alice@", "INVITE sip:carol@", 1)
		w.recv(p.flow, strings.ReplaceAll(spiral, "\r\n", "\n"))
		w.expect("INVITE 198.51.100.3:5060")
	})
}

func TestInvite_ChallengesOfAllBranchesAreAggregated_RFC3261_16_7_7(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.register(w.newPhone("alice", udp("198.51.100.2:5060"), ""))
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.1:5060", "INVITE 198.51.100.2:5060")
		w.reply(out[0], 407, `Proxy-Authenticate: Digest realm="one"`)
		w.expect("ACK 198.51.100.1:5060")
		w.reply(out[1], 401, `WWW-Authenticate: Digest realm="two"`)
		got := w.expect("ACK 198.51.100.2:5060", "407 203.0.113.9:5060")[1]
		if !strings.Contains(got.m.Raw(), `realm="one"`) || !strings.Contains(got.m.Raw(), `realm="two"`) {
			t.Errorf("challenges missing:\n%s", got.m.Raw())
		}
	})
}

func TestInvite_Lone503Becomes500_RFC3261_16_7_6(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		w.reply(out, 503)
		w.expect("ACK 198.51.100.1:5060", "500 203.0.113.9:5060")
	})
}

func TestInvite_EverySecond2xxGoesUpstream_RFC3261_16_7_5(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.register(w.newPhone("alice", udp("198.51.100.2:5060"), ""))
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.1:5060", "INVITE 198.51.100.2:5060")
		w.reply(out[0], 200)
		w.expect("200 203.0.113.9:5060")
		w.reply(out[1], 200)
		w.expect("200 203.0.113.9:5060")
	})
}

func TestInvite_CancelReasonIsCopied_RFC3326(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		w.reply(out, 180)
		w.expect("180 203.0.113.9:5060")
		w.recv(caller, cancelOf("c1", `Reason: SIP;cause=200;text="Call completed elsewhere"`))
		got := w.expect("200 203.0.113.9:5060", "CANCEL 198.51.100.1:5060")
		if reason, _ := got[1].m.HeaderNamed("Reason"); reason != `SIP;cause=200;text="Call completed elsewhere"` {
			t.Errorf("Reason = %q, want the caller's", reason)
		}
		w.reply(got[1], 200)
		w.reply(out, 487)
		w.expect("ACK 198.51.100.1:5060", "487 203.0.113.9:5060")
	})
}

func TestInvite_PlainPhoneThatDoesNotAnswer(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", tcp("198.51.100.1:5060", 1), ""))
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.expect("INVITE 198.51.100.1:5060")
		time.Sleep(32 * time.Second)
		w.expect("480 203.0.113.9:5060")
	})
}

func TestInvite_PlainPhoneWhoseConnectionIsGone(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", tcp("198.51.100.1:5060", 1), "")
		w.register(p)
		w.mu.Lock()
		w.dead[p.flow] = true
		w.mu.Unlock()
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.expect("480 203.0.113.9:5060")
	})
}

// A caller that knows only our address means the first domain, also if both are
// equally long: the URI as it was written must not be taken for the user's.
func TestAOROf_OurAddressStandsForTheDomain(t *testing.T) {
	p, err := New(Options{Store: broken{}, Flows: &world{}, Waker: &world{}, Gate: &world{}, Keys: keyring(), Domains: []string{"abc.local"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, uri := range []string{"sip:alice@192.0.2.1", "sip:alice@192.0.2.1:5060", "sip:alice@abc.local", "sips:alice@ABC.local."} {
		u, err := sipmsg.ParseURI(uri)
		if err != nil {
			t.Fatal(err)
		}
		if aor, ok := p.aorOf(u); !ok || aor != "sip:alice@abc.local" {
			t.Errorf("aorOf(%s) = %s, %v, want sip:alice@abc.local", uri, aor, ok)
		}
	}
}

// An INVITE from an address that somebody made up must not bring that address
// eleven copies of the answer.
func TestRequest_StrangerGetsOneAnswer_RFC3261_17_2_1(t *testing.T) {
	tests := []struct {
		name  string
		user  usrloc.AOR
		uri   string
		code  int
		times int
	}{
		{"nobody registered", "", "sip:alice@example.com", 480, 1},
		{"nobody of that name", "", "sip:ghost@example.com", 404, 1},
		{"no relay", "", "sip:a@example.org", 403, 1},
		{"a phone that nothing wakes", "", "sip:carol@example.com", 480, 1},
		{"a user of ours", "sip:bob@example.net", "sip:alice@example.com", 480, 11},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			known := func(aor usrloc.AOR) bool { return aor != "sip:ghost@example.com" }
			inWorld(t, Options{Known: known}, func(w *world) {
				w.admit = func(*sipmsg.Message) Admission { return Admission{User: tt.user} }
				carol := w.newPhone("carol", udp("198.51.100.1:5060"), "fcm")
				w.register(carol)
				w.sleeps(carol)
				w.with(func() { w.cannot["fcm"] = true })
				w.recv(caller, request("INVITE", tt.uri, "c1"))
				time.Sleep(time.Minute)
				out := w.take()
				for _, s := range out {
					if s.m.Status() != tt.code {
						t.Errorf("sent %d, want %d", s.m.Status(), tt.code)
					}
				}
				if len(out) != tt.times {
					t.Errorf("%d answers to an INVITE without ACK, want %d", len(out), tt.times)
				}
			})
		})
	}
}
