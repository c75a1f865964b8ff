package trunk

import "time"

// A Check says how the hops of a route are asked by OPTIONS. Its zero value: they are not.
type Check struct {
	// Interval is the time between two questions to one hop; 0: none are sent.
	Interval time.Duration
	// Timeout is how long an answer is waited for; less than 64*T1, 32 s.
	Timeout time.Duration
	// Down is how many failures in a row say that a hop is down, Up how many answers in a
	// row that one is up again; at least 1.
	Down, Up int
	// Answers are the status codes, or by their first digit the classes of such, that
	// say that a hop is up; none: every answer does but 408, 503 and 504.
	Answers []int
}

// takes reports whether an answer says that a hop is up.
func (c *Check) takes(code int) bool {
	if len(c.Answers) == 0 {
		// A proxy that does not know us has every reason to refuse OPTIONS. These three
		// say that there is nobody behind it, or that it wants no calls.
		return code != 408 && code != 503 && code != 504
	}
	for _, a := range c.Answers {
		if a == code || a == code/100 {
			return true
		}
	}
	return false
}

// A state is what is known of one hop.
type state struct {
	// known: it was asked often enough to say whether it is up.
	known, up bool
	// good and bad count answers and failures in a row.
	good, bad int
	// asked is when the last question that was answered well was sent.
	asked time.Time
	// giveUp ends the question under way; nil: there is none.
	giveUp func()
}

// note takes the result of a question. changed says that the hop is up or down now, and
// was not known to be.
func (s *state) note(ok bool, c *Check) (changed bool) {
	if ok {
		s.good, s.bad = min(s.good+1, c.Up), 0
	} else {
		s.good, s.bad = 0, min(s.bad+1, c.Down)
	}
	switch {
	case ok && (!s.known || !s.up && s.good >= c.Up):
		// What was not down has nothing to prove.
		changed, s.known, s.up = true, true, true
	case !ok && (!s.known || s.up) && s.bad >= c.Down:
		changed, s.known, s.up = true, true, false
	}
	return changed
}
