package proxy

import (
	"strings"
	"testing"

	"reveille/internal/event"
)

// TestEmit_BoundsWhatStrangersWrite: events are kept by the thousand.
func TestEmit_BoundsWhatStrangersWrite(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		id := strings.Repeat("c", 2000)
		w.recv(caller, request("INVITE", "sip:nobody@example.com", id))
		w.expect("480 203.0.113.9:5060")
		if len(w.events) == 0 {
			t.Fatal("no event")
		}
		for _, e := range w.events {
			if c, ok := e.(event.Call); !ok || len(c.CallID) > 512 || !strings.HasPrefix(id, c.CallID) || c.From != "sip:bob@example.net" {
				t.Errorf("%s has a Call-ID of %d bytes", e.Type(), len(c.CallID))
			}
		}
	})
}
