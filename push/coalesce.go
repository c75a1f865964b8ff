package push

import (
	"slices"
	"time"
)

// Bounds of coalescing.
const (
	// coalesceFor is how long a push that was taken still answers for others of
	// the same wake. What a flood of requests for one device costs is one push in
	// so much time; a device that did not wake by then is asked again.
	coalesceFor = 2 * time.Second
	// maxRecent bounds the pushes remembered per lane; the oldest is forgotten.
	maxRecent = 1024
	// maxJoined bounds the requests of a lane that wait for the push of another.
	// Each has some 100 bytes.
	maxJoined = 16384
	// maxAgain bounds the pushes for one wake key that are on their way at once.
	maxAgain = 4
)

// A wakeKey says which requests are one wake: the same device is asked for
// something of the same kind. The binding is not part of it, for a device may
// have several with one token; nor is the Call-ID, for a device that woke for
// one call gets all that wait for it. An iPhone must show a call for each VoIP
// push, so that a second one for the second call would do harm besides.
type wakeKey struct {
	aor    string
	params Params
	prid   string
	kind   Kind
	// callID is for Cancel alone, which says which call ended.
	callID string
	// again tells apart pushes that are on their way at the same time although
	// one cannot answer for the other: the device came back in between, or the
	// push service was told to drop the first too early for the second.
	again uint8
}

func keyOf(r *Request, t Token) wakeKey {
	k := wakeKey{aor: r.AOR, params: r.Params, prid: t.PRID, kind: r.Kind}
	if r.Kind == Cancel {
		k.callID = r.CallID
	}
	return k
}

// recent remembers the wakes that were taken lately. The lane's mu guards it.
type recent struct {
	wakes map[wakeKey]recentWake
	order []taken // oldest first; at least one for each of wakes
}

// A recentWake is a push that was asked for at since and taken; the push service
// drops it at until.
type recentWake struct {
	outcome *Outcome
	since   time.Time
	until   time.Time
	at      time.Time // when it was taken
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
	w.at = now
	rc.wakes[k] = w
	rc.order = append(rc.order, taken{k, now})
}

// get returns the outcome of k if it is recent, lives long enough for a request
// with this deadline, and the device, which last registered at boundAt, has not
// come back since: then that wake is over.
func (rc *recent) get(k wakeKey, boundAt, deadline, now time.Time) (*Outcome, bool) {
	rc.forget(now, maxRecent)
	w, ok := rc.wakes[k]
	if !ok || over(w.since, boundAt) || !covers(w.until, deadline) {
		return nil, false
	}
	return w.outcome, true
}

// drop forgets a wake that came to nothing after it was taken.
func (rc *recent) drop(k wakeKey) {
	delete(rc.wakes, k)
	rc.order = slices.DeleteFunc(rc.order, func(t taken) bool { return t.key == k })
}

// over reports whether a wake that began at since is over for a device that last
// registered at boundAt. The location service keeps milliseconds.
func over(since, boundAt time.Time) bool { return boundAt.Add(time.Millisecond).After(since) }

// covers reports whether a push that the push service drops at until will do for
// a request with this deadline: calls that ring equally long and come together
// differ by less than the time that they are one wake.
func covers(until, deadline time.Time) bool { return deadline.Sub(until) <= coalesceFor }

// forget drops what is too old, and the oldest beyond n.
func (rc *recent) forget(now time.Time, n int) {
	for len(rc.order) > 0 && (len(rc.order) > n || now.Sub(rc.order[0].at) >= coalesceFor) {
		// A device that came back was pushed again since: that one still counts.
		if old := rc.order[0]; rc.wakes[old.key].at.Equal(old.at) {
			delete(rc.wakes, old.key)
		}
		rc.order = rc.order[1:]
	}
}
