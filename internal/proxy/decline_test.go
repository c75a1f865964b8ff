package proxy

import (
	"testing"
	"time"

	"reveille/push"
)

// Whoever presses a button on a phone that has meanwhile moved on declines the call, not
// one attempt at it.
func TestDecline_OnTheFlowThatThePhoneLeft_RFC3261_16_7_5(t *testing.T) {
	tests := []struct {
		name string
		old  int // what the old flow said before
		new  int // what the new flow says
	}{
		{"nothing was heard", 0, 0},
		{"the old one rings", 180, 0},
		{"the new one rings", 0, 180},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{Policy: racing}, func(w *world) {
				p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
				w.register(p)
				desk := w.newPhone("alice", udp("198.51.100.9:5060"), "")
				w.register(desk)
				w.invite()
				out := w.take()
				old, toDesk := out[0], out[1]
				if old.flow != p.flow {
					old, toDesk = toDesk, old
				}
				w.reply(toDesk, 180)
				time.Sleep(300 * time.Millisecond)
				p.flow = udp("198.51.100.7:40000")
				w.register(p)
				if tt.old != 0 {
					w.reply(old, tt.old)
				}
				var again sent
				for _, s := range w.take() {
					if s.flow == p.flow {
						again = s
					}
				}
				w.reply(again, max(tt.new, 100))
				w.take()
				w.reply(old, 603)
				// The others stop ringing first: all that may still take the call are asked to.
				cancels := map[string]sent{}
				for _, s := range w.take() {
					switch s.m.Method() {
					case "CANCEL":
						cancels[s.flow.Remote.String()] = s
					case "INVITE":
						t.Errorf("%d leaves for %s", s.m.Status(), s.flow)
					}
				}
				for _, s := range []sent{toDesk, again} {
					cancel, ok := cancels[s.flow.Remote.String()]
					if !ok {
						t.Fatalf("no CANCEL to %s", s.flow)
					}
					w.reply(cancel, 200)
				}
				w.reply(toDesk, 487)
				w.expect("ACK 198.51.100.9:5060")
				w.reply(again, 487)
				w.expect("ACK 198.51.100.7:40000", "603 203.0.113.9:5060")
			})
		})
	}
}

// A phone that was waited for in vain had the call all the time.
func TestDecline_OfAnAttemptThatWasGivenUp_RFC3261_16_7_5(t *testing.T) {
	inWorld(t, Options{Policy: racing}, func(w *world) {
		p := w.newPhone("alice", tcp("198.51.100.1:5060", 1), "fcm")
		w.register(p)
		w.register(w.newPhone("alice", udp("198.51.100.9:5060"), ""))
		w.invite()
		out := w.take()
		mute, desk := out[0], out[1]
		if mute.flow != p.flow {
			mute, desk = desk, mute
		}
		w.reply(desk, 180)
		time.Sleep(300 * time.Millisecond)
		w.outcome(w.pushCount(1), push.OK)
		time.Sleep(25 * time.Second)
		w.take()
		w.reply(mute, 603)
		w.reply(w.expect("ACK 198.51.100.1:5060", "CANCEL 198.51.100.9:5060")[1], 200)
		w.reply(desk, 487)
		w.expect("ACK 198.51.100.9:5060", "603 203.0.113.9:5060")
	})
}

// A call that has gone to the voicemail is over for the user's phones.
func TestDecline_BehindTheFallback(t *testing.T) {
	routes, rule := voicemail()
	inWorld(t, Options{Routes: routes, Fallbacks: []Fallback{rule}, RingTotal: 10 * time.Second}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.invite()
		phone := w.expect("INVITE 198.51.100.1:5060")[0]
		w.reply(phone, 180)
		w.expect("180 203.0.113.9:5060")
		time.Sleep(10 * time.Second)
		out := w.expect("CANCEL 198.51.100.1:5060", "INVITE 192.0.2.50:5060")
		w.reply(out[0], 200)
		w.reply(phone, 603)
		w.expect("ACK 198.51.100.1:5060")
		w.reply(out[1], 200)
		w.expect("200 203.0.113.9:5060")
	})
}
