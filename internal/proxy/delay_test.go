package proxy

import (
	"testing"
	"time"
)

func TestRace_DelayThatThePhoneAsksFor(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"": 300 * time.Millisecond, ";pn-timeout=0": 300 * time.Millisecond, ";pn-timeout=2": 2 * time.Second,
		";pn-timeout=3600": 10 * time.Second, ";pn-timeout=99999999": 300 * time.Millisecond, ";pn-timeout=x": 300 * time.Millisecond,
	} {
		t.Run(value, func(t *testing.T) {
			inWorld(t, Options{Policy: func(string, string) Mode { return Race }}, func(w *world) {
				p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
				p.uri = p.contact() + value
				w.register(p)
				w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
				time.Sleep(want - time.Millisecond)
				w.pushCount(0)
				time.Sleep(time.Millisecond)
				w.pushCount(1)
			})
		})
	}
}
