package trunk

import "testing"

// TestState_Note lists what answers (+) and failures (-) in a row make of a hop: u up, d
// down, ? not known.
func TestState_Note(t *testing.T) {
	tests := []struct {
		name     string
		down, up int
		results  string
		want     string
	}{
		{"the first answer counts", 3, 2, "+", "u"},
		{"the first failures do not", 3, 2, "---", "??d"},
		{"an answer between them", 3, 2, "--+--+--", "??uuuuuu"},
		{"down after so many in a row", 3, 2, "+---", "uuud"},
		{"up after so many in a row", 3, 2, "+---+-++", "uuudddd" + "u"},
		{"at once", 1, 1, "+-+-", "udud"},
		{"stays down", 2, 5, "--++++-+++++", "?dddddddddd" + "u"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, s, got := Check{Down: tt.down, Up: tt.up}, state{}, ""
			before := "?"
			for _, r := range tt.results {
				changed := s.note(r == '+', &c)
				now := "?"
				if s.known {
					now = map[bool]string{true: "u", false: "d"}[s.up]
				}
				if changed != (now != before) {
					t.Errorf("after %q: changed is %v, from %s to %s", got, changed, before, now)
				}
				got, before = got+now, now
			}
			if got != tt.want {
				t.Errorf("%s makes %s, want %s", tt.results, got, tt.want)
			}
		})
	}
}

func TestCheck_Takes(t *testing.T) {
	tests := []struct {
		answers  []int
		up, down []int
	}{
		{nil, []int{200, 301, 404, 405, 481, 500, 501, 603}, []int{408, 503, 504}},
		{[]int{2}, []int{200, 202}, []int{302, 404, 503}},
		{[]int{200, 404, 5}, []int{200, 404, 500, 503}, []int{202, 403}},
	}
	for _, tt := range tests {
		c := Check{Answers: tt.answers}
		for _, code := range tt.up {
			if !c.takes(code) {
				t.Errorf("%v: %d says that it is down", tt.answers, code)
			}
		}
		for _, code := range tt.down {
			if c.takes(code) {
				t.Errorf("%v: %d says that it is up", tt.answers, code)
			}
		}
	}
}
