package proxy

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reveille/push"
	"reveille/usrloc"
)

var caller = udp("203.0.113.9:5060")

// sleeper registers a push phone of alice and lets it fall asleep.
func (w *world) sleeper(addr string) *phone {
	p := w.newPhone("alice", udp(addr), "fcm")
	w.register(p)
	w.sleeps(p)
	return p
}

func TestInvite_SleepingPhoneIsPushedParkedAndReached_RFC8599_5_6_2(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		got := w.take()
		if len(got) != 1 || got[0].m.Status() != 100 || got[0].flow != caller {
			t.Fatalf("sent%s\nwant only 100 to the caller", lines(got))
		}
		pu := w.pushCount(1)
		if pu.cause.Kind != push.Call || pu.cause.Method != "INVITE" || pu.cause.CallID != "c1" || !pu.cause.Deadline.Equal(time.Now().Add(25*time.Second)) {
			t.Errorf("push cause = %+v", pu.cause)
		}
		w.outcome(pu, push.OK)
		time.Sleep(2 * time.Second)
		w.expect()
		p.flow = udp("198.51.100.7:40000")
		w.register(p)
		invite := w.expect("INVITE 198.51.100.7:40000")[0]
		uri := invite.m.RequestURI().String()
		if !strings.HasPrefix(uri, "sip:alice@198.51.100.7:40000") || strings.Contains(uri, "pn-") {
			t.Errorf("Request-URI = %s, want the new contact without push data", uri)
		}
		w.reply(invite, 180)
		w.expect("180 203.0.113.9:5060")
		w.reply(invite, 200, "Contact: <sip:alice@198.51.100.7:40000;pn-provider=fcm;pn-param=app;pn-prid=secret>")
		ok := w.expect("200 203.0.113.9:5060")[0]
		if strings.Contains(ok.m.Raw(), "secret") {
			t.Errorf("the answer shows push data to the caller:\n%s", ok.m.Raw())
		}
		if len(ok.m.Vias()) != 1 || len(ok.m.RecordRoutes()) == 0 {
			t.Errorf("answer has %d Via and %d Record-Route, want 1 and some", len(ok.m.Vias()), len(ok.m.RecordRoutes()))
		}
		// A second REGISTER in the window forks nothing.
		w.register(p)
		w.expect()
	})
}

func TestInvite_NoWakeGets480_RFC8599_5_6_2(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.outcome(w.pushCount(1), push.OK)
		time.Sleep(25*time.Second - time.Millisecond)
		w.expect()
		time.Sleep(time.Millisecond)
		w.expect("480 203.0.113.9:5060")
		if n := w.proxy.Parked(); n != 0 {
			t.Errorf("%d still parked", n)
		}
	})
}

func TestInvite_ExpiresBoundsTheWait_RFC3261_20_19(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1", "Expires: 5"))
		time.Sleep(5 * time.Second)
		w.expect("480 203.0.113.9:5060")
	})
}

func TestInvite_WebPushWaitsLonger(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "webpush")
		w.register(p)
		w.sleeps(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		time.Sleep(44 * time.Second)
		w.expect()
		time.Sleep(time.Second)
		w.expect("480 203.0.113.9:5060")
	})
}

func TestInvite_CancelWhileParkedGets487AndForksNoMore_RFC3261_9_2(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		pu := w.pushCount(1)
		w.take()
		w.recv(caller, cancelOf("c1"))
		w.expect("200 203.0.113.9:5060", "487 203.0.113.9:5060")
		if !pu.cancelled {
			t.Error("the push was not taken back")
		}
		p.flow = udp("198.51.100.7:40000")
		w.register(p)
		for _, s := range w.take() {
			if s.m.IsRequest() {
				t.Errorf("sent %s after the caller gave up", s.m.Method())
			}
		}
	})
}

func TestInvite_PushFailureFailsTheBranchNow_RFC8599_5_6_2(t *testing.T) {
	for _, class := range []push.Class{push.Gone, push.Credential, push.Shed, push.Rejected, push.Unavailable, push.Network, push.Throttled, push.Expired, push.Suspect} {
		t.Run(class.String(), func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				w.sleeper("198.51.100.1:5060")
				w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
				w.take()
				w.outcome(w.pushCount(1), class)
				w.expect("480 203.0.113.9:5060")
			})
		})
	}
}

func TestInvite_NoCredentialFailsAtOnce(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.cannot["fcm"] = true
		w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.expect("480 203.0.113.9:5060")
		w.pushCount(0)
	})
}

func TestMessage_ForbiddenPushWaitsSilently(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("MESSAGE", "sip:alice@example.com", "m1"))
		w.outcome(w.pushCount(1), push.Forbidden)
		time.Sleep(7 * time.Second)
		if got := w.take(); len(got) > 1 {
			t.Fatalf("sent%s", lines(got))
		}
		p.flow = udp("198.51.100.7:40000")
		w.register(p)
		m := w.expect("MESSAGE 198.51.100.7:40000")[0]
		w.reply(m, 200)
		w.expect("200 203.0.113.9:5060")

		w.sleeps(p)
		w.recv(caller, request("MESSAGE", "sip:alice@example.com", "m2"))
		w.outcome(w.pushCount(2), push.Forbidden)
		time.Sleep(8 * time.Second)
		w.expect("480 203.0.113.9:5060")
	})
}

func TestInvite_WakeReleasesOnlyItsOwnBinding(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.take()
		// The same token under another AOR.
		thief := w.newPhone("mallory", udp("198.51.100.66:5060"), "fcm")
		thief.push.PRID = w.pushCount(1).binding.Push.PRID
		w.register(thief)
		w.expect()
		time.Sleep(25 * time.Second)
		w.expect("480 203.0.113.9:5060")
	})
}

func TestInvite_TokenRotatedWhileParked(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.take()
		p.flow, p.push.PRID = udp("198.51.100.7:40000"), "rotated"
		w.register(p)
		invite := w.expect("INVITE 198.51.100.7:40000")[0]
		w.reply(invite, 486)
		w.expect("ACK 198.51.100.7:40000", "486 203.0.113.9:5060")
	})
}

func TestInvite_BindingRemovedWhileParked_RFC8599_5_5(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.take()
		w.unregister(p)
		w.expect("480 203.0.113.9:5060")
	})
}

// A token that is dropped while a request waits for its device, whoever did it,
// ends the wait.
func TestInvite_TokenLostWhileParked_RFC8599_5_6_2(t *testing.T) {
	for _, cause := range []usrloc.Cause{usrloc.CauseDeadToken, usrloc.CauseOperator} {
		t.Run(cause.String(), func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				p := w.sleeper("198.51.100.1:5060")
				w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
				w.outcome(w.pushCount(1), push.OK)
				w.take()
				w.loseToken(p, cause)
				w.expect("480 203.0.113.9:5060")
			})
		})
	}
}

// loseToken takes the token out of the phone's binding.
func (w *world) loseToken(p *phone, cause usrloc.Cause) {
	w.store.Update(w.t.Context(), p.aor, func(r usrloc.Record) (usrloc.Record, error) {
		r.Bindings, r.Cause = slices.Clone(r.Bindings), cause
		if b := r.Find(p.id); b != nil {
			b.Push.PRID = ""
		}
		return r, nil
	}, func(usrloc.Record, []usrloc.Change, error) {})
	synctest.Wait()
}

// A phone with a second binding that needs no push is called there when the push
// fails.
func TestInvite_FailedPushLeavesTheOtherBindingOfTheDevice(t *testing.T) {
	for _, method := range []string{"INVITE", "MESSAGE"} {
		inWorld(t, Options{}, func(w *world) {
			plain := w.newPhone("alice", udp("198.51.100.2:5060"), "")
			w.register(plain)
			w.sleeps(plain)
			time.Sleep(time.Second)
			p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
			p.instance = plain.instance
			w.register(p)
			w.sleeps(p)
			w.recv(caller, request(method, "sip:alice@example.com", "c1"))
			w.expect()
			w.outcome(w.pushCount(1), push.Unavailable)
			w.reply(w.expect(method + " 198.51.100.2:5060")[0], 200)
			w.expect("200 203.0.113.9:5060")
		})
	}
}

// What waits in one dialog shares the push, and its failure.
func TestInDialog_FailedPushEndsTheWholeLine(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		answer := w.call(p, "c1")
		w.sleeps(p)
		w.recv(caller, inDialogRequest("INFO", 2, answer, true, "sip:alice@198.51.100.1:5060"))
		w.recv(caller, inDialogRequest("INFO", 3, answer, true, "sip:alice@198.51.100.1:5060"))
		w.expect()
		w.outcome(w.pushCount(1), push.Unavailable)
		got := w.expect("500 203.0.113.9:5060", "500 203.0.113.9:5060")
		if a, b := got[0].m.CSeq().Seq, got[1].m.CSeq().Seq; a != 2 || b != 3 {
			t.Errorf("answers to %d and %d, want 2 and 3", a, b)
		}
		w.pushCount(1)
	})
}

func TestInvite_KeepAliveAfterPushCountsAsAwake(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.take()
		w.mu.Lock()
		w.alive[p.flow] = true
		w.mu.Unlock()
		time.Sleep(250 * time.Millisecond)
		invite := w.expect("INVITE 198.51.100.1:5060")[0]
		// Its REGISTER after that makes no second branch.
		w.register(p)
		w.expect()
		w.reply(invite, 200)
		w.expect("200 203.0.113.9:5060")
	})
}

func TestInvite_DeskPhoneRingsWhileMobileWakes_RFC3261_16_7(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		mobile := w.sleeper("198.51.100.1:5060")
		desk := w.newPhone("alice", udp("198.51.100.2:5060"), "")
		w.register(desk)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		toDesk := w.expect("INVITE 198.51.100.2:5060")[0]
		w.pushCount(1)
		w.reply(toDesk, 180)
		w.expect("180 203.0.113.9:5060")
		mobile.flow = udp("198.51.100.7:40000")
		w.register(mobile)
		toMobile := w.expect("INVITE 198.51.100.7:40000")[0]
		w.reply(toMobile, 180)
		w.expect("180 203.0.113.9:5060")
		w.reply(toMobile, 200)
		// The desk phone stops ringing and is told why (RFC 3326).
		got := w.expect("200 203.0.113.9:5060", "CANCEL 198.51.100.2:5060")
		if reason, _ := got[1].m.HeaderNamed("Reason"); !strings.HasPrefix(reason, "SIP;cause=200") {
			t.Errorf("Reason = %q, want cause 200", reason)
		}
		w.reply(got[1], 200)
		w.reply(toDesk, 487)
		w.expect("ACK 198.51.100.2:5060")
	})
}

func TestInvite_DeskAnswersWhileMobileSleeps(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		mobile := w.sleeper("198.51.100.1:5060")
		desk := w.newPhone("alice", udp("198.51.100.2:5060"), "")
		w.register(desk)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		toDesk := w.expect("INVITE 198.51.100.2:5060")[0]
		w.reply(toDesk, 200)
		w.expect("200 203.0.113.9:5060")
		if n := w.proxy.Parked(); n != 0 {
			t.Errorf("%d parked after the answer", n)
		}
		mobile.flow = udp("198.51.100.7:40000")
		w.register(mobile)
		w.expect()
	})
}

func TestInvite_BestResponseWaitsForTheParkedBranch_RFC3261_16_7_6(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.sleeper("198.51.100.1:5060")
		desk := w.newPhone("alice", udp("198.51.100.2:5060"), "")
		w.register(desk)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		toDesk := w.expect("INVITE 198.51.100.2:5060")[0]
		w.reply(toDesk, 486)
		w.expect("ACK 198.51.100.2:5060")
		time.Sleep(25 * time.Second)
		// What a phone said beats our guess about the other.
		w.expect("486 203.0.113.9:5060")
	})
}

func TestInvite_DeclineEndsTheSearch_RFC3261_16_7_5(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.sleeper("198.51.100.1:5060")
		desk := w.newPhone("alice", udp("198.51.100.2:5060"), "")
		w.register(desk)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		toDesk := w.expect("INVITE 198.51.100.2:5060")[0]
		w.reply(toDesk, 603)
		w.expect("ACK 198.51.100.2:5060", "603 203.0.113.9:5060")
		if !w.pushCount(1).cancelled {
			t.Error("the push was not taken back")
		}
	})
}

func TestInvite_NewDeviceJoinsACallThatWaits_RFC3261_16_5(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.take()
		desk := w.newPhone("alice", udp("198.51.100.2:5060"), "")
		w.register(desk)
		toDesk := w.expect("INVITE 198.51.100.2:5060")[0]
		w.reply(toDesk, 200)
		w.expect("200 203.0.113.9:5060")
	})
}

func TestInvite_PolicyAlwaysWaitsForARegister(t *testing.T) {
	inWorld(t, Options{Policy: func(string, string) Mode { return Always }}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		time.Sleep(3 * time.Second)
		w.expect()
		w.pushCount(1)
		w.register(p)
		w.expect("INVITE 198.51.100.1:5060")
	})
}

func TestInvite_PolicyRace(t *testing.T) {
	race := Options{Policy: func(string, string) Mode { return Race }}
	t.Run("a provisional answer prevents the push", func(t *testing.T) {
		inWorld(t, race, func(w *world) {
			p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
			w.register(p)
			w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
			invite := w.expect("INVITE 198.51.100.1:5060")[0]
			w.reply(invite, 100)
			time.Sleep(time.Second)
			w.pushCount(0)
			w.reply(invite, 180)
			// It registers elsewhere while it rings: no second branch.
			p.flow = udp("198.51.100.7:40000")
			w.register(p)
			w.expect("180 203.0.113.9:5060")
			w.reply(invite, 200)
			w.expect("200 203.0.113.9:5060")
		})
	})
	t.Run("silence brings the push, and the request follows the phone", func(t *testing.T) {
		inWorld(t, race, func(w *world) {
			p := w.newPhone("alice", tcp("198.51.100.1:5060", 1), "fcm")
			w.register(p)
			w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
			old := w.expect("INVITE 198.51.100.1:5060")[0]
			time.Sleep(299 * time.Millisecond)
			w.pushCount(0)
			time.Sleep(time.Millisecond)
			w.pushCount(1)
			p.flow = tcp("198.51.100.7:40000", 2)
			w.register(p)
			invite := w.expect("INVITE 198.51.100.7:40000")[0]
			// The abandoned branch's final never counts.
			w.reply(old, 482)
			w.expect("ACK 198.51.100.1:5060")
			w.reply(invite, 180)
			w.expect("180 203.0.113.9:5060")
			w.reply(invite, 200)
			w.expect("200 203.0.113.9:5060")
		})
	})
	t.Run("a phone that neither answers nor wakes ends the wait in time", func(t *testing.T) {
		inWorld(t, race, func(w *world) {
			p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
			w.register(p)
			w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
			time.Sleep(25*time.Second + 299*time.Millisecond)
			w.pushCount(1)
			for _, s := range w.take() {
				if s.m.Status() > 100 {
					t.Errorf("a %d before the wait is over", s.m.Status())
				}
			}
			time.Sleep(time.Millisecond)
			w.expect("480 203.0.113.9:5060")
		})
	})
	t.Run("a failed push leaves the live flow its chance", func(t *testing.T) {
		inWorld(t, race, func(w *world) {
			p := w.newPhone("alice", tcp("198.51.100.1:5060", 1), "fcm")
			w.register(p)
			w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
			invite := w.expect("INVITE 198.51.100.1:5060")[0]
			time.Sleep(300 * time.Millisecond)
			w.outcome(w.pushCount(1), push.Gone)
			w.expect()
			w.reply(invite, 200)
			w.expect("200 203.0.113.9:5060")
		})
	})
}

func TestInvite_BrokenConnectionFallsBackToThePush(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", tcp("198.51.100.1:5060", 1), "fcm")
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.expect("INVITE 198.51.100.1:5060")
		w.pushCount(0)
		w.mu.Lock()
		w.dead[p.flow] = true
		w.mu.Unlock()
		w.layer.FlowClosed(p.flow)
		w.pushCount(1)
		p.flow = tcp("198.51.100.1:5061", 2)
		w.register(p)
		w.expect("INVITE 198.51.100.1:5061")
	})
}

func TestInvite_SecondRegisterFromElsewhereMakesNoSecondBranch(t *testing.T) {
	inWorld(t, Options{Policy: func(string, string) Mode { return Race }}, func(w *world) {
		p := w.newPhone("alice", tcp("198.51.100.1:5060", 1), "fcm")
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.expect("INVITE 198.51.100.1:5060")
		w.mu.Lock()
		w.dead[p.flow] = true
		w.mu.Unlock()
		w.layer.FlowClosed(p.flow)
		w.pushCount(1)
		p.flow = tcp("198.51.100.1:5061", 2)
		w.register(p)
		w.expect("INVITE 198.51.100.1:5061")
		p.flow = tcp("198.51.100.1:5062", 3)
		w.register(p)
		w.expect()
	})
}

func TestMessage_SleepingPhone(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("MESSAGE", "sip:alice@example.com", "m1"))
		pu := w.pushCount(1)
		if pu.cause.Kind != push.Message || !pu.cause.Deadline.Equal(time.Now().Add(15*time.Second)) {
			t.Errorf("cause = %+v", pu.cause)
		}
		p.flow = udp("198.51.100.7:40000")
		w.register(p)
		m := w.expect("MESSAGE 198.51.100.7:40000")[0]
		if len(m.m.RecordRoutes()) != 0 {
			t.Error("a MESSAGE makes no dialog and needs no Record-Route")
		}
		w.reply(m, 200)
		w.expect("200 203.0.113.9:5060")
	})
}

func TestMessage_PolicyRaceFollowsThePhone(t *testing.T) {
	inWorld(t, Options{Policy: func(string, string) Mode { return Race }}, func(w *world) {
		p := w.newPhone("alice", tcp("198.51.100.1:5060", 1), "fcm")
		w.register(p)
		w.recv(caller, request("MESSAGE", "sip:alice@example.com", "m1"))
		w.expect("MESSAGE 198.51.100.1:5060")
		time.Sleep(1999 * time.Millisecond)
		w.pushCount(0)
		time.Sleep(time.Millisecond)
		w.pushCount(1)
		p.flow = tcp("198.51.100.7:40000", 2)
		w.register(p)
		m := w.expect("MESSAGE 198.51.100.7:40000")[0]
		w.reply(m, 200)
		w.expect("200 203.0.113.9:5060")
	})
}

func TestMessage_NoWakeGets480BeforeTheSenderGivesUp_RFC4320_4_2(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("MESSAGE", "sip:alice@example.com", "m1"))
		time.Sleep(15 * time.Second)
		w.expect("480 203.0.113.9:5060")
	})
}

func TestMessage_ReachesTheSleeperAfterTheDeskPhoneHadIt(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		mobile := w.sleeper("198.51.100.1:5060")
		desk := w.newPhone("alice", udp("198.51.100.2:5060"), "")
		w.register(desk)
		w.recv(caller, request("MESSAGE", "sip:alice@example.com", "m1"))
		m := w.expect("MESSAGE 198.51.100.2:5060")[0]
		w.reply(m, 200)
		w.expect("200 203.0.113.9:5060")
		mobile.flow = udp("198.51.100.7:40000")
		w.register(mobile)
		m = w.expect("MESSAGE 198.51.100.7:40000")[0]
		w.reply(m, 200)
		w.expect()
	})
}

func TestBucket_Bounds(t *testing.T) {
	inWorld(t, Options{MaxParked: 3, MaxParkedPerAOR: 2}, func(w *world) {
		w.sleeper("198.51.100.1:5060")
		for _, id := range []string{"c1", "c2"} {
			w.recv(caller, request("INVITE", "sip:alice@example.com", id))
		}
		w.expect()
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c3"))
		w.expect("480 203.0.113.9:5060")
		carol := w.newPhone("carol", udp("198.51.100.3:5060"), "fcm")
		w.register(carol)
		w.sleeps(carol)
		w.recv(caller, request("INVITE", "sip:carol@example.com", "c4"))
		w.expect()
		w.recv(caller, request("INVITE", "sip:carol@example.com", "c5"))
		w.expect("480 203.0.113.9:5060")
		if n := w.proxy.Parked(); n != 3 {
			t.Errorf("Parked() = %d, want 3", n)
		}
	})
}

func TestInvite_TwoBindingsOfOneInstanceAreOneTarget_RFC5626_7(t *testing.T) {
	for name, written := range map[string]func(string) string{
		"as before":              func(s string) string { return s },
		"in the other case":      strings.ToUpper,
		"a UUID in another case": func(s string) string { return "urn:uuid:" + strings.ToUpper(s[len("urn:uuid:"):]) },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				first := w.newPhone("alice", udp("198.51.100.1:5060"), "")
				first.instance = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
				w.register(first)
				second := w.newPhone("alice", udp("198.51.100.2:5060"), "")
				second.instance = written(first.instance)
				time.Sleep(time.Second)
				w.register(second)
				w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
				w.expect("INVITE 198.51.100.2:5060")
			})
		})
	}
}

func TestTargets_OrderedByPreference_RFC3261_16_6(t *testing.T) {
	now := time.Now()
	live := func(id byte, q usrloc.Q) usrloc.Binding {
		return usrloc.Binding{ID: usrloc.BindingID{id}, Contact: "sip:a@192.0.2.9", Q: q, Expires: now.Add(time.Hour)}
	}
	expired := live(9, 1000)
	expired.Expires = now
	rec := usrloc.Record{Bindings: []usrloc.Binding{live(1, 300), live(2, 700), expired, live(3, usrloc.QUnset), live(4, 700)}}
	p := &Proxy{}
	p.options.Store(&Options{Flows: &world{}, Waker: &world{}, Policy: func(string, string) Mode { return Race }})
	var got []byte
	for _, x := range targets(rec, p.view("INVITE", now)) {
		got = append(got, x.binding.ID[0])
	}
	if want := "\x03\x02\x04\x01"; string(got) != want {
		t.Errorf("order = %v, want %v", got, []byte(want))
	}
}

func TestParked_NoGoroutinePerRequest(t *testing.T) {
	inWorld(t, Options{MaxParkedPerAOR: 1000}, func(w *world) {
		w.sleeper("198.51.100.1:5060")
		before := goroutines()
		for i := range 200 {
			w.post(caller, request("INVITE", "sip:alice@example.com", "c"+string(rune('a'+i%26))+strings.Repeat("x", i/26)))
		}
		synctest.Wait()
		if n := w.proxy.Parked(); n != 200 {
			t.Fatalf("Parked() = %d, want 200", n)
		}
		if after := goroutines(); after > before {
			t.Errorf("%d goroutines for 200 waiting requests, %d before", after, before)
		}
		w.take()
	})
}
