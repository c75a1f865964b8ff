package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/internal/sipmsg"
	"reveille/internal/wake"
	"reveille/usrloc"
)

// The hard corners of requests in a dialog: lines, tokens, routes.

func TestLine_NextPushRefusedAnswersAtOnce(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		ok := w.call(p, "c1")
		w.sleeps(p)
		target := "sip:alice@198.51.100.1:5060"
		w.recv(caller, inDialogRequest("INFO", 2, ok, true, target))
		time.Sleep(10 * time.Second)
		w.recv(caller, inDialogRequest("INVITE", 3, ok, true, target))
		w.recv(caller, inDialogRequest("BYE", 4, ok, true, target))
		w.take()
		w.with(func() { w.refuse = wake.ErrDead })
		time.Sleep(5 * time.Second)
		w.expect("500 203.0.113.9:5060", "500 203.0.113.9:5060", "500 203.0.113.9:5060")
	})
}

func TestLine_BranchesOfAForkedCallWaitApart(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		first := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(first)
		second := w.newPhone("alice", udp("198.51.100.2:5060"), "fcm")
		w.register(second)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.1:5060", "INVITE 198.51.100.2:5060")
		w.reply(out[0], 200)
		one := w.expect("200 203.0.113.9:5060")[0].m
		w.recv(second.flow, strings.ReplaceAll(response(out[1].m, 200), "tag=callee", "tag=other"))
		two := w.expect("200 203.0.113.9:5060")[0].m
		w.sleeps(first)
		w.recv(caller, inDialogRequest("BYE", 2, one, true, "sip:alice@198.51.100.1:5060"))
		w.pushCount(1)
		// The other phone is awake; its request must neither wait nor go astray.
		w.recv(caller, strings.Replace(inDialogRequest("BYE", 2, two, true, "sip:alice@198.51.100.2:5060"), "bye-2-true", "bye-2-other", 1))
		w.expect("BYE 198.51.100.2:5060")
		first.flow = udp("198.51.100.7:40000")
		w.register(first)
		w.expect("BYE 198.51.100.7:40000")
	})
}

func TestLine_AckOfEach2xxFindsItsOwnPhone_RFC3261_13_2_2_4(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.register(w.newPhone("alice", udp("198.51.100.2:5060"), ""))
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.1:5060", "INVITE 198.51.100.2:5060")
		w.reply(out[0], 200)
		one := w.expect("200 203.0.113.9:5060")[0].m
		w.recv(out[1].flow, strings.ReplaceAll(response(out[1].m, 200), "tag=callee", "tag=other"))
		two := w.expect("200 203.0.113.9:5060")[0].m
		w.recv(caller, inDialogRequest("ACK", 1, two, true, "sip:alice@198.51.100.2:5060"))
		w.expect("ACK 198.51.100.2:5060")
		w.recv(caller, strings.Replace(inDialogRequest("ACK", 1, one, true, "sip:alice@198.51.100.1:5060"), "ack-1-true", "ack-1-first", 1))
		w.expect("ACK 198.51.100.1:5060")
	})
}

func TestInDialog_DeviceThatCannotBeHadGets500_RFC5057(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		ok := w.call(p, "c1")
		w.sleeps(p)
		w.recv(caller, inDialogRequest("PRACK", 2, ok, true, "sip:alice@198.51.100.1:5060"))
		w.with(func() { w.cannot["fcm"] = true })
		w.recv(caller, inDialogRequest("BYE", 3, ok, true, "sip:alice@198.51.100.1:5060"))
		for _, s := range w.expect("500 203.0.113.9:5060", "500 203.0.113.9:5060") {
			if _, has := s.m.HeaderNamed("Retry-After"); !has {
				t.Errorf("500 without Retry-After:\n%s", s.m.Raw())
			}
		}
		w.pushCount(0)
	})
}

func TestInDialog_BothOurRoutesAreTakenOff_RFC5658(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", wss("198.51.100.1:40000", 1), "")
		w.register(p)
		ok := w.call(p, "c1")
		if n := len(ok.RecordRoutes()); n != 2 {
			t.Fatalf("%d Record-Route, want 2", n)
		}
		w.recv(caller, inDialogRequest("BYE", 2, ok, true, "sip:alice@x.invalid;transport=ws"))
		bye := w.expect("BYE 198.51.100.1:40000")[0]
		if n := len(bye.m.Routes()); n != 0 {
			t.Errorf("%d Route values left:\n%s", n, bye.m.Raw())
		}
		w.reply(bye, 200)
		w.expect("200 203.0.113.9:5060")
	})
}

func TestInDialog_TokenWithoutToTagGivesNoRight_RFC3261_12_2(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		ok := w.call(p, "c1")
		w.admit = func(*sipmsg.Message) Admission { return Admission{Refusal: &sipmsg.Reply{Code: 407}} }
		m := inDialogRequest("INVITE", 9, ok, true, "sip:alice@198.51.100.1:5060")
		m = strings.Replace(m, ";tag=callee", "", 1)
		w.recv(caller, m)
		w.expect("407 203.0.113.9:5060")
		w.recv(caller, strings.Replace(strings.ReplaceAll(m, "INVITE", "ACK"), "invite-9", "ack-9", 1))
		w.expect()
	})
}

func TestInDialog_StrictRouterAndAClosedConnection_RFC3261_16_4(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", tcp("198.51.100.1:40000", 1), "")
		w.register(p)
		ok := w.call(p, "c1")
		w.unregister(p)
		w.breaks(p.flow)
		routes := ok.RecordRoutes()
		bye := inDialogRequest("BYE", 2, ok, true, routes[1].URI.String())
		i, j := strings.Index(bye, "Route:"), strings.LastIndex(bye, "Content-Length")
		bye = bye[:i] + "Route: " + routes[0].String() + ", <sip:alice@198.51.100.1:5070;transport=tcp>\n" + bye[j:]
		w.recv(caller, bye)
		got := w.expect("BYE 198.51.100.1:5070")[0]
		if uri := got.m.RequestURI().String(); uri != "sip:alice@198.51.100.1:5070;transport=tcp" || len(got.m.Routes()) != 0 {
			t.Errorf("Request-URI = %s with %d Route, want the last Route and none", uri, len(got.m.Routes()))
		}
	})
}

func TestInDialog_PeerThatIsWeOurselvesIsNotDialled(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", tcp("198.51.100.1:40000", 1), "")
		w.register(p)
		ok := w.call(p, "c1")
		w.unregister(p)
		w.breaks(p.flow)
		w.recv(caller, inDialogRequest("BYE", 2, ok, true, "sip:alice@192.0.2.1"))
		w.expect("430 203.0.113.9:5060")
	})
}

func TestInDialog_AckFollowsThePURRToo_RFC8599_6_2_3(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		alice := w.newPhone("alice", udp("198.51.100.1:5060"), "")
		w.register(alice)
		ok := w.call(alice, "c1")
		bob := w.newPhone("bob", udp("203.0.113.77:5060"), "fcm")
		w.register(bob)
		uri := "sip:bob@203.0.113.9:5060;pn-purr=" + w.keys.Mint(bob.id)
		w.recv(alice.flow, inDialogRequest("INVITE", 2, ok, false, uri))
		invite := w.expect("INVITE 203.0.113.77:5060")[0]
		w.reply(invite, 200)
		w.expect("200 198.51.100.1:5060")
		w.recv(alice.flow, inDialogRequest("ACK", 2, ok, false, uri))
		w.expect("ACK 203.0.113.77:5060")
	})
}

func TestInDialog_OurCredentialsStayWithUs_RFC3261_22_3(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "")
		w.register(p)
		ok := w.call(p, "c1")
		ours := `Proxy-Authorization: Digest username="bob", realm = "example.com", response="secret"`
		theirs := `Proxy-Authorization: Digest username="x", opaque="realm=\"example.com\"", realm="elsewhere"`
		w.recv(caller, inDialogRequest("BYE", 2, ok, true, "sip:alice@198.51.100.1:5060", ours, theirs))
		bye := w.expect("BYE 198.51.100.1:5060")[0]
		if raw := bye.m.Raw(); strings.Contains(raw, "secret") || !strings.Contains(raw, "elsewhere") {
			t.Errorf("credentials for us went on, or those of others did not:\n%s", raw)
		}
		w.recv(caller, inDialogRequest("ACK", 1, ok, true, "sip:alice@198.51.100.1:5060", ours))
		if raw := w.expect("ACK 198.51.100.1:5060")[0].m.Raw(); strings.Contains(raw, "secret") {
			t.Errorf("credentials for us went on:\n%s", raw)
		}
	})
}

// A token names no realm, so whether it is for us is a matter of configuration.
func TestInDialog_TokensStayWithUs_RFC8898_2_1_2(t *testing.T) {
	for _, taken := range []bool{true, false} {
		inWorld(t, Options{Tokens: taken}, func(w *world) {
			p := w.newPhone("alice", udp("198.51.100.1:5060"), "")
			w.register(p)
			ok := w.call(p, "c1")
			headers := []string{"Proxy-Authorization: bearer secret1", "Authorization:  Bearer secret2", `Authorization: Digest username="x"`}
			w.recv(caller, inDialogRequest("BYE", 2, ok, true, "sip:alice@198.51.100.1:5060", headers...))
			raw := w.expect("BYE 198.51.100.1:5060")[0].m.Raw()
			for _, h := range headers {
				if want := !taken || strings.Contains(h, "Digest"); strings.Contains(raw, h) != want {
					t.Errorf("tokens are taken: %v; %s went on: %v", taken, h, !want)
				}
			}
		})
	}
}

func TestInDialog_PathIsForTheAORAlone_RFC3327_5_2(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		p.path = []string{"<sip:edge.example.com;lr>"}
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		invite := w.expect("INVITE 198.51.100.1:5060")[0]
		if n := len(invite.m.Routes()); n != 1 {
			t.Errorf("%d Route in the INVITE, want the Path", n)
		}
		w.reply(invite, 200)
		ok := w.expect("200 203.0.113.9:5060")[0].m
		w.sleeps(p)
		w.recv(caller, inDialogRequest("BYE", 2, ok, true, "sip:alice@198.51.100.1:5060"))
		w.take()
		p.flow = udp("198.51.100.7:40000")
		w.register(p)
		if n := len(w.expect("BYE 198.51.100.7:40000")[0].m.Routes()); n != 0 {
			t.Errorf("%d Route in the BYE, want none", n)
		}
	})
}

func TestPURR_OfADeviceThatIsGoneGivesNoRightToRelay(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		bob := w.newPhone("bob", udp("203.0.113.77:5060"), "fcm")
		w.register(bob)
		purr := w.keys.Mint(bob.id)
		w.unregister(bob)
		w.recv(caller, request("INVITE", "sip:victim@203.0.113.50;pn-purr="+purr, "x1"))
		w.expect("403 203.0.113.9:5060")
		// It says nothing, so the user is called as ever (RFC 8599 §6.2.3).
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.recv(caller, request("INVITE", "sip:alice@example.com;pn-purr="+purr, "x2"))
		w.expect("INVITE 198.51.100.1:5060")
	})
}

// TestPURR_Counted: what PURRs come to can be seen.
func TestPURR_Counted(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		alice := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(alice)
		purr := w.keys.Mint(alice.id)
		for want, purr := range map[string]string{"found": purr, "foreign": "x" + purr, "gone": w.keys.Mint(usrloc.BindingID{1})} {
			if got := w.proxy.device(purr); got.IsZero() != (want != "found") {
				t.Errorf("a PURR that is %s names %v", want, got)
			}
			if n := testutil.ToFloat64(w.proxy.metrics.purrs.WithLabelValues(want)); n != 1 {
				t.Errorf("%v are counted as %s", n, want)
			}
		}
	})
}

func TestPURR_NobodyElseJoins_RFC8599_7(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("INVITE", "sip:alice@203.0.113.77;pn-purr="+w.keys.Mint(p.id), "x1"))
		w.take()
		w.register(w.newPhone("alice", udp("198.51.100.2:5060"), ""))
		w.expect()
	})
}

func TestPURR_IsNoWayToSubscribeToAPhone(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		w.recv(caller, request("SUBSCRIBE", "sip:alice@203.0.113.77;pn-purr="+w.keys.Mint(p.id), "x1", "Event: presence"))
		w.expect("489 203.0.113.9:5060")
	})
}

func TestInDialog_ReinviteOfAParkedDialogIsAcknowledgedOnTheNewFlow(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		ok := w.call(p, "c1")
		w.sleeps(p)
		w.recv(caller, inDialogRequest("INVITE", 2, ok, true, "sip:alice@198.51.100.1:5060"))
		w.take()
		p.flow = udp("198.51.100.7:40000")
		w.register(p)
		invite := w.expect("INVITE 198.51.100.7:40000")[0]
		if n := len(invite.m.RecordRoutes()); n != 0 {
			t.Errorf("%d Record-Route, want none inside a dialog", n)
		}
		w.reply(invite, 200)
		w.expect("200 203.0.113.9:5060")
		w.recv(caller, inDialogRequest("ACK", 2, ok, true, "sip:alice@198.51.100.1:5060"))
		w.expect("ACK 198.51.100.7:40000")
	})
}
