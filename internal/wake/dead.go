package wake

import (
	"hash/maphash"
	"sync"
	"time"

	"reveille/usrloc"
)

// maxDead bounds the set of tokens known to be dead: 8 bytes in the ring and
// about 48 in the map each, 4 MB when full. Past it the oldest is forgotten,
// which costs one more push to learn it again.
const maxDead = 1 << 16

// deadSet remembers which tokens a push service declared dead and when, by a
// 64-bit hash under a secret seed: no token is kept, and nobody can aim at a
// collision.
type deadSet struct {
	seed maphash.Seed
	max  int

	mu   sync.Mutex // guards the fields below
	in   map[uint64]time.Time
	ring []uint64 // the keys of in, from next on the oldest first
	next int
}

func newDeadSet(limit int) *deadSet {
	return &deadSet{seed: maphash.MakeSeed(), max: limit, in: make(map[uint64]time.Time)}
}

func (d *deadSet) key(p usrloc.Push) uint64 {
	return maphash.Comparable(d.seed, [3]string{p.Provider, p.Param, p.PRID})
}

// add notes that p was declared dead at now.
func (d *deadSet) add(p usrloc.Push, now time.Time) {
	k := d.key(p)
	d.mu.Lock()
	defer d.mu.Unlock()
	_, known := d.in[k]
	d.in[k] = now
	switch {
	case known:
	case len(d.ring) < d.max:
		d.ring = append(d.ring, k)
	default:
		delete(d.in, d.ring[d.next])
		d.ring[d.next] = k
		d.next = (d.next + 1) % d.max
	}
}

// has reports whether a token, which its device last registered at boundAt, is
// dead. A device that registered it again after we learned so may know better: it
// gets another try.
func (d *deadSet) has(p usrloc.Push, boundAt time.Time) bool {
	k := d.key(p)
	d.mu.Lock()
	defer d.mu.Unlock()
	learned, dead := d.in[k]
	return dead && !boundAt.After(learned)
}
