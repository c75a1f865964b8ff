package wake

import (
	"hash/maphash"
	"math"
	"sync"
	"time"

	"reveille/usrloc"
)

const tableShards = 64

// A table remembers something of devices, by their bindings, in bounded memory:
// when it is full, what was not used for long is forgotten. It is safe for
// concurrent use.
type table[V any] struct {
	seed   maphash.Seed
	max    int // of one shard
	shards [tableShards]tableShard[V]
}

type tableShard[V any] struct {
	mu sync.Mutex // guards of
	of map[usrloc.BindingID]entry[V]
}

type entry[V any] struct {
	value V
	used  uint32 // Unix seconds
}

func newTable[V any](limit int) *table[V] {
	t := &table[V]{seed: maphash.MakeSeed(), max: max(1, limit/tableShards)}
	for i := range t.shards {
		t.shards[i].of = make(map[usrloc.BindingID]entry[V])
	}
	return t
}

func (t *table[V]) shard(id usrloc.BindingID) *tableShard[V] {
	return &t.shards[maphash.Comparable(t.seed, id)%tableShards]
}

// change lets fn change what is remembered of a device, which is the zero V at
// first. fn is called under a lock and must be quick.
func (t *table[V]) change(id usrloc.BindingID, now time.Time, fn func(*V)) {
	s := t.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, known := s.of[id]
	if !known && len(s.of) >= t.max {
		s.forgetOne()
	}
	fn(&e.value)
	e.used = seconds(now)
	s.of[id] = e
}

// forgetOne makes room: of a few by chance, the one that was not used for longest
// goes.
func (s *tableShard[V]) forgetOne() {
	var oldest usrloc.BindingID
	used, looked := uint32(math.MaxUint32), 0
	for id := range s.of {
		if e := s.of[id]; e.used <= used {
			oldest, used = id, e.used
		}
		if looked++; looked == 8 {
			break
		}
	}
	delete(s.of, oldest)
}

func (t *table[V]) get(id usrloc.BindingID) (v V, known bool) {
	s := t.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, known := s.of[id]
	return e.value, known
}

// len is how many devices are remembered.
func (t *table[V]) len() int {
	n := 0
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		n += len(s.of)
		s.mu.Unlock()
	}
	return n
}

// seconds is a time as the tables keep it.
func seconds(t time.Time) uint32 { return uint32(t.Unix()) }
