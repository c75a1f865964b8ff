package transaction

import (
	"strings"
	"testing"
	"time"
)

// TestStrain walks a strain with a target of 100 ms and an interval of 300 ms
// through delays, each in milliseconds at its time.
func TestStrain(t *testing.T) {
	type at struct{ now, delay int }
	tests := []struct {
		name  string
		steps []at
		want  string // the state after each step: c, r or w
	}{
		{"short delays", []at{{0, 0}, {200, 100}, {400, 100}, {800, 100}}, "cccc"},
		{"a burst that is worked off", []at{{0, 500}, {100, 400}, {299, 150}, {300, 100}, {400, 101}}, "ccccc"},
		{"one short wait tells that nothing stands in the queue", []at{{0, 500}, {250, 20}, {400, 500}, {699, 500}}, "cccc"},
		{"what stands for an interval", []at{{0, 101}, {299, 101}, {300, 101}}, "ccr"},
		{"an idle hour is no interval", []at{{0, 0}, {3_600_000, 500}, {3_600_299, 500}, {3_600_300, 500}}, "cccr"},
		{"refuses until the delay is half", []at{{0, 200}, {300, 200}, {400, 60}, {500, 50}, {600, 49}}, "crrrw"},
		{"at rest", []at{{0, 200}, {300, 200}, {400, 0}}, "crw"},
		{"wary: once is enough", []at{{0, 200}, {300, 200}, {400, 0}, {500, 100}, {600, 101}, {700, 20}}, "crwwrw"},
		{"calm after ten intervals", []at{{0, 200}, {300, 200}, {400, 0}, {3399, 100}, {3400, 0}, {3500, 200}, {3799, 200}, {3800, 200}}, "crwwcccr"},
		{"wary begins anew", []at{{0, 200}, {300, 200}, {400, 0}, {3000, 200}, {3100, 0}, {6099, 0}, {6100, 0}}, "crwrwwc"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStrain(100*time.Millisecond, 300*time.Millisecond)
			var got strings.Builder
			for _, x := range tt.steps {
				was := s.state
				changed := s.observe(time.Duration(x.now)*time.Millisecond, time.Duration(x.delay)*time.Millisecond)
				if changed != (s.state != was) {
					t.Errorf("observe(%d, %d) = %t, state was %d, is %d", x.now, x.delay, changed, was, s.state)
				}
				got.WriteByte("crw"[s.state])
			}
			if got.String() != tt.want {
				t.Errorf("states %s, want %s", got.String(), tt.want)
			}
		})
	}
}

// FuzzStrain: an overload is always found when every message waits too long, and is
// always over at once when one does not wait.
func FuzzStrain(f *testing.F) {
	f.Add([]byte{1, 200, 1, 200, 1, 10, 1, 200})
	f.Fuzz(func(t *testing.T, in []byte) {
		const ms = time.Millisecond
		s := newStrain(100*ms, 300*ms)
		var now time.Duration
		for ; len(in) > 1; in = in[2:] {
			now += time.Duration(in[0]) * ms
			s.observe(now, time.Duration(in[1])*ms)
			probe := s
			if probe.observe(now, 0); probe.state == refusing {
				t.Fatal("refusing, though a message has not waited")
			}
			probe = s
			probe.observe(now, 101*ms)
			if probe.observe(now+300*ms, 101*ms); probe.state != refusing {
				t.Fatalf("state %d though everything waited too long for an interval", probe.state)
			}
		}
	})
}
