package qualify

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"reveille/usrloc"
)

// tableShards is a power of two. A million results make shards of 4,000, which
// are swept in less than 0.1 ms.
const tableShards = 256

// A table holds the last result of each binding. It is safe for concurrent use.
type table struct {
	limit        int
	kept, silent atomic.Int64
	shards       [tableShards]tableShard
}

type tableShard struct {
	mu      sync.RWMutex // guards results
	results map[uint64]result
}

// A result is what one OPTIONS came to. With its key it takes 16 bytes, and 19 to
// 39 with the free room of a map.
type result struct {
	// micros is the round-trip time; more than 71 minutes it cannot be.
	micros uint32
	// walk is the number of the walk that learned it.
	walk uint16
	// silent: the phone did not answer.
	silent bool
}

// keyOf returns 64 of a BindingID's random bits. That two of a million bindings
// share them happens once in 10^7 servers, and then one has the other's latency.
func keyOf(id usrloc.BindingID) uint64 { return binary.BigEndian.Uint64(id[8:]) }

func (t *table) shard(key uint64) *tableShard { return &t.shards[key%tableShards] }

// put keeps the result of a binding in place of the one before. It reports false
// if there is no room for a new one.
func (t *table) put(id usrloc.BindingID, r result) bool {
	key := keyOf(id)
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	old, had := s.results[key]
	if !had && t.kept.Load() >= int64(t.limit) {
		return false
	}
	if s.results == nil {
		s.results = map[uint64]result{}
	}
	s.results[key] = r
	if !had {
		t.kept.Add(1)
	}
	t.count(old.silent && had, r.silent)
	return true
}

// count keeps silent up to date.
func (t *table) count(was, is bool) {
	switch {
	case is && !was:
		t.silent.Add(1)
	case was && !is:
		t.silent.Add(-1)
	}
}

func (t *table) get(id usrloc.BindingID) (result, bool) {
	key := keyOf(id)
	s := t.shard(key)
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.results[key]
	return r, ok
}

// sweep forgets what in the shards from to to, of which the latter is not swept,
// was learned before the walk that precedes walk: these bindings are gone or
// their devices sleep.
func (t *table) sweep(from, to int, walk uint16) {
	for i := from; i < to; i++ {
		s := &t.shards[i]
		s.mu.Lock()
		for key, r := range s.results {
			// The numbers of walks wrap around.
			if walk-r.walk >= 2 {
				delete(s.results, key)
				t.kept.Add(-1)
				t.count(r.silent, false)
			}
		}
		s.mu.Unlock()
	}
}

// micros is d as a result keeps it.
func micros(d time.Duration) uint32 {
	return uint32(min(max(d.Microseconds(), 0), 1<<32-1)) //nolint:gosec // It fits.
}
