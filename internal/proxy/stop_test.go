package proxy

import (
	"strings"
	"testing"

	"reveille/push"
)

func TestStop_EndsTheWaitsAtOnce(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.sleeper("198.51.100.1:5060")
		for i, id := range []string{"c1", "c2", "c3"} {
			w.recv(caller, request("INVITE", "sip:alice@example.com", id))
			w.outcome(w.pushCount(i+1), push.OK)
		}
		w.take()
		if n := w.proxy.Parked(); n != 3 {
			t.Fatalf("%d parked, want 3", n)
		}
		w.proxy.Stop()
		for _, s := range w.expect("480 203.0.113.9:5060", "480 203.0.113.9:5060", "480 203.0.113.9:5060") {
			if !strings.Contains(s.m.Raw(), "Server Is Stopping") {
				t.Errorf("answered %.60q, want the reason", s.m.Raw())
			}
		}
		// Nobody waits any more, and nobody is woken for nothing.
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c4"))
		w.expect("480 203.0.113.9:5060")
		w.pushCount(3)
		w.proxy.Stop()
	})
}

// Calls that ring have had their time before; the phones must not ring on for a
// server that is gone.
func TestStop_EndsCallsThatRing(t *testing.T) {
	routes, rule := voicemail()
	inWorld(t, Options{Fork: Sequential, Fallbacks: []Fallback{rule}, Routes: routes}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.register(w.newPhone("alice", tcp("198.51.100.2:5060", 1), ""))
		later := w.newPhone("alice", udp("198.51.100.3:5060"), "")
		later.q = 100
		w.register(later)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.1:5060", "INVITE 198.51.100.2:5060")
		w.reply(out[0], 180)
		w.expect("180 203.0.113.9:5060")
		w.proxy.Stop()
		cancel := w.expect("CANCEL 198.51.100.1:5060")[0]
		if reason, _ := cancel.m.HeaderNamed("Reason"); reason != "SIP;cause=480" {
			t.Errorf("Reason = %q, want cause 480", reason)
		}
		w.reply(cancel, 200)
		w.reply(out[0], 487)
		w.expect("ACK 198.51.100.1:5060", "480 203.0.113.9:5060")
		w.proxy.Stop()
		w.expect()
	})
}

// Who answers in the same moment has the call.
func TestStop_CrossesAnAnswer(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		w.reply(out, 180)
		w.expect("180 203.0.113.9:5060")
		w.proxy.Stop()
		w.expect("CANCEL 198.51.100.1:5060")
		w.reply(out, 200)
		w.expect("200 203.0.113.9:5060")
	})
}

// A request other than INVITE cannot be called back.
func TestStop_LeavesRequestsThatAreOut(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.recv(caller, request("MESSAGE", "sip:alice@example.com", "c1"))
		out := w.expect("MESSAGE 198.51.100.1:5060")[0]
		w.proxy.Stop()
		w.expect()
		w.reply(out, 200)
		w.expect("200 203.0.113.9:5060")
	})
}
