package registrar

import (
	"strings"
	"testing"

	"reveille/internal/event"
	"reveille/usrloc"
)

// TestRefused_BoundsWhatWasWritten: events are kept by the thousand.
func TestRefused_BoundsWhatWasWritten(t *testing.T) {
	s := newServer(t, usrloc.NewMemory(usrloc.MemoryOptions{}))
	long := strings.Repeat("c", 2000)
	answer := s.roundTrip(strings.ReplaceAll("REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\nMax-Forwards: 70\n"+
		"From: <sip:alice@example.com>;tag=1\nTo: <sip:alice@example.com>\nCall-ID: "+long+"\nCSeq: 1 REGISTER\nUser-Agent: "+long+
		"\nContact: <sip:alice@192.0.2.1;x="+long+">;expires=1\nContent-Length: 0\n\n", "\n", "\r\n"))
	if len(*s.events) != 1 {
		t.Fatalf("%d events of %s", len(*s.events), answer)
	}
	e, ok := (*s.events)[0].(event.Registration)
	if !ok || e.Action != "refused" || len(e.CallID) != 512 || len(e.UserAgent) != 512 || len(e.Contact) != 512 {
		t.Errorf("%s of %d, %d and %d bytes", e.Action, len(e.CallID), len(e.UserAgent), len(e.Contact))
	}
}
