package transaction

import "time"

// limit returns how long the state lasts that t limits; 0 means that it ends at
// once. stream says that the transport is reliable.
func (l *Layer) limit(t limit, stream bool) time.Duration {
	switch t {
	case limitC:
		return l.o.TimerC
	case limitD:
		if stream {
			return 0
		}
		// RFC 3261 §17.1.1.2: at least 32 s, for the peer's T1 is not known.
		return max(64*l.o.T1, 32*time.Second)
	case limitI, limitK:
		if stream {
			return 0
		}
		return l.o.T4
	case limitJ:
		if stream {
			return 0
		}
		return 64 * l.o.T1
	default: // H, L, M, and the wait after CANCEL
		return 64 * l.o.T1
	}
}

// backOff returns the interval of retransmissions after d: first, then always
// the double, but at most ceiling.
func backOff(d, first, ceiling time.Duration) time.Duration {
	if d <= 0 {
		return first
	}
	return min(2*d, ceiling)
}

// untilT2 returns how long after its request a non-INVITE client sets Timer E to
// T2 (RFC 4320 §4.1): 3.5 s by default.
func untilT2(t1, t2 time.Duration) time.Duration {
	elapsed := t1
	for e := 2 * t1; e < t2; e *= 2 {
		elapsed += e
	}
	return elapsed
}
