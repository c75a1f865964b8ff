package registrar

import "time"

// Jitter changes what is granted at random, so that devices which registered
// together (after an outage, say) do not come back together.
type Jitter struct {
	// Time and Percent, at most 50, bound the change; the larger of both does.
	Time    time.Duration
	Percent int
	// Both lets it also lengthen lifetimes that the phone left to us. Those that it
	// asked for are only ever shortened: RFC 6665 §4.2.1.1.
	Both bool
	// DefaultOnly leaves lifetimes alone that the phone asked for.
	DefaultOnly bool
}

// spread changes granted, which keeps within least and most. named says that the
// phone asked for a lifetime; random is uniform in [0, 1).
func (j *Jitter) spread(granted, least, most time.Duration, named bool, random float64) time.Duration {
	if j.DefaultOnly && named {
		return granted
	}
	width := float64(max(j.Time, granted/100*time.Duration(j.Percent)))
	change := -width * random
	if j.Both && !named {
		change = width * (1 - 2*random)
	}
	other := (granted + time.Duration(change)).Truncate(time.Second)
	return min(max(other, least), most)
}
