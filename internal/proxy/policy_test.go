package proxy

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"reveille/push"
	"reveille/usrloc"
)

// The wake policies, sentence by sentence.

func TestPolicy_Always_PushesAnAwakePhoneAndWaitsForItsRegister(t *testing.T) {
	inWorld(t, Options{Policy: func(string, string) Mode { return Always }}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.pushCount(1)
		// Not even its keep-alives are taken for an answer.
		time.Sleep(20 * time.Second)
		w.expect()
		w.register(p)
		w.reply(w.expect("INVITE 198.51.100.1:5060")[0], 200)
		w.expect("200 203.0.113.9:5060")
	})
}

func TestPolicy_Asleep_PushesOnlyIfNoFlowLives(t *testing.T) {
	inWorld(t, Options{Policy: asleep}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		first := w.expect("INVITE 198.51.100.1:5060")[0]
		time.Sleep(5 * time.Second)
		w.pushCount(0) // However long it takes.
		w.reply(first, 486)
		w.take()
		w.sleeps(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c2"))
		w.expect()
		w.pushCount(1)
	})
}

// A push to a phone that is awake and handling the call would ring twice, or show a
// call that is not there.
func TestPolicy_Race_NoGhostPushToAnAwakePhone(t *testing.T) {
	for _, status := range []int{100, 180, 183, 200, 486, 603} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			inWorld(t, Options{Policy: racing}, func(w *world) {
				w.register(w.newPhone("alice", udp("198.51.100.1:5060"), "fcm"))
				w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
				out := w.expect("INVITE 198.51.100.1:5060")[0]
				time.Sleep(299 * time.Millisecond)
				w.reply(out, status)
				time.Sleep(10 * time.Second)
				w.pushCount(0)
				if status < 200 {
					w.reply(out, 486)
				}
				w.take()
			})
		})
	}
}

// The phone was slow to answer: what has not left yet is taken back.
func TestPolicy_Race_AProvisionalTakesThePushBack(t *testing.T) {
	inWorld(t, Options{Policy: racing}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), "fcm"))
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		time.Sleep(300 * time.Millisecond)
		pu := w.pushCount(1)
		w.reply(out, 180)
		w.expect("180 203.0.113.9:5060")
		if !pu.cancelled {
			t.Error("the push was not taken back")
		}
		w.reply(out, 486)
		w.take()
	})
}

func TestPolicy_Race_NoSecondBranchOnceAProvisionalCame(t *testing.T) {
	for _, status := range []int{100, 180} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			inWorld(t, Options{Policy: racing}, func(w *world) {
				p := w.newPhone("alice", tcp("198.51.100.1:5060", 1), "fcm")
				w.register(p)
				w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
				out := w.expect("INVITE 198.51.100.1:5060")[0]
				time.Sleep(300 * time.Millisecond)
				w.pushCount(1)
				w.reply(out, status)
				w.take()
				p.flow = tcp("198.51.100.7:40000", 2)
				w.register(p)
				w.expect()
				w.reply(out, 200)
				w.expect("200 203.0.113.9:5060")
			})
		})
	}
}

// The branch on the flow that the phone left is abandoned: no more copies, a CANCEL
// only if it comes to ring, and its failures never count, 482 included. A decline does:
// see decline_test.go.
func TestPolicy_Race_AnAbandonedBranchNeverCounts(t *testing.T) {
	for _, status := range []int{408, 480, 482, 486, 500} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			inWorld(t, Options{Policy: racing}, func(w *world) {
				p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
				w.register(p)
				w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
				old := w.expect("INVITE 198.51.100.1:5060")[0]
				time.Sleep(300 * time.Millisecond)
				p.flow = udp("198.51.100.7:40000")
				w.register(p)
				out := w.expect("INVITE 198.51.100.7:40000")[0]
				w.reply(out, 180)
				w.expect("180 203.0.113.9:5060")
				time.Sleep(8 * time.Second)
				w.expect() // Neither a copy nor a CANCEL.
				w.reply(old, status)
				w.expect("ACK 198.51.100.1:5060")
				w.reply(out, 200)
				w.expect("200 203.0.113.9:5060")
			})
		})
	}
}

// Sent once on the new flow, however often the phone registers there.
func TestPolicy_Race_TheNewFlowGetsTheRequestOnce(t *testing.T) {
	inWorld(t, Options{Policy: racing}, func(w *world) {
		p := w.newPhone("alice", tcp("198.51.100.1:5060", 1), "fcm")
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.expect("INVITE 198.51.100.1:5060")
		time.Sleep(300 * time.Millisecond)
		for n := range 3 {
			p.flow = tcp("198.51.100.7:40000", uint64(n+2))
			w.register(p)
		}
		w.expect("INVITE 198.51.100.7:40000")
	})
}

func TestPolicy_ByProviderAndUserAgent(t *testing.T) {
	policy := func(provider, agent string) Mode {
		switch {
		case agent == "Desk/1":
			return Asleep
		case provider == "apns":
			return Always
		}
		return Race
	}
	for _, tt := range []struct {
		provider, agent string
		pushes          int // at once, and with a race after it was lost
		later           int
	}{
		{"apns", "", 1, 1},
		{"apns", "Desk/1", 0, 0},
		{"fcm", "Phone/2", 0, 1},
	} {
		t.Run(tt.provider+" "+tt.agent, func(t *testing.T) {
			inWorld(t, Options{Policy: policy}, func(w *world) {
				p := w.newPhone("alice", udp("198.51.100.1:5060"), tt.provider)
				p.agent = tt.agent
				w.register(p)
				w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
				w.pushCount(tt.pushes)
				time.Sleep(time.Second)
				w.pushCount(tt.later)
			})
		})
	}
}

func TestSkip_APhoneThatJustRegisteredGetsNoPush(t *testing.T) {
	skip := func(provider string) time.Duration {
		if provider == "fcm" {
			return time.Minute
		}
		return 0
	}
	for name, mode := range map[string]Mode{"always": Always, "race": Race, "asleep": Asleep} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Options{Policy: func(string, string) Mode { return mode }, Skip: skip}, func(w *world) {
				p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
				w.register(p)
				w.sleeps(p)
				time.Sleep(time.Minute - time.Millisecond)
				w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
				out := w.expect("INVITE 198.51.100.1:5060")[0]
				time.Sleep(400 * time.Millisecond)
				w.pushCount(0)
				w.reply(out, 486)
				w.take()
				w.recv(caller, request("INVITE", "sip:alice@example.com", "c2"))
				w.expect()
				w.pushCount(1)
			})
		})
	}
}

func TestSkip_OnlyWhereThePhoneCanBeReached(t *testing.T) {
	skip := Options{Skip: func(string) time.Duration { return time.Minute }}
	inWorld(t, skip, func(w *world) {
		p := w.newPhone("alice", tcp("198.51.100.1:5060", 1), "fcm")
		w.register(p)
		w.breaks(p.flow)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.expect()
		w.pushCount(1)
	})
}

func TestWaits_Of(t *testing.T) {
	w := Waits{Rules: []WaitRule{
		{Method: "INVITE", Provider: "apns", Wait: 20 * time.Second},
		{Method: "NOTIFY", Wait: 3 * time.Second},
		{Provider: "apns", Wait: 10 * time.Second},
		{InDialog: true, Method: "BYE", Wait: 2 * time.Second},
	}}
	w.setDefaults()
	for _, tt := range []struct {
		method   string
		inDialog bool
		provider string
		want     time.Duration
	}{
		{"INVITE", false, "apns", 20 * time.Second},
		{"INVITE", false, "APNS", 20 * time.Second},
		{"INVITE", false, "fcm", 25 * time.Second},
		{"MESSAGE", false, "apns", 10 * time.Second},
		{"MESSAGE", false, "fcm", 15 * time.Second},
		{"NOTIFY", false, "apns", 3 * time.Second},
		{"BYE", true, "apns", 2 * time.Second},
		{"INVITE", true, "apns", 15 * time.Second},
	} {
		if got := w.of(tt.method, tt.inDialog, tt.provider); got != tt.want {
			t.Errorf("%s, in dialog %t, of %s: %v, want %v", tt.method, tt.inDialog, tt.provider, got, tt.want)
		}
	}
}

func TestWakes_OtherMethods(t *testing.T) {
	inWorld(t, Options{Wakes: []string{"NOTIFY"}}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("REFER", "sip:alice@example.com", "r1"))
		w.expect("480 203.0.113.9:5060")
		w.recv(caller, request("NOTIFY", "sip:alice@example.com", "n1"))
		w.pushCount(1)
		p.flow = udp("198.51.100.7:40000")
		w.register(p)
		w.reply(w.expect("NOTIFY 198.51.100.7:40000")[0], 200)
		w.expect("200 203.0.113.9:5060")
	})
}

// What the waits come to is told, so that a phone which wakes no more is waited for
// less.
func TestWait_HowDevicesWakeIsLearned(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		told := func(woke, slept int) {
			t.Helper()
			synctest.Wait()
			w.with(func() {
				if len(w.woke) != woke || len(w.slept) != slept {
					t.Errorf("woke %d times and slept %d times, want %d and %d", len(w.woke), len(w.slept), woke, slept)
				}
			})
		}
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.outcome(w.pushCount(1), push.OK)
		time.Sleep(time.Second)
		w.register(p)
		told(1, 0)
		w.reply(w.expect("INVITE 198.51.100.1:5060")[0], 486)
		w.sleeps(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c2"))
		w.outcome(w.pushCount(2), push.OK)
		time.Sleep(25 * time.Second)
		told(1, 1)
		// A push that was not taken says nothing of the device, nor does a caller
		// who gave up.
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c3"))
		w.outcome(w.pushCount(3), push.Unavailable)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c4"))
		time.Sleep(25 * time.Second)
		told(1, 1)
		w.take()
	})
}

func TestWait_IsShorterForAPhoneThatWakesNoMore(t *testing.T) {
	inWorld(t, Options{Fork: Sequential}, func(w *world) {
		w.sleeper("198.51.100.1:5060")
		w.with(func() { w.patience = 5 * time.Second })
		desk := w.newPhone("alice", udp("198.51.100.2:5060"), "")
		desk.q = usrloc.Q(500)
		w.register(desk)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		if pu := w.pushCount(1); !pu.cause.Deadline.Equal(time.Now().Add(5 * time.Second)) {
			t.Errorf("the push is of use until %s", pu.cause.Deadline)
		}
		time.Sleep(5 * time.Second)
		w.expect("INVITE 198.51.100.2:5060")
	})
}
