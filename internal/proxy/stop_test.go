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

func TestStop_LeavesCallsThatRing(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.sleeper("198.51.100.1:5060")
		desk := w.newPhone("alice", udp("198.51.100.2:5060"), "")
		w.register(desk)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		toDesk := w.expect("INVITE 198.51.100.2:5060")[0]
		w.proxy.Stop()
		w.expect()
		w.reply(toDesk, 200)
		w.expect("200 203.0.113.9:5060")
	})
}
