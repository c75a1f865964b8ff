package qualify

import (
	"time"

	"reveille/usrloc"
)

// A walk is one way through all Records, spread evenly over an interval. It does
// no I/O.
type walk struct {
	number uint16
	began  time.Time
	// total is how many Records there were when it began, done how many were read.
	total, done int
	at          usrloc.Cursor
	// ended: the last Record was read.
	ended bool
	// swept is how many shards of the table were swept.
	swept int
}

// share returns the part of n that should be done at now, rounded up; at the end
// of the interval it is all of n.
func (w *walk) share(n int, now time.Time, interval time.Duration) int {
	passed := min(max(now.Sub(w.began), 0), interval)
	part := float64(passed) / float64(interval)
	return min(int(part*float64(n))+1, n)
}

// due returns how many Records to read now. A walk that has come to the end of
// its interval reads what is left, in steps: there are more than there were, or
// the rate did not allow for all of them.
func (w *walk) due(now time.Time, interval time.Duration) int {
	switch {
	case w.ended:
		return 0
	case now.Sub(w.began) >= interval:
		return readStep
	}
	return max(w.share(w.total, now, interval)-w.done, 0)
}

// over reports whether the next walk may begin.
func (w *walk) over(now time.Time, interval time.Duration) bool {
	return w.ended && now.Sub(w.began) >= interval
}

// read notes that n Records were read, and where to go on.
func (w *walk) read(n int, next usrloc.Cursor) {
	w.done += n
	w.at, w.ended = next, next.IsZero()
}

// An allowance is how many OPTIONS may be sent: so many a second, and no more at
// once than in one step.
type allowance struct {
	rate int
	have float64
	last time.Time
}

// grow adds what the time since the last call brings.
func (a *allowance) grow(now time.Time) {
	if !a.last.IsZero() {
		a.have += now.Sub(a.last).Seconds() * float64(a.rate)
	}
	a.last = now
	// What is left of one is not lost.
	a.have = min(a.have, 1+float64(a.rate)*step.Seconds())
}

// take takes one, if there is one.
func (a *allowance) take() bool {
	if a.have < 1 {
		return false
	}
	a.have--
	return true
}
