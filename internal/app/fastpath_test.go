package app

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
)

// quiet starts an App and returns it as a rig. A rig's own App has a Sink that
// hears all, so that nothing is answered in place there.
func quiet(t *testing.T, level slog.Level, lines ...string) *rig {
	t.Helper()
	r := newRig(t)
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: level}))
	a, err := New(Options{Config: r.config(append(lines, openYAML)...), Logger: log})
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
	return &rig{App: a, t: t}
}

func diskYAML(t *testing.T) string {
	return fmt.Sprintf("store: {dir: %q, min_free_mb: 0}", filepath.Join(t.TempDir(), "store"))
}

// TestFastpath_Switch has a phone refresh: the answers and what is counted are the
// same, whoever gives them.
func TestFastpath_Switch(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		lines   []string
		disk    bool
		level   slog.Level
		inPlace bool
	}{
		{"as configured by default", nil, false, slog.LevelInfo, true},
		{"with a disk", nil, true, slog.LevelInfo, true},
		{"refreshes are logged", nil, false, slog.LevelDebug, false},
		{"switched off", []string{"registrar: {fastpath: false}"}, false, slog.LevelInfo, false},
		{"switched off, with a disk", []string{"registrar: {fastpath: false}"}, true, slog.LevelInfo, false},
	} {
		for _, transport := range []string{"udp", "tcp"} {
			t.Run(tt.name+", "+transport, func(t *testing.T) {
				lines := tt.lines
				if tt.disk {
					lines = append(lines, diskYAML(t))
				}
				r := quiet(t, tt.level, lines...)
				w := r.dial(transport)
				// A refresh that comes while the queue still works off the one before
				// takes the long way, so that there may be need for some.
				answered, sent := 0.0, 0
				for sent < 4 || sent < 1000 && tt.inPlace && answered == 0 {
					sent++
					w.send(w.request("REGISTER", "sip:example.com", "To: <sip:bob@example.com>", "Call-ID: one",
						fmt.Sprintf("CSeq: %d REGISTER", sent), "Expires: 600"))
					w.expect(200)
					answered = r.metric("reveille_fastpath_answered_total")
				}
				if answered > 0 != tt.inPlace {
					t.Errorf("%v of %d refreshes were answered in place", answered, sent)
				}
				for _, counter := range [][]string{
					{"reveille_registrar_requests_total", "200"},
					{"reveille_transport_received_messages_total", transport},
					{"reveille_transport_sent_messages_total", transport},
				} {
					// An answer is counted when it is on its way.
					r.eventually(fmt.Sprintf("%v = %d", counter, sent), func() bool {
						return r.metric(counter[0], counter[1:]...) >= float64(sent)
					})
					if n := r.metric(counter[0], counter[1:]...); n != float64(sent) {
						t.Errorf("%v = %v, want %d", counter, n, sent)
					}
				}
			})
		}
	}
}

// TestFastpath_StopAnswersWhatWasTaken: a REGISTER that was applied is answered,
// also if the server stops while the disk still works.
func TestFastpath_StopAnswersWhatWasTaken(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			r := quiet(t, slog.LevelInfo, diskYAML(t))
			w := r.dial(transport)
			const users = 100
			register := func(user, cseq int) string {
				return w.request("REGISTER", "sip:example.com", fmt.Sprintf("To: <sip:u%d@example.com>", user), fmt.Sprint("Call-ID: c", user),
					fmt.Sprintf("Via: SIP/2.0/%s host.invalid;branch=z9hG4bK%d.%d;rport", strings.ToUpper(transport), user, cseq),
					fmt.Sprintf("CSeq: %d REGISTER", cseq), "Expires: 600")
			}
			answers, cseq := 0, 0
			for cseq < 2 || r.metric("reveille_fastpath_answered_total") == 0 && cseq < 50 {
				cseq++
				for user := range users {
					w.send(register(user, cseq))
					w.expect(200)
					answers++
				}
			}
			for user := range users {
				w.send(register(user, cseq+1))
			}
			if err := r.Stop(r.within()); err != nil {
				t.Fatal(err)
			}
			applied := int(r.metric("reveille_registrar_requests_total", "200"))
			for answers < applied {
				got := w.status()
				if got == "" {
					break
				}
				if strings.HasPrefix(got, "SIP/2.0 200 ") {
					answers++
				}
			}
			t.Logf("%d of the last %d were applied", applied-users*cseq, users)
			if answers < applied {
				t.Errorf("%d REGISTERs were applied, %d answered", applied, answers)
			}
		})
	}
}
