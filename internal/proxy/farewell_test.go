package proxy

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"reveille/push"
)

// pushedInVain has alice's phone pushed for a call that the caller gives up.
func (w *world) pushedInVain(p *phone, callID string, extra ...string) *pushed {
	w.t.Helper()
	w.recv(caller, request("INVITE", "sip:alice@example.com", callID))
	w.mu.Lock()
	pu := w.pushes[len(w.pushes)-1]
	w.mu.Unlock()
	w.outcome(pu, push.OK)
	w.recv(caller, cancelOf(callID, extra...))
	w.expect("200 203.0.113.9:5060", "487 203.0.113.9:5060")
	w.recv(caller, strings.Replace(request("ACK", "sip:alice@example.com", callID), "branch=z9hG4bK-ack", "branch=z9hG4bK-invite", 1))
	time.Sleep(2 * time.Second)
	p.flow = udp("198.51.100.7:40000")
	return pu
}

func TestFarewell_CallThatIsCancelledBehindTheFirstProvisional_RFC3326(t *testing.T) {
	inWorld(t, Options{Farewell: FarewellBranch, PushIDHeader: "X-Push-ID"}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		w.pushedInVain(p, "c1", `Reason: SIP;cause=200;text="Call completed elsewhere"`)
		w.register(p)
		invite := w.expect("INVITE 198.51.100.7:40000")[0]
		if invite.m.CallID() != "c1" || invite.m.FromTag() != "caller" || !strings.Contains(invite.m.Raw(), "X-Push-ID: push-1\r\n") {
			t.Errorf("the app cannot tell which call it was:\n%s", invite.m.Raw())
		}
		if c := invite.m.Contacts()[0].URI.String(); c != "sip:192.0.2.1:5060" {
			t.Errorf("Contact is %s, want ours", c)
		}
		if len(invite.m.RecordRoutes()) != 0 {
			t.Error("a dialog with the caller would come of it")
		}
		w.reply(invite, 180)
		cancel := w.expect("CANCEL 198.51.100.7:40000")[0]
		if !strings.Contains(cancel.m.Raw(), `Reason: SIP;cause=200;text="Call completed elsewhere"`) || cancel.m.TopVia().Branch() != invite.m.TopVia().Branch() {
			t.Errorf("CANCEL:\n%s", cancel.m.Raw())
		}
		w.reply(cancel, 200)
		w.reply(invite, 487)
		w.expect("ACK 198.51.100.7:40000")
		// That was all, however often the phone registers.
		time.Sleep(time.Second)
		w.register(p)
		w.expect()
	})
}

func TestFarewell_OfACallThatAnotherPhoneTook(t *testing.T) {
	inWorld(t, Options{Farewell: FarewellBranch}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		desk := w.newPhone("alice", udp("198.51.100.2:5060"), "")
		w.register(desk)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		toDesk := w.expect("INVITE 198.51.100.2:5060")[0]
		w.outcome(w.pushCount(1), push.OK)
		w.reply(toDesk, 200, "Contact: <sip:desk@198.51.100.2>")
		w.expect("200 203.0.113.9:5060")
		time.Sleep(time.Second)
		w.register(p)
		invite := w.expect("INVITE 198.51.100.1:5060")[0]
		w.reply(invite, 183)
		cancel := w.expect("CANCEL 198.51.100.1:5060")[0]
		if !strings.Contains(cancel.m.Raw(), "Reason: SIP;cause=200") {
			t.Errorf("CANCEL without the reason:\n%s", cancel.m.Raw())
		}
		w.reply(invite, 487)
		w.take()
	})
}

// A 2xx is nobody's but ours: acknowledged each time, and ended once.
func TestFarewell_AnswerIsAcknowledgedAndEnded_RFC3261_13_2_2_4(t *testing.T) {
	inWorld(t, Options{Farewell: FarewellBranch}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		w.pushedInVain(p, "c1")
		w.register(p)
		invite := w.expect("INVITE 198.51.100.7:40000")[0]
		routes := "Record-Route: <sip:edge2.example.net;lr>\nRecord-Route: <sip:edge1.example.net;lr>"
		ok := []string{routes, "Contact: <sip:alice@10.0.0.5:5070;transport=tcp?x=y>"}
		w.reply(invite, 200, ok...)
		sent := w.expect("ACK 198.51.100.7:40000", "BYE 198.51.100.7:40000")
		ack, bye := sent[0].m, sent[1].m
		for _, m := range []string{ack.Raw(), bye.Raw()} {
			// RFC 3261 §12.1.2: the route set is the Record-Route turned round.
			if !strings.Contains(m, "Route: <sip:edge1.example.net;lr>\r\nRoute: <sip:edge2.example.net;lr>\r\n") ||
				!strings.Contains(m, " sip:alice@10.0.0.5:5070;transport=tcp SIP/2.0\r\n") {
				t.Errorf("not where the dialog goes:\n%s", m)
			}
		}
		if ack.CSeq().Seq != invite.m.CSeq().Seq || bye.CSeq().Seq != invite.m.CSeq().Seq+1 || bye.ToTag() != "callee" || bye.FromTag() != "caller" ||
			ack.TopVia().Branch() == invite.m.TopVia().Branch() || ack.TopVia().Branch() == bye.TopVia().Branch() {
			t.Errorf("not of the dialog:\n%s%s", ack.Raw(), bye.Raw())
		}
		w.reply(sent[1], 200)
		time.Sleep(500 * time.Millisecond)
		w.reply(invite, 200, ok...)
		w.expect("ACK 198.51.100.7:40000")
		// Another of its devices has answered, too.
		w.recv(invite.flow, strings.ReplaceAll(response(invite.m, 200, ok...), "tag=callee", "tag=other"))
		w.expect("ACK 198.51.100.7:40000", "BYE 198.51.100.7:40000")
		time.Sleep(time.Minute)
		w.take()
	})
}

func TestFarewell_OnlyForAPushThatLeft(t *testing.T) {
	for _, tt := range []struct {
		name    string
		outcome push.Class
		called  bool
	}{
		{"it was taken back", push.Shed, false},
		{"it failed", push.Gone, false},
		{"policy forbade it", push.Forbidden, false},
		{"it was under way", push.OK, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{Farewell: FarewellBranch}, func(w *world) {
				p := w.sleeper("198.51.100.1:5060")
				w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
				pu := w.pushCount(1)
				w.recv(caller, cancelOf("c1"))
				w.expect("200 203.0.113.9:5060", "487 203.0.113.9:5060")
				time.Sleep(time.Second)
				w.register(p)
				for _, s := range w.take() {
					if s.m.IsRequest() {
						t.Fatalf("%s before it is known whether the push left", s.m.Method())
					}
				}
				w.outcome(pu, tt.outcome)
				called := false
				for _, s := range w.take() {
					if s.m.Method() == "INVITE" && s.m.IsRequest() {
						called = true
						w.reply(s, 486)
					}
				}
				if called != tt.called {
					t.Errorf("called: %t, want %t", called, tt.called)
				}
				time.Sleep(time.Minute)
				w.take()
			})
		})
	}
}

func TestFarewell_WhoeverWasCalledHearsNoMore(t *testing.T) {
	inWorld(t, Options{Farewell: FarewellBranch}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.outcome(w.pushCount(1), push.OK)
		time.Sleep(time.Second)
		w.register(p)
		invite := w.expect("INVITE 198.51.100.1:5060")[0]
		w.reply(invite, 486)
		w.expect("ACK 198.51.100.1:5060", "486 203.0.113.9:5060")
		time.Sleep(time.Second)
		w.register(p)
		for _, s := range w.take() {
			if s.m.IsRequest() {
				t.Errorf("sent %s to a phone that had the call", s.m.Method())
			}
		}
	})
}

// Under the policy race a request is out on the old flow, where nobody answered.
func TestFarewell_OfACallThatWasLostOnTheOldFlow(t *testing.T) {
	inWorld(t, Options{Farewell: FarewellBranch, Policy: func(string, string) Mode { return Race }}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.expect("INVITE 198.51.100.1:5060")
		time.Sleep(time.Second)
		w.outcome(w.pushCount(1), push.OK)
		w.take()
		w.recv(caller, cancelOf("c1"))
		w.expect("200 203.0.113.9:5060")
		time.Sleep(100 * time.Millisecond)
		w.take()
		p.flow = udp("198.51.100.7:40000")
		w.register(p)
		invite := w.expect("INVITE 198.51.100.7:40000")[0]
		w.reply(invite, 180)
		w.reply(w.expect("CANCEL 198.51.100.7:40000")[0], 200)
		w.reply(invite, 487)
		w.expect("ACK 198.51.100.7:40000")
		time.Sleep(time.Minute)
		for _, s := range w.take() {
			// The caller hears of the branch on the old flow alone.
			if s.flow != caller || s.m.Status() != 487 {
				t.Errorf("sent %s %d to %s", s.m.Method(), s.m.Status(), s.flow)
			}
		}
	})
}

func TestFarewell_OfACallThatNobodyTook(t *testing.T) {
	inWorld(t, Options{Farewell: FarewellBranch}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.outcome(w.pushCount(1), push.OK)
		time.Sleep(26 * time.Second)
		w.expect("480 203.0.113.9:5060", "480 203.0.113.9:5060")
		w.register(p)
		var invite sent
		for _, s := range w.take() {
			if s.m.IsRequest() {
				invite = s
			}
		}
		if invite.m == nil {
			t.Fatal("the phone that woke too late does not hear of the call")
		}
		w.reply(invite, 180)
		for _, s := range w.take() {
			if s.m.Method() == "CANCEL" && strings.Contains(s.m.Raw(), "Reason") {
				t.Errorf("a missed call has a reason:\n%s", s.m.Raw())
			}
		}
		w.reply(invite, 487)
		time.Sleep(time.Minute)
		w.take()
	})
}

func TestFarewell_IsBounded(t *testing.T) {
	inWorld(t, Options{Farewell: FarewellBranch, MaxFarewells: 1}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		w.pushedInVain(p, "c1")
		w.pushedInVain(p, "c2")
		w.register(p)
		invite := w.expect("INVITE 198.51.100.7:40000")[0]
		if invite.m.CallID() != "c1" {
			t.Errorf("called for %s, want c1 alone", invite.m.CallID())
		}
		w.reply(invite, 486)
		w.take()
		// In time, too: who comes later finds no call.
		w.sleeps(p)
		w.pushedInVain(p, "c3")
		time.Sleep(farewellWait)
		w.register(p)
		w.expect()
	})
}

func TestFarewell_OnlyToThatDevice(t *testing.T) {
	inWorld(t, Options{Farewell: FarewellBranch}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		w.pushedInVain(p, "c1")
		w.register(w.newPhone("alice", udp("198.51.100.2:5060"), "fcm"))
		thief := w.newPhone("mallory", udp("198.51.100.3:5060"), "fcm")
		thief.push, thief.instance = p.push, p.instance
		w.register(thief)
		w.expect()
		w.unregister(p)
		time.Sleep(time.Second)
		w.register(p)
		w.expect()
	})
}

func TestFarewell_ByPush(t *testing.T) {
	for _, tt := range []struct {
		name  string
		extra []string
		want  string
	}{
		{"cancelled", nil, "cancelled"},
		{"answered elsewhere", []string{"Reason: SIP ;cause=200"}, "answered_elsewhere"},
		{"another reason", []string{"Reason: Q.850;cause=200"}, "cancelled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{Farewell: FarewellPush}, func(w *world) {
				p := w.sleeper("198.51.100.1:5060")
				w.pushedInVain(p, "c1", tt.extra...)
				pu := w.pushCount(2)
				if c := pu.cause; c.Kind != push.Cancel || c.CallID != "c1" || c.Method != "INVITE" || c.End != tt.want || c.Caller.Number != "" {
					t.Errorf("push %+v, want one that says %s", c, tt.want)
				}
				w.outcome(pu, push.OK)
				w.register(p)
				w.expect()
			})
		})
	}
}

func TestFarewell_StopEndsTheWait(t *testing.T) {
	inWorld(t, Options{Farewell: FarewellBranch}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		w.pushedInVain(p, "c1")
		w.proxy.Stop()
		w.register(p)
		w.expect()
		if n := w.proxy.farewells.Load(); n != 0 {
			t.Errorf("%d farewells after Stop", n)
		}
	})
}

// requests are those that were sent to phones since the last take, without repeats.
func (w *world) requests() (all []sent) {
	seen := map[string]bool{}
	for _, s := range w.take() {
		key := s.m.Method() + s.m.TopVia().Branch()
		if s.m.IsRequest() && !seen[key] {
			seen[key] = true
			all = append(all, s)
		}
	}
	return all
}

func TestFarewell_NotWhereTheCallIsOnItsWay(t *testing.T) {
	inWorld(t, Options{Farewell: FarewellBranch}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.outcome(w.pushCount(1), push.OK)
		time.Sleep(time.Second)
		w.register(p)
		if got := w.requests(); len(got) != 1 || got[0].m.Method() != "INVITE" {
			t.Fatalf("sent%s\nwant the INVITE", lines(got))
		}
		w.recv(caller, cancelOf("c1"))
		time.Sleep(100 * time.Millisecond)
		p.flow = udp("198.51.100.7:40000")
		w.register(p)
		for _, s := range w.requests() {
			if s.flow == p.flow {
				t.Errorf("sent %s to a phone that has the call", s.m.Method())
			}
		}
		time.Sleep(time.Minute)
		w.take()
	})
}

func TestFarewell_NotIfTheOldFlowWasReached(t *testing.T) {
	inWorld(t, Options{Farewell: FarewellBranch, Policy: func(string, string) Mode { return Race }}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		invite := w.expect("INVITE 198.51.100.1:5060")[0]
		time.Sleep(time.Second)
		w.outcome(w.pushCount(1), push.OK)
		w.recv(caller, cancelOf("c1"))
		w.take()
		w.reply(invite, 180)
		w.reply(w.requests()[0], 200)
		p.flow = udp("198.51.100.7:40000")
		w.register(p)
		if got := w.requests(); len(got) != 0 {
			t.Errorf("sent%s\nto a phone that had the call", lines(got))
		}
		w.reply(invite, 487)
		time.Sleep(time.Minute)
		w.take()
	})
}

// A phone whose app was installed anew while it was waited for was called when it came.
func TestFarewell_NotToAPhoneThatJoined(t *testing.T) {
	inWorld(t, Options{Farewell: FarewellBranch}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		desk := w.newPhone("alice", udp("198.51.100.2:5060"), "")
		w.register(desk)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		toDesk := w.requests()[0]
		w.reply(toDesk, 180)
		w.outcome(w.pushCount(1), push.OK)
		w.unregister(p)
		p.id = w.newPhone("alice", p.flow, "fcm").id
		w.register(p)
		joined := w.requests()
		if len(joined) != 1 || joined[0].flow != p.flow {
			t.Fatalf("sent%s\nwant the INVITE to the phone that came", lines(joined))
		}
		w.reply(joined[0], 180)
		w.reply(toDesk, 200, "Contact: <sip:desk@198.51.100.2>")
		w.requests()
		w.reply(joined[0], 487)
		w.requests()
		time.Sleep(time.Second)
		w.register(p)
		for _, s := range w.requests() {
			if s.m.Method() == "INVITE" {
				t.Error("called a phone that had the call")
			}
		}
		time.Sleep(time.Minute)
		w.take()
	})
}

// Whichever comes first, the phone hears of the call once.
func TestFarewell_PhoneComesAsTheCallEnds(t *testing.T) {
	for i := range 40 {
		inWorld(t, Options{Farewell: FarewellBranch}, func(w *world) {
			p := w.sleeper("198.51.100.1:5060")
			p.callID = fmt.Sprint("r", i)
			callID := fmt.Sprint("c", i)
			w.recv(caller, request("INVITE", "sip:alice@example.com", callID))
			w.outcome(w.pushCount(1), push.OK)
			time.Sleep(time.Second)
			if i%2 == 0 {
				w.post(caller, cancelOf(callID))
				w.register(p)
			} else {
				var wg sync.WaitGroup
				wg.Go(func() { w.post(caller, cancelOf(callID)) })
				wg.Go(func() { w.register(p) })
				wg.Wait()
			}
			got := w.requests()
			if len(got) == 0 || got[0].m.Method() != "INVITE" {
				t.Fatalf("sent%s\nwant an INVITE", lines(got))
			}
			w.reply(got[0], 180)
			got = append(got, w.requests()...)
			if len(got) != 2 || got[1].m.Method() != "CANCEL" {
				t.Errorf("sent%s\nwant an INVITE and a CANCEL", lines(got))
			}
			w.reply(got[0], 487)
			time.Sleep(time.Minute)
			w.take()
		})
	}
}
