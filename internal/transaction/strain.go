package transaction

import "time"

// An Overload says when a layer has more to do than it can, by how long messages
// wait in its queues: a count of calls or of messages a second would have to be
// found anew for each machine, each kind of call and each neighbour on the machine.
type Overload struct {
	// Target is the delay that is too long when it lasts; 0: none is.
	Target time.Duration
	// Interval is how long every message has to wait longer than Target before
	// requests are refused: a burst that is worked off meanwhile is none of it.
	// Default 3 times Target.
	Interval time.Duration
}

// registerFactor is how many times the target the delay must be before first
// registrations are refused, too: a phone that cannot register loses all its calls.
const registerFactor = 4

// waryFor is for how many intervals a strain remembers that it refused.
const waryFor = 10

// pressure is what a strain says.
type pressure uint8

const (
	// calm: everything is admitted.
	calm pressure = iota
	// refusing: new work is refused.
	refusing
	// wary: new work is admitted again, until one message waits too long.
	wary
)

// A strain follows the delay of one queue: the least delay within an interval is
// what stands in the queue, whatever bursts do to single messages (the idea is
// CoDel's, RFC 8289 §3). It ends as soon as one message waited less than half of
// target. The next time it does not wait for a whole interval, or the delay would
// swing between nothing and what an interval can bring. Pure: time is the
// caller's.
type strain struct {
	target, interval time.Duration
	state            pressure
	// above: the last delay was longer than target, while calm.
	above bool
	// since is when that began; while wary, when admitting began again.
	since time.Duration
}

func newStrain(target, interval time.Duration) strain {
	return strain{target: target, interval: interval}
}

// observe takes the delay of a message that is handled at now, or 0 if nothing
// waits, and reports whether the state has changed.
func (s *strain) observe(now, delay time.Duration) (changed bool) {
	was := s.state
	switch s.state {
	case calm:
		switch {
		case delay <= s.target:
			s.above = false
		case !s.above:
			s.above, s.since = true, now
		case now-s.since >= s.interval:
			s.state = refusing
		}
	case refusing:
		if delay < s.target/2 {
			s.state, s.since = wary, now
		}
	case wary:
		if delay > s.target {
			s.state = refusing
		} else if now-s.since >= waryFor*s.interval {
			s.state, s.above = calm, false
		}
	}
	return s.state != was
}
