package push

import "time"

// Bounds of coalescing.
const (
	// coalesceFor is how long a push that was taken still answers for others of
	// the same wake: the bindings of one AOR that share a token are tried within
	// milliseconds, a later request of the dialog comes after more than that.
	coalesceFor = 2 * time.Second
	// maxRecent bounds the pushes remembered per lane; the oldest is forgotten.
	maxRecent = 1024
	// maxWaiters bounds the requests that one push answers.
	maxWaiters = 64
	// maxAgain bounds the pushes for one wake key that are on their way at once.
	maxAgain = 4
)

// A wakeKey says which requests are one wake: the same device is asked for the
// same reason. The binding is not part of it, for a device may have several
// with one token.
type wakeKey struct {
	aor    string
	params Params
	prid   string
	callID string
	kind   Kind
	// again tells apart pushes that are on their way at the same time although
	// the device came back in between: the push service is slow to answer.
	again uint8
}

func keyOf(r *Request, t Token) wakeKey {
	return wakeKey{aor: r.AOR, params: r.Params, prid: t.PRID, callID: r.CallID, kind: r.Kind}
}

// recent remembers the wakes that were taken lately. The lane's mu guards it.
type recent struct {
	wakes map[wakeKey]recentWake
	order []taken // oldest first
}

// A recentWake is a push that was asked for at since and taken.
type recentWake struct {
	outcome Outcome
	since   time.Time
}

type taken struct {
	key wakeKey
	at  time.Time
}

func (rc *recent) add(k wakeKey, w recentWake, now time.Time) {
	if rc.wakes == nil {
		rc.wakes = make(map[wakeKey]recentWake)
	}
	rc.forget(now, maxRecent-1)
	_, known := rc.wakes[k]
	rc.wakes[k] = w
	if known {
		return
	}
	rc.order = append(rc.order, taken{k, now})
}

// get returns the outcome of k if it is recent and the device, which last
// registered at boundAt, has not come back since: then that wake is over.
func (rc *recent) get(k wakeKey, boundAt, now time.Time) (Outcome, bool) {
	rc.forget(now, maxRecent)
	w, ok := rc.wakes[k]
	if !ok || over(w.since, boundAt) {
		return Outcome{}, false
	}
	return w.outcome, true
}

// over reports whether a wake that began at since is over for a device that last
// registered at boundAt. The location service keeps milliseconds.
func over(since, boundAt time.Time) bool { return boundAt.Add(time.Millisecond).After(since) }

// forget drops what is too old, and the oldest beyond n.
func (rc *recent) forget(now time.Time, n int) {
	for len(rc.order) > 0 && (len(rc.order) > n || now.Sub(rc.order[0].at) >= coalesceFor) {
		delete(rc.wakes, rc.order[0].key)
		rc.order = rc.order[1:]
	}
}
