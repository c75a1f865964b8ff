package proxy

import (
	"testing"
	"time"
)

func TestExpiry_EndsACallThatRings_RFC3261_13_3_1(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.register(w.newPhone("alice", tcp("198.51.100.2:5060", 1), ""))
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1", "Expires: 20"))
		out := w.expect("INVITE 198.51.100.1:5060", "INVITE 198.51.100.2:5060")
		w.reply(out[0], 180)
		w.expect("180 203.0.113.9:5060")
		time.Sleep(19 * time.Second)
		w.expect()
		time.Sleep(time.Second)
		// The second was never heard of.
		cancel := w.expect("CANCEL 198.51.100.1:5060")[0]
		if reason, _ := cancel.m.HeaderNamed("Reason"); reason != "SIP;cause=408" {
			t.Errorf("Reason = %q, want that nobody answered", reason)
		}
		w.reply(cancel, 200)
		w.reply(out[0], 487)
		w.expect("ACK 198.51.100.1:5060", "487 203.0.113.9:5060")
	})
}

func TestExpiry_EndsTheSearch_RFC3261_13_3_1(t *testing.T) {
	inWorld(t, Options{Fork: Sequential, Sort: ByRecent}, func(w *world) {
		w.register(w.newPhone("alice", tcp("198.51.100.1:5060", 1), ""))
		time.Sleep(time.Second)
		w.register(w.newPhone("alice", tcp("198.51.100.2:5060", 2), ""))
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1", "Expires: 5"))
		w.expect("INVITE 198.51.100.2:5060")
		time.Sleep(5 * time.Second)
		// Nobody else is called, and who registers now is not either.
		w.expect("480 203.0.113.9:5060")
		w.register(w.newPhone("alice", tcp("198.51.100.3:5060", 3), ""))
		w.expect()
	})
}

func TestExpiry_IsOverWithTheCall_RFC3261_20_19(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1", "Expires: 20"))
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		w.reply(out, 200)
		w.expect("200 203.0.113.9:5060")
		time.Sleep(20 * time.Second)
		w.expect()
	})
}

// Of calls that say nothing, nothing at all, or too much, timer C is the end.
func TestExpiry_NoneToSpeakOf_RFC3261_20_19(t *testing.T) {
	for _, header := range []string{"Subject: x", "Expires: 0", "Expires: soon", "Expires: 4294967295"} {
		t.Run(header, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
				w.recv(caller, request("INVITE", "sip:alice@example.com", "c1", header))
				out := w.expect("INVITE 198.51.100.1:5060")[0]
				w.reply(out, 180)
				w.expect("180 203.0.113.9:5060")
				time.Sleep(170 * time.Second)
				w.expect()
				w.reply(out, 486)
				w.expect("ACK 198.51.100.1:5060", "486 203.0.113.9:5060")
			})
		})
	}
}
