package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"reveille/internal/sipmsg"
	"reveille/purr"
	"reveille/push"
	"reveille/usrloc"
)

const aliceAOR = usrloc.AOR("sip:alice@example.com")

// voicemail is a route, and a rule that sends calls to it.
func voicemail() ([]Route, Fallback) {
	r := Route{Name: "voicemail", Domain: "vm.example.com", To: to("sip:192.0.2.50")}
	return []Route{r}, Fallback{Route: "voicemail", To: mustURI("sip:box@vm.example.com"), Diversion: DiversionHeader}
}

func mustURI(s string) sipmsg.URI {
	u, err := sipmsg.ParseURI(s)
	if err != nil {
		panic(err)
	}
	return u
}

// Every way in which a user is not to be had, and what the voicemail hears of it.
func TestFallback_Conditions_RFC3261_16_5(t *testing.T) {
	const toVoicemail = "INVITE 192.0.2.50:5060"
	tests := []struct {
		name   string
		when   When
		call   func(w *world) // up to the end of the last branch
		want   string         // after that
		reason string
	}{
		{"busy", WhenBusy, func(w *world) {
			w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
			w.invite()
			w.reply(w.expect("INVITE 198.51.100.1:5060")[0], 486)
		}, "ACK 198.51.100.1:5060|" + toVoicemail, "user-busy"},
		{"busy, but the rule is for others", WhenNoAnswer | WhenAsleep | WhenUnreachable, func(w *world) {
			w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
			w.invite()
			w.reply(w.expect("INVITE 198.51.100.1:5060")[0], 486)
		}, "ACK 198.51.100.1:5060|486 203.0.113.9:5060", ""},
		{"the phone gives up ringing", WhenNoAnswer, func(w *world) {
			w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
			w.invite()
			out := w.expect("INVITE 198.51.100.1:5060")[0]
			w.reply(out, 180)
			w.expect("180 203.0.113.9:5060")
			w.reply(out, 480)
		}, "ACK 198.51.100.1:5060|" + toVoicemail, "no-answer"},
		{"rings for the whole time", WhenNoAnswer, func(w *world) {
			w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
			w.invite()
			w.reply(w.expect("INVITE 198.51.100.1:5060")[0], 180)
			w.expect("180 203.0.113.9:5060")
			time.Sleep(20*time.Second - time.Nanosecond)
			w.expect()
			time.Sleep(time.Nanosecond)
		}, "CANCEL 198.51.100.1:5060|" + toVoicemail, "no-answer"},
		{"does not wake", WhenAsleep, func(w *world) {
			w.sleeper("198.51.100.1:5060")
			w.invite()
			w.outcome(w.pushCount(1), push.OK)
			time.Sleep(25 * time.Second)
		}, toVoicemail, "unavailable"},
		{"the push fails", WhenUnreachable, func(w *world) {
			w.sleeper("198.51.100.1:5060")
			w.invite()
			w.outcome(w.pushCount(1), push.Gone)
		}, toVoicemail, "unavailable"},
		{"not registered", WhenUnreachable, func(w *world) { w.invite() }, toVoicemail, "unavailable"},
		{"not registered, but the rule is for others", WhenBusy, func(w *world) { w.invite() }, "480 203.0.113.9:5060", ""},
		{"does not answer at all", WhenUnreachable, func(w *world) {
			w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
			w.invite()
			time.Sleep(32*time.Second - time.Nanosecond)
			w.take()
			time.Sleep(time.Nanosecond)
		}, toVoicemail, "unavailable"},
		{"declined", 0, func(w *world) {
			w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
			w.invite()
			w.reply(w.expect("INVITE 198.51.100.1:5060")[0], 603)
		}, "ACK 198.51.100.1:5060|603 203.0.113.9:5060", ""},
		{"what the caller offers is not taken", 0, func(w *world) {
			w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
			w.invite()
			w.reply(w.expect("INVITE 198.51.100.1:5060")[0], 488)
		}, "ACK 198.51.100.1:5060|488 203.0.113.9:5060", ""},
		{"the caller gives up", 0, func(w *world) {
			w.sleeper("198.51.100.1:5060")
			w.invite()
			w.expect()
			w.recv(caller, cancelOf("c1"))
		}, "200 203.0.113.9:5060|487 203.0.113.9:5060", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			routes, rule := voicemail()
			rule.When = tt.when
			o := Options{Routes: routes, Fallbacks: []Fallback{rule}, RingTotal: 20 * time.Second}
			inWorld(t, o, func(w *world) {
				tt.call(w)
				want := strings.Split(tt.want, "|")
				out := w.expect(want...)
				last := out[len(out)-1]
				if last.flow.Remote.String() != "192.0.2.50:5060" {
					return
				}
				d := "Diversion: <sip:alice@example.com>;reason=" + tt.reason + ";counter=1\r\n"
				if u := last.m.RequestURI().String(); u != "sip:box@vm.example.com" || !strings.Contains(last.m.Raw(), d) {
					t.Errorf("the voicemail gets\n%s, want\n%s", last.m.Raw(), d)
				}
				if out[0].m.Method() == "CANCEL" {
					w.reply(out[0], 200)
				}
				w.reply(last, 200)
				w.expect("200 203.0.113.9:5060")
			})
		})
	}
}

func (w *world) invite(extra ...string) {
	w.recv(caller, request("INVITE", "sip:alice@example.com", "c1", extra...))
}

// Whatever the fallback fails with, the caller hears what became of the user; a 6xx and
// a redirection are the exceptions. The fallback has none itself.
func TestFallback_FailsItself_RFC3261_16_7_6(t *testing.T) {
	for _, tt := range []struct{ says, heard int }{{404, 486}, {407, 486}, {480, 486}, {500, 486}, {503, 486}, {302, 302}, {603, 603}} {
		t.Run(fmt.Sprint(tt.says), func(t *testing.T) {
			routes, rule := voicemail()
			inWorld(t, Options{Routes: routes, Fallbacks: []Fallback{rule}}, func(w *world) {
				w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
				w.invite()
				w.reply(w.expect("INVITE 198.51.100.1:5060")[0], 486)
				out := w.expect("ACK 198.51.100.1:5060", "INVITE 192.0.2.50:5060")
				w.reply(out[1], tt.says)
				w.expect("ACK 192.0.2.50:5060", fmt.Sprint(tt.heard, " 203.0.113.9:5060"))
			})
		})
	}
}

// The caller gives up while the voicemail rings; one final comes.
func TestFallback_CancelledWhileItRings_RFC3261_16_10(t *testing.T) {
	routes, rule := voicemail()
	inWorld(t, Options{Routes: routes, Fallbacks: []Fallback{rule}}, func(w *world) {
		w.invite()
		out := w.expect("INVITE 192.0.2.50:5060")[0]
		w.reply(out, 180)
		w.expect("180 203.0.113.9:5060")
		w.recv(caller, cancelOf("c1"))
		w.reply(w.expect("200 203.0.113.9:5060", "CANCEL 192.0.2.50:5060")[1], 200)
		w.reply(out, 487)
		w.expect("ACK 192.0.2.50:5060", "487 203.0.113.9:5060")
	})
}

func TestFallback_Mailbox_RFC3261_25_1(t *testing.T) {
	tests := []struct{ mailbox, aor, want string }{
		{"sip:{user}@vm.example.com", "sip:alice@example.com", "sip:alice@vm.example.com"},
		{"sip:{user}-box@vm.example.com;x=y", "sip:a%40b;c=d?e@example.com", "sip:a%40b;c=d?e-box@vm.example.com;x=y"},
		{"sip:vm@vm.example.com;mailbox={user}", "sip:a%40b;c@example.com", "sip:vm@vm.example.com;mailbox=a%40b%3Bc"},
		{"sip:vm@vm.example.com;target={aor};cause=408", "sip:alice@example.com", "sip:vm@vm.example.com;target=sip:alice%40example.com;cause=408"},
		{"sip:{aor}@vm.example.com", "sip:alice@example.com", ""},
		{"tel:{user}", "sip:+15550100@example.com", ""},
		{"sip:{user}@vm example.com", "sip:alice@example.com", ""},
	}
	for _, tt := range tests {
		r := Fallback{Route: "voicemail", Mailbox: tt.mailbox}
		if err := r.validate(); (err == nil) != (tt.want != "") {
			t.Errorf("%s: %v", tt.mailbox, err)
		}
		if u, err := r.of(usrloc.AOR(tt.aor)); tt.want != "" && (err != nil || u.String() != tt.want) {
			t.Errorf("%s of %s is %s, %v, want %s", tt.mailbox, tt.aor, u, err, tt.want)
		}
	}
	routes, _ := voicemail()
	inWorld(t, Options{Routes: routes, Fallbacks: []Fallback{{Route: "voicemail", Mailbox: "sip:{user}@vm.example.com", Diversion: HistoryInfo}}}, func(w *world) {
		w.invite()
		out := w.expect("INVITE 192.0.2.50:5060")[0]
		if u := out.m.RequestURI().String(); u != "sip:alice@vm.example.com" || !strings.Contains(out.m.Raw(), "History-Info: <sip:alice@vm.example.com>;index=1.1;mp=1\r\n") {
			t.Errorf("the voicemail gets\n%s", out.m.Raw())
		}
		w.reply(out, 200)
		w.expect("200 203.0.113.9:5060")
	})
}

// What nobody could be asked for has the answer of its own.
func TestFallback_UnknownUser_RFC3261_16_5(t *testing.T) {
	routes, rule := voicemail()
	o := Options{Routes: routes, Fallbacks: []Fallback{rule}, Known: func(usrloc.AOR) bool { return false }}
	inWorld(t, o, func(w *world) {
		w.invite()
		w.expect("404 203.0.113.9:5060")
	})
}

// A MESSAGE is not for the voicemail.
func TestFallback_ForCallsAlone(t *testing.T) {
	routes, rule := voicemail()
	inWorld(t, Options{Routes: routes, Fallbacks: []Fallback{rule}}, func(w *world) {
		w.recv(caller, request("MESSAGE", "sip:alice@example.com", "m1"))
		w.expect("480 203.0.113.9:5060")
	})
}

func TestFallback_OfAUser(t *testing.T) {
	routes, rule := voicemail()
	toBob := Fallback{When: WhenUnreachable, To: mustURI("sip:bob@example.com"), Diversion: HistoryInfo}
	o := Options{Routes: routes, Fallbacks: []Fallback{rule}, AORs: map[usrloc.AOR]AOR{
		aliceAOR:                {Fallbacks: []Fallback{toBob}},
		"sip:carol@example.com": {NoFallback: true},
		"sip:bob@example.com":   {Fallbacks: []Fallback{{To: mustURI("sip:alice@example.com")}}},
	}}
	inWorld(t, o, func(w *world) {
		// Another user's phone is woken like any other; what that user has is not asked.
		bob := w.newPhone("bob", udp("198.51.100.2:5060"), "fcm")
		w.register(bob)
		w.sleeps(bob)
		w.invite()
		w.expect()
		if pu := w.pushCount(1); pu.aor != bob.aor {
			t.Errorf("%s was pushed", pu.aor)
		}
		bob.flow = udp("198.51.100.2:6000")
		w.register(bob)
		out := w.expect("INVITE 198.51.100.2:6000")[0]
		want := "History-Info: <sip:alice@example.com?Reason=SIP%3Bcause%3D480>;index=1\r\nHistory-Info: <sip:bob@example.com>;index=1.1;mp=1\r\n"
		if !strings.Contains(out.m.Raw(), want) {
			t.Errorf("bob's phone gets\n%s, want\n%s", out.m.Raw(), want)
		}
		w.reply(out, 480)
		w.expect("ACK 198.51.100.2:6000", "480 203.0.113.9:5060")

		// A user's own rules are in place of those for all.
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c2"))
		w.reply(w.expect("INVITE 198.51.100.1:5060")[0], 486)
		w.expect("ACK 198.51.100.1:5060", "486 203.0.113.9:5060")

		w.recv(caller, request("INVITE", "sip:carol@example.com", "c3"))
		w.expect("480 203.0.113.9:5060")
	})
}

// The voicemail's own phone, and a phone that both users have, are asked once.
func TestFallback_LeadsBack(t *testing.T) {
	toBob := Fallback{To: mustURI("sip:bob@example.com")}
	inWorld(t, Options{Fallbacks: []Fallback{toBob}}, func(w *world) {
		w.recv(caller, request("INVITE", "sip:bob@example.com", "c1"))
		w.expect("480 203.0.113.9:5060")

		alice, bob := w.newPhone("alice", udp("198.51.100.1:5060"), ""), w.newPhone("bob", udp("198.51.100.1:5060"), "")
		bob.instance = alice.instance
		w.register(alice)
		w.register(bob)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c2"))
		w.reply(w.expect("INVITE 198.51.100.1:5060")[0], 486)
		w.expect("ACK 198.51.100.1:5060", "486 203.0.113.9:5060")
	})
}

// What comes back from the voicemail is not sent there again.
func TestFallback_CallThatWasDivertedBefore_RFC5806_RFC7044(t *testing.T) {
	tests := []struct {
		name, header string
		again        bool
	}{
		{"by its Diversion", "Diversion: <sip:carol@example.com>, <sip:Alice@EXAMPLE.com>;reason=no-answer", true},
		{"by its Diversion", "Diversion: <sip:alice@EXAMPLE.com;user=phone>;reason=no-answer", false},
		{"by its history", "History-Info: <sip:alice@example.com?Reason=SIP%3Bcause%3D480>;index=1, <sip:x@example.net>;index=1.1", false},
		{"the history says only that it passed", "History-Info: <sip:alice@example.com>;index=1", true},
		{"another user was meant", "Diversion: <sip:carol@example.com>;reason=no-answer", true},
		{"what cannot be read", "Diversion: <", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			routes, rule := voicemail()
			inWorld(t, Options{Routes: routes, Fallbacks: []Fallback{rule}}, func(w *world) {
				w.invite(tt.header)
				if !tt.again {
					w.expect("480 203.0.113.9:5060")
					return
				}
				out := w.expect("INVITE 192.0.2.50:5060")[0]
				// RFC 5806 §4: the last one comes first.
				if first, _ := out.m.HeaderNamed("Diversion"); !strings.HasPrefix(first, "<sip:alice@example.com>;reason=unavailable") {
					t.Errorf("the first Diversion is %s", first)
				}
				w.reply(out, 404)
				w.expect("ACK 192.0.2.50:5060", "480 203.0.113.9:5060")
			})
		})
	}
}

func TestDiversion_History_RFC7044_9(t *testing.T) {
	tests := []struct {
		name  string
		to    string
		lines []string
		want  []string
	}{
		{"none", "sip:bob@example.com", nil, []string{
			"<sip:alice@example.com?Reason=SIP%3Bcause%3D486>;index=1", "<sip:bob@example.com>;index=1.1;mp=1",
		}},
		{"the Request-URI stays", "", nil, []string{
			"<sip:alice@example.com?Reason=SIP%3Bcause%3D486>;index=1", "<sip:alice@example.com>;index=1.1;np=1",
		}},
		{"whoever sent it wrote an entry", "sip:bob@example.com", []string{`<sip:a@example.net>;index=1, "Alice" <sip:alice@EXAMPLE.com?Privacy=history>;index=1.1;rc=1`}, []string{
			"<sip:a@example.net>;index=1", `"Alice" <sip:alice@EXAMPLE.com?Privacy=history&Reason=SIP%3Bcause%3D486>;index=1.1;rc=1`, "<sip:bob@example.com>;index=1.1.1;mp=1.1",
		}},
		{"the one before did", "sip:bob@example.com", []string{"<sip:a@example.net>;index=1", "<sip:b@example.net>;index=1.2"}, []string{
			"<sip:a@example.net>;index=1", "<sip:b@example.net>;index=1.2",
			"<sip:alice@example.com?Reason=SIP%3Bcause%3D486>;index=1.2.0", "<sip:bob@example.com>;index=1.2.0.1;mp=1.2.0",
		}},
		{"no history at all", "sip:bob@example.com", []string{"<"}, []string{
			"<", "<sip:alice@example.com?Reason=SIP%3Bcause%3D486>;index=1.0", "<sip:bob@example.com>;index=1.0.1;mp=1.0",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var extra []string
			for _, line := range tt.lines {
				extra = append(extra, "History-Info: "+line)
			}
			text := strings.ReplaceAll(request("INVITE", "sip:alice@example.com", "c1", extra...), "\n", "\r\n")
			m, err := sipmsg.Parse([]byte(text), caller.Remote)
			if err != nil {
				t.Fatal(err)
			}
			d := &diversion{mode: HistoryInfo, aor: aliceAOR, cause: 486, to: tt.to}
			e := m.Edit()
			d.write(m, e, nil, nil)
			out, err := sipmsg.Parse(e.Bytes(), caller.Remote)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for value := range out.Values(sipmsg.HdrHistoryInfo) {
				got = append(got, value)
			}
			if strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
				t.Errorf("got\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

// Nobody learns the token of the user who was called.
func TestFallback_TellsNoToken_RFC8599_13(t *testing.T) {
	for _, mode := range []DiversionMode{NoDiversion, DiversionHeader, HistoryInfo} {
		routes, rule := voicemail()
		rule.To, rule.Diversion = sipmsg.URI{}, mode
		inWorld(t, Options{Routes: routes, Fallbacks: []Fallback{rule}}, func(w *world) {
			w.sleeper("198.51.100.1:5060")
			uri := "sip:alice@example.com;pn-provider=fcm;pn-param=app;pn-prid=secret"
			w.recv(caller, strings.Replace(request("INVITE", uri, "c1"), "To: <"+uri+">", "To: <sip:alice@example.com>", 1))
			time.Sleep(25 * time.Second)
			out := w.expect("INVITE 192.0.2.50:5060")[0]
			if u := out.m.RequestURI().String(); u != "sip:alice@example.com" || strings.Contains(out.m.Raw(), "pn-") {
				t.Errorf("mode %d: the voicemail gets\n%s", mode, out.m.Raw())
			}
			w.reply(out, 404)
			w.expect("ACK 192.0.2.50:5060", "480 203.0.113.9:5060")
		})
	}
}

// The time is that of the whole call, over all phones, and not that of the voicemail.
func TestFallback_RingTotal(t *testing.T) {
	routes, rule := voicemail()
	o := Options{Routes: routes, Fallbacks: []Fallback{rule}, RingTotal: 20 * time.Second, Fork: Sequential, Ring: 15 * time.Second}
	inWorld(t, o, func(w *world) {
		three(w)
		w.invite()
		first := w.expect("INVITE 198.51.100.1:5060")[0]
		w.reply(first, 180)
		w.expect("180 203.0.113.9:5060")
		time.Sleep(15 * time.Second)
		w.reply(w.expect("CANCEL 198.51.100.1:5060")[0], 200)
		w.reply(first, 487)
		second := w.expect("ACK 198.51.100.1:5060", "INVITE 198.51.100.2:5060")[1]
		w.reply(second, 180)
		w.expect("180 203.0.113.9:5060")
		time.Sleep(5 * time.Second)
		out := w.expect("CANCEL 198.51.100.2:5060", "INVITE 192.0.2.50:5060")
		if !strings.Contains(out[0].m.Raw(), "Reason: SIP;cause=408\r\n") {
			t.Errorf("the phone cannot tell that the call was missed:\n%s", out[0].m.Raw())
		}
		w.reply(out[1], 180)
		w.expect("180 203.0.113.9:5060")
		w.reply(out[0], 200)
		time.Sleep(25 * time.Second)
		w.expect()
		// RFC 3261 §16.7 step 5: an answer that crosses the CANCEL is one.
		w.reply(second, 200)
		cancel := w.expect("200 203.0.113.9:5060", "CANCEL 192.0.2.50:5060")[1]
		w.reply(cancel, 200)
		w.reply(out[1], 487)
		w.expect("ACK 192.0.2.50:5060")
	})
}

// Without a fallback for it, phones ring as long as the caller likes.
func TestFallback_RingTotalWithoutAFallback(t *testing.T) {
	routes, rule := voicemail()
	rule.When = WhenBusy
	inWorld(t, Options{Routes: routes, Fallbacks: []Fallback{rule}, RingTotal: 20 * time.Second}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.invite()
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		w.reply(out, 180)
		w.expect("180 203.0.113.9:5060")
		time.Sleep(time.Minute)
		w.reply(out, 200)
		w.expect("200 203.0.113.9:5060")
	})
}

// A phone that wakes too late hears that it has missed the call, not that another of
// the user's took it.
func TestFallback_PhoneThatSleptMissedTheCall(t *testing.T) {
	routes, rule := voicemail()
	inWorld(t, Options{Routes: routes, Fallbacks: []Fallback{rule}, Farewell: FarewellPush}, func(w *world) {
		w.sleeper("198.51.100.1:5060")
		w.invite()
		w.pushCount(1)
		time.Sleep(25 * time.Second)
		w.reply(w.expect("INVITE 192.0.2.50:5060")[0], 200)
		w.expect("200 203.0.113.9:5060")
		w.outcome(w.pushCount(1), push.OK)
		if pu := w.pushCount(2); pu.cause.Kind != push.Cancel || pu.cause.End != "missed" {
			t.Errorf("the phone hears %q by a push of kind %v", pu.cause.End, pu.cause.Kind)
		}
	})
}

// A fallback that is configured wrongly is no reason to keep the caller waiting.
func TestFallback_LeadsNowhere(t *testing.T) {
	for _, rule := range []Fallback{{Route: "gone"}, {To: mustURI("sip:box@elsewhere.example")}, {To: mustURI("sip:nobody@example.com")}} {
		inWorld(t, Options{Fallbacks: []Fallback{rule}}, func(w *world) {
			w.invite()
			w.expect("480 203.0.113.9:5060")
		})
	}
	if _, err := New(Options{}); err == nil {
		t.Error("a proxy without anything")
	}
	for _, o := range []Options{{Fallbacks: []Fallback{{}}}, {AORs: map[usrloc.AOR]AOR{aliceAOR: {Fallbacks: []Fallback{{}}}}}} {
		w := &world{}
		o.Store, o.Flows, o.Waker, o.Gate, o.Domains = usrloc.NewMemory(usrloc.MemoryOptions{}), w, w, w, []string{"example.com"}
		o.Keys = purr.Generate(time.Now())
		if _, err := New(o); err == nil {
			t.Errorf("%+v is taken", o.Fallbacks)
		}
	}
}

// Who was called is kept from a voicemail that is not ours, if the caller asks for that
// or whoever sent the call on did; a trusted one needs the name for the mailbox.
func TestDiversion_Privacy_RFC7044_10_1_2(t *testing.T) {
	const nobody = "<sip:anonymous@anonymous.invalid>"
	tests := []struct {
		name    string
		mode    DiversionMode
		trusted bool
		lines   []string
		want    []string
		not     string
	}{
		{"nobody asks", HistoryInfo, false, nil, []string{"History-Info: <sip:alice@example.com?Reason=SIP%3Bcause%3D480>;index=1"}, ""},
		{"history", HistoryInfo, false, []string{"Privacy: history"}, []string{"History-Info: " + nobody + ";index=1", "History-Info: <sip:box@vm.example.com>;index=1.1;mp=1"}, "Privacy:"},
		{"history among others", HistoryInfo, false, []string{"Privacy: id; history;user"}, []string{"History-Info: " + nobody + ";index=1", "Privacy: id;user"}, "history;"},
		{"header", HistoryInfo, false, []string{"Privacy: header"}, []string{"History-Info: " + nobody + ";index=1", "Privacy: header"}, ""},
		{"toward who is trusted", HistoryInfo, true, []string{"Privacy: history"}, []string{"History-Info: <sip:alice@example.com?Reason=SIP%3Bcause%3D480>;index=1", "Privacy: history"}, ""},
		{
			"one entry asks", HistoryInfo, false, []string{"History-Info: <sip:carol@example.com?Privacy=history&Reason=SIP%3Bcause%3D302>;index=1, <sip:alice@example.com?Privacy=user>;index=1.1;mp=1"},
			[]string{"History-Info: " + nobody + ";index=1", "History-Info: <sip:alice@example.com?Reason=SIP%3Bcause%3D480>;index=1.1;mp=1"}, "rivacy",
		},
		{
			"entries of others are theirs", HistoryInfo, false, []string{"Privacy: history", "History-Info: <sip:a@example.net>;index=1, <sip:alice@example.com>;index=1.1;mp=1"},
			[]string{"History-Info: <sip:a@example.net>;index=1", "History-Info: " + nobody + ";index=1.1;mp=1"}, "",
		},
		{"Diversion", DiversionHeader, false, []string{"Privacy: history"}, []string{"Diversion: " + nobody + ";reason=unavailable;privacy=full;counter=1"}, ""},
		{"Diversion toward who is trusted", DiversionHeader, true, []string{"Privacy: history"}, []string{"Diversion: <sip:alice@example.com>;reason=unavailable;counter=1"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			routes, rule := voicemail()
			routes[0].Trusted, rule.Diversion = tt.trusted, tt.mode
			inWorld(t, Options{Routes: routes, Fallbacks: []Fallback{rule}}, func(w *world) {
				w.invite(tt.lines...)
				out := w.expect("INVITE 192.0.2.50:5060")[0]
				for _, line := range tt.want {
					if !strings.Contains(out.m.Raw(), "\r\n"+line+"\r\n") {
						t.Errorf("the voicemail gets\n%s, want\n%s", out.m.Raw(), line)
					}
				}
				if tt.not != "" && strings.Contains(out.m.Raw(), tt.not) {
					t.Errorf("the voicemail gets %q:\n%s", tt.not, out.m.Raw())
				}
				w.reply(out, 200)
				w.expect("200 203.0.113.9:5060")
			})
		})
	}
}
