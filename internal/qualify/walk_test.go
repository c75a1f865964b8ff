package qualify

import (
	"testing"
	"time"

	"reveille/usrloc"
)

// So many a second are sent as the rate says, whatever the steps make of it, and
// not many at once.
func TestAllowance_Rate(t *testing.T) {
	for _, rate := range []int{1, 7, 15, 100, 1234} {
		a := allowance{rate: rate}
		now := time.Now()
		sent, most := 0, 0
		for range 100 * int(time.Second/step) {
			a.grow(now)
			now = now.Add(step)
			n := 0
			for a.take() {
				n++
			}
			sent, most = sent+n, max(most, n)
		}
		if sent > 100*rate || sent < 99*rate {
			t.Errorf("rate %d: %d sent in 100 s", rate, sent)
		}
		if most > rate/10+1 {
			t.Errorf("rate %d: %d sent in one step", rate, most)
		}
		// After a pause there is no burst.
		a.grow(now.Add(time.Hour))
		n := 0
		for a.take() {
			n++
		}
		if n > rate/10+1 {
			t.Errorf("rate %d: %d sent after a pause", rate, n)
		}
	}
}

func TestWalk_Due(t *testing.T) {
	began := time.Now()
	tests := []struct {
		name  string
		walk  walk
		after time.Duration
		want  int
	}{
		{name: "begins", walk: walk{total: 600}, want: 1},
		{name: "first step", walk: walk{total: 600}, after: step, want: 2},
		{name: "half", walk: walk{total: 600, done: 299}, after: 30 * time.Second, want: 2},
		{name: "ahead", walk: walk{total: 600, done: 400}, after: 30 * time.Second, want: 0},
		{name: "behind", walk: walk{total: 600, done: 100}, after: 30 * time.Second, want: 201},
		{name: "more than there were", walk: walk{total: 600, done: 600}, after: time.Minute, want: readStep},
		{name: "nobody", walk: walk{}, after: 30 * time.Second, want: 0},
		{name: "nobody, at the end", walk: walk{}, after: time.Minute, want: readStep},
		{name: "ended", walk: walk{total: 600, done: 590, ended: true}, after: time.Minute, want: 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.walk.began = began
			if got := tt.walk.due(began.Add(tt.after), time.Minute); got != tt.want {
				t.Errorf("due after %v = %d, want %d", tt.after, got, tt.want)
			}
		})
	}
}

// The next walk waits for the end of the interval.
func TestWalk_Over(t *testing.T) {
	w := walk{began: time.Now()}
	w.read(3, usrloc.Cursor{})
	if !w.ended || w.done != 3 {
		t.Errorf("after the last Record: ended %v, done %d", w.ended, w.done)
	}
	if w.over(w.began.Add(59*time.Second), time.Minute) || !w.over(w.began.Add(time.Minute), time.Minute) {
		t.Error("the next walk begins too early or too late")
	}
}
