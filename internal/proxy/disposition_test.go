package proxy

import (
	"testing"
	"time"
)

func TestDisposition_HowManyAtATime_RFC3841_9_1(t *testing.T) {
	const one, two = "INVITE 198.51.100.1:5060", "INVITE 198.51.100.2:5060"
	tests := []struct {
		name, header string
		mode         ForkMode
		first, next  []string
	}{
		{"nothing is asked", "Subject: x", Parallel, []string{one, two}, nil},
		{"no-fork", "Request-Disposition: proxy, no-fork", Parallel, []string{two}, nil},
		{"no-fork, in sequence", "d: no-fork", Sequential, []string{two}, nil},
		{"sequential", "Request-Disposition: Sequential", Parallel, []string{two}, []string{one}},
		{"parallel", "Request-Disposition: recurse, parallel", Sequential, []string{one, two}, nil},
		{"the operator wants one alone", "Request-Disposition: parallel", FirstOnly, []string{two}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{Fork: tt.mode}, func(w *world) {
				poor, best := w.newPhone("alice", udp("198.51.100.1:5060"), ""), w.newPhone("alice", udp("198.51.100.2:5060"), "")
				poor.q, best.q = 300, 900
				w.register(poor)
				w.register(best)
				w.recv(caller, request("INVITE", "sip:alice@example.com", "c1", tt.header))
				got := map[string]sent{}
				for _, s := range w.take() {
					if s.m.IsRequest() {
						got["INVITE "+s.flow.Remote.String()] = s
					}
				}
				if len(got) != len(tt.first) {
					t.Fatalf("called %d phones, want %q", len(got), tt.first)
				}
				for _, want := range tt.first {
					s, ok := got[want]
					if !ok {
						t.Fatalf("no %s", want)
					}
					w.reply(s, 486)
				}
				for _, s := range w.take() {
					if s.m.Method() == "INVITE" && s.m.IsRequest() {
						if len(tt.next) == 0 || tt.next[0] != "INVITE "+s.flow.Remote.String() {
							t.Errorf("%s next, want %q", s.flow.Remote, tt.next)
						}
						w.reply(s, 486)
						tt.next = nil
					}
				}
				if len(tt.next) != 0 {
					t.Errorf("%q was not called", tt.next)
				}
			})
		})
	}
}

// A phone that sleeps is not woken for a call that goes to one phone if another is
// awake.
func TestDisposition_NoForkPrefersWhoIsAwake_RFC3841_9_1(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		asleep := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(asleep)
		w.sleeps(asleep)
		w.register(w.newPhone("alice", udp("198.51.100.2:5060"), ""))
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1", "Request-Disposition: no-fork"))
		out := w.expect("INVITE 198.51.100.2:5060")[0]
		w.pushCount(0)
		w.reply(out, 486)
		w.expect("ACK 198.51.100.2:5060", "486 203.0.113.9:5060")
	})
}

func TestDisposition_NoCancel_RFC3841_9_1(t *testing.T) {
	begin := func(w *world) (out []sent) {
		asleep := w.newPhone("alice", udp("198.51.100.3:5060"), "fcm")
		w.register(asleep)
		w.sleeps(asleep)
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.register(w.newPhone("alice", udp("198.51.100.2:5060"), ""))
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1", "Request-Disposition: no-cancel"))
		out = w.expect("INVITE 198.51.100.1:5060", "INVITE 198.51.100.2:5060")
		w.reply(out[0], 180)
		w.reply(out[1], 180)
		w.expect("180 203.0.113.9:5060", "180 203.0.113.9:5060")
		return out
	}
	t.Run("both answer", func(t *testing.T) {
		inWorld(t, Options{}, func(w *world) {
			out := begin(w)
			w.reply(out[0], 200)
			w.expect("200 203.0.113.9:5060")
			if w.proxy.Parked() != 0 {
				t.Error("a phone is still waited for")
			}
			w.reply(out[1], 200)
			w.expect("200 203.0.113.9:5060")
		})
	})
	t.Run("nobody hears the second any more", func(t *testing.T) {
		inWorld(t, Options{}, func(w *world) {
			out := begin(w)
			w.reply(out[0], 200)
			w.expect("200 203.0.113.9:5060")
			time.Sleep(32*time.Second + 100*time.Millisecond)
			cancel := w.expect("CANCEL 198.51.100.2:5060")[0]
			w.reply(cancel, 200)
			w.reply(out[1], 487)
			w.expect("ACK 198.51.100.2:5060")
		})
	})
	t.Run("a decline ends the search all the same", func(t *testing.T) {
		inWorld(t, Options{}, func(w *world) {
			out := begin(w)
			w.reply(out[0], 603)
			w.expect("ACK 198.51.100.1:5060", "CANCEL 198.51.100.2:5060")
			w.reply(out[1], 487)
			w.expect("ACK 198.51.100.2:5060", "603 203.0.113.9:5060")
		})
	})
}
