package auth

import "sync"

// windowSize is how far the uses of one nonce may overtake each other on the
// way. RFC 7616 §3.4 wants nc to grow; requests that a client sends at the same
// time may arrive in another order, and each still counts once.
const windowSize = 64

// A window holds which uses of one nonce were seen: the highest nc, and a bit
// for each of the windowSize numbers up to it.
type window struct {
	seen    uint64 // bit i: highest-i
	highest uint32
}

// take reports whether nc was not used before, and marks it used.
func (w *window) take(nc uint32) bool {
	switch {
	case nc == 0:
		return false
	case nc > w.highest:
		w.seen = w.seen<<(nc-w.highest) | 1 // A shift by 64 or more gives 0.
		w.highest = nc
		return true
	}
	back := w.highest - nc
	if back >= windowSize || w.seen&(1<<back) != 0 {
		return false
	}
	w.seen |= 1 << back
	return true
}

// replays remembers which nonces were used, and how often. Only successful
// authentications enter it, and it holds at most size nonces. One that it had
// to forget can no longer be used at all, nor can any that was issued before it:
// that costs their owners a challenge and no security. It is safe for concurrent
// use.
type replays struct {
	mu sync.Mutex // guards all fields
	// places holds where in ring a nonce stands.
	places map[nonceID]int32
	// ring holds the nonces in the order in which they came in; next is the
	// oldest once it is full.
	ring []usedNonce
	next int
	size int
	// floor is the time of issue up to which unknown nonces may have been used.
	floor int64
}

type usedNonce struct {
	id     nonceID
	issued int64
	uses   window
}

func newReplays(size int) *replays {
	return &replays{places: make(map[nonceID]int32), size: size}
}

// take reports whether this is the first request with the nonce and nc.
func (r *replays) take(id nonceID, issued int64, nc uint32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, known := r.places[id]; known {
		return r.ring[at].uses.take(nc)
	}
	u := usedNonce{id: id, issued: issued}
	if issued <= r.floor || !u.uses.take(nc) {
		return false
	}
	r.remember(u)
	return true
}

// remember makes room for one nonce. The caller holds mu.
func (r *replays) remember(u usedNonce) {
	if len(r.ring) < r.size {
		r.places[u.id] = int32(len(r.ring))
		r.ring = append(r.ring, u)
		return
	}
	oldest := &r.ring[r.next]
	delete(r.places, oldest.id)
	r.floor = max(r.floor, oldest.issued)
	*oldest = u
	r.places[u.id] = int32(r.next)
	r.next = (r.next + 1) % r.size
}
