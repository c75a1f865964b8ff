package push

import "time"

// backoff are the waits between attempts. They are short because somebody
// listens to the ringing tone; jitter makes each 0.5 to 1.5 times as long.
var backoff = [...]time.Duration{100 * time.Millisecond, 400 * time.Millisecond, 1600 * time.Millisecond}

// retryDelay says whether a request whose attempts-th attempt ended as o is
// worth another, and how long to wait before it. rnd is in [0, 1).
func retryDelay(o Outcome, attempts int, rnd float64) (wait time.Duration, again bool) {
	n := attempts - 1
	switch o.Class {
	case Network:
		// A connection that died while idle is noticed by the first request
		// that uses it: nothing was wrong with the push service.
		if attempts == 1 && o.RetryAfter == 0 {
			return 0, true
		}
		n = max(n-1, 0)
	case Unavailable, Throttled:
	default:
		return 0, false
	}
	if n >= len(backoff) {
		return 0, false
	}
	if o.RetryAfter > 0 {
		return o.RetryAfter, true
	}
	return jitter(backoff[n], rnd), true
}

// Bounds of the breaker.
const (
	breakerAfter = 5 // failures of the push service in a row
	minCooldown  = 500 * time.Millisecond
	maxCooldown  = 15 * time.Second
)

// cooldown is how long a lane rests when the breaker opens for the n-th time in
// a row, n from 1.
func cooldown(n int, rnd float64) time.Duration {
	d := minCooldown
	for range n - 1 {
		if d *= 2; d >= maxCooldown {
			d = maxCooldown
			break
		}
	}
	return jitter(d, rnd)
}

func jitter(d time.Duration, rnd float64) time.Duration {
	return d/2 + time.Duration(rnd*float64(d))
}
