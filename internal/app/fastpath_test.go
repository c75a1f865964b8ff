package app

import (
	"context"
	"fmt"
	"testing"
)

// TestFastpath_Switch has a phone refresh: the answers are the same, whoever
// gives them.
func TestFastpath_Switch(t *testing.T) {
	for _, tt := range []struct {
		registrar string
		inPlace   bool
	}{{"registrar: {fastpath: true}", true}, {"registrar: {}", false}} {
		for _, transport := range []string{"udp", "tcp"} {
			t.Run(tt.registrar+" "+transport, func(t *testing.T) {
				// A rig's own App has a Sink that hears all, so that nothing is
				// answered in place there.
				r := newRig(t)
				a, err := New(Options{Config: r.config(openYAML, tt.registrar)})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if err := a.Stop(context.Background()); err != nil {
						t.Error(err)
					}
				})
				if err := a.Start(); err != nil {
					t.Fatal(err)
				}
				quiet := &rig{App: a, t: t}
				w := quiet.dial(transport)
				// A refresh that comes while the queue still works off the one before
				// takes the long way, so that there may be need for some.
				answered, sent := 0.0, 0
				for sent < 4 || sent < 1000 && tt.inPlace && answered == 0 {
					sent++
					w.send(w.request("REGISTER", "sip:example.com", "To: <sip:bob@example.com>", "Call-ID: one",
						fmt.Sprintf("CSeq: %d REGISTER", sent), "Expires: 600"))
					w.expect(200)
					answered = quiet.metric("reveille_fastpath_answered_total")
				}
				if answered > 0 != tt.inPlace {
					t.Errorf("%v of %d refreshes were answered in place", answered, sent)
				}
				if n := quiet.metric("reveille_registrar_requests_total", "applied", "200"); n != float64(sent) {
					t.Errorf("%v requests counted, want %d", n, sent)
				}
			})
		}
	}
}
