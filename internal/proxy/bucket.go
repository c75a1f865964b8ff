package proxy

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"reveille/usrloc"
)

// A bucket counts what waits for sleeping devices (RFC 8599 §5.2 calls it the
// push bucket) and keeps it within its bounds. The waiting requests themselves
// lie in their forks. It is safe for concurrent use; the calls of different
// users share a lock only by chance.
type bucket struct {
	max, perAOR int64
	total       atomic.Int64
	seed        maphash.Seed
	shards      [64]bucketShard
}

type bucketShard struct {
	mu      sync.Mutex // guards waiting
	waiting map[usrloc.AOR]int64
}

func newBucket(limit, perAOR int) *bucket {
	b := &bucket{max: int64(limit), perAOR: int64(perAOR), seed: maphash.MakeSeed()}
	for i := range b.shards {
		b.shards[i].waiting = make(map[usrloc.AOR]int64)
	}
	return b
}

func (b *bucket) shard(aor usrloc.AOR) *bucketShard {
	return &b.shards[maphash.String(b.seed, string(aor))%uint64(len(b.shards))]
}

// enter takes a place for a request for aor. It returns false if there is none.
func (b *bucket) enter(aor usrloc.AOR) bool {
	if b.total.Add(1) > b.max {
		b.total.Add(-1)
		return false
	}
	s := b.shard(aor)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[aor] >= b.perAOR {
		b.total.Add(-1)
		return false
	}
	s.waiting[aor]++
	return true
}

// leave gives the place back.
func (b *bucket) leave(aor usrloc.AOR) {
	b.total.Add(-1)
	s := b.shard(aor)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[aor]--; s.waiting[aor] <= 0 {
		delete(s.waiting, aor)
	}
}
