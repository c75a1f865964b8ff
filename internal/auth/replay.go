package auth

import (
	"hash/maphash"
	"sync"
	"time"

	"reveille/flow"
)

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
	// seed is secret, so that nobody can make another request of a known print.
	seed maphash.Seed
	// floor is the time of issue up to which unknown nonces may have been used.
	floor int64
}

type usedNonce struct {
	id     nonceID
	issued int64
	uses   window
	last   use // the one with the highest nc
}

// A use is one request with a nonce.
type use struct {
	// print stands for the request and the flow on which it came; 0 if it is
	// never repeated.
	print uint64
	at    uint32 // Unix seconds
}

// repeats is how long a request is repeated that got no answer: 64*T1 (RFC 3261
// §17.1.2.2, Timer F).
const repeats = 32 * time.Second

func newReplays(size int) *replays {
	return &replays{places: make(map[nonceID]int32), size: size, seed: maphash.MakeSeed()}
}

// print returns what stands for a request that came on f; 0 on a connection, where
// nothing is repeated.
func (r *replays) print(raw string, f flow.Flow) uint64 {
	if f.Stream() {
		return 0
	}
	var h maphash.Hash
	h.SetSeed(r.seed)
	addr, port := f.Remote.Addr().As16(), f.Remote.Port()
	h.Write(addr[:])
	h.WriteByte(byte(port >> 8))
	h.WriteByte(byte(port))
	h.WriteString(f.Listener)
	h.WriteByte(0)
	h.WriteString(raw)
	return max(h.Sum64(), 1)
}

// take reports whether the request of print is the first one with the nonce and
// nc, or the last one once more: RFC 3261 §17.2.2 has a server answer a request
// that is repeated as it did before. That takes the same bytes from the same
// place within repeats; who captured a request and sends it from elsewhere, or
// later, has no use of it.
func (r *replays) take(id nonceID, issued int64, nc uint32, print uint64, now time.Time) bool {
	u := use{print, uint32(now.Unix())}
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, known := r.places[id]; known {
		return r.ring[at].take(nc, u)
	}
	n := usedNonce{id: id, issued: issued}
	if issued <= r.floor || !n.take(nc, u) {
		return false
	}
	r.remember(n)
	return true
}

func (n *usedNonce) take(nc uint32, u use) bool {
	if !n.uses.take(nc) {
		return u.print != 0 && u.print == n.last.print && u.at-n.last.at <= uint32(repeats/time.Second)
	}
	if nc == n.uses.highest {
		n.last = u
	}
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
