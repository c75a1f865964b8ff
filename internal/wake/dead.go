package wake

import (
	"hash/maphash"
	"sync"
)

// maxDead bounds the set of tokens known to be dead: 8 bytes in the ring and
// about 16 in the map each, 1.5 MB when full. Past it the oldest is forgotten,
// which costs one more push to learn it again.
const maxDead = 1 << 16

// deadSet remembers which tokens a push service declared dead, by a 64-bit hash
// under a secret seed: no token is kept, and nobody can aim at a collision.
type deadSet struct {
	seed maphash.Seed

	mu   sync.Mutex // guards the fields below
	in   map[uint64]struct{}
	ring []uint64
	next int
}

func newDeadSet() *deadSet {
	return &deadSet{seed: maphash.MakeSeed(), in: make(map[uint64]struct{})}
}

func (d *deadSet) key(provider, param, prid string) uint64 {
	return maphash.Comparable(d.seed, [3]string{provider, param, prid})
}

func (d *deadSet) add(provider, param, prid string) {
	k := d.key(provider, param, prid)
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.in[k]; ok {
		return
	}
	d.in[k] = struct{}{}
	if len(d.ring) < maxDead {
		d.ring = append(d.ring, k)
		return
	}
	delete(d.in, d.ring[d.next])
	d.ring[d.next] = k
	d.next = (d.next + 1) % maxDead
}

func (d *deadSet) has(provider, param, prid string) bool {
	k := d.key(provider, param, prid)
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.in[k]
	return ok
}
