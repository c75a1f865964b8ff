package load

import (
	"math"
	"time"
)

// never is later than any time of a run.
const never = math.MaxInt64

// A pump starts one kind of thing at its Pace. Times are nanoseconds since the
// run began.
type pump struct {
	pace Pace
	// began is when the pump was made, and retry when it may start again after
	// nothing could be started.
	began, retry int64
	// started counts, and underWay is how many of these are not over.
	started, underWay int
	ended             bool
}

func newPump(p Pace, now int64) pump { return pump{pace: p, began: now, ended: p.none()} }

// over reports whether nothing more is to be started.
func (p *pump) over(now int64) bool {
	if !p.ended {
		p.ended = p.pace.Count > 0 && p.started >= p.pace.Count || p.pace.For > 0 && now >= p.began+int64(p.pace.For)
	}
	return p.ended
}

// next returns when the next may be started; never if something else has to
// happen before.
func (p *pump) next() int64 {
	switch {
	case p.ended:
		return never
	case p.pace.Rate > 0:
		return max(p.due(), p.retry)
	case p.underWay >= p.pace.Window:
		return never
	}
	return max(p.began, p.retry)
}

// due is when an open loop starts the next.
func (p *pump) due() int64 {
	return p.began + int64(float64(p.started)/p.pace.Rate*float64(time.Second))
}

// end is when time ends the pump; never if only a count does.
func (p *pump) end() int64 {
	if p.ended || p.pace.For == 0 {
		return never
	}
	return p.began + int64(p.pace.For)
}
