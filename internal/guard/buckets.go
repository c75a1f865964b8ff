package guard

import (
	"hash/maphash"
	"sync/atomic"
	"time"
)

// buckets is a table of token buckets in fixed memory, one word each: anyone can
// send from any address, so no source may cost more than the bytes that are
// there already. It is a set-associative cache. A set that is full forgets the
// bucket that is nearest to being full again, which is as good as unknown. Safe
// for concurrent use, without a lock.
//
// A word is, from the top, 20 bits of the key's hash, the lowest of them set, and
// in 44 bits the tick at which the bucket is full again; 0 is free.
type buckets struct {
	seed  maphash.Seed
	start time.Time
	sets  []bucketSet // a power of two
}

// bucketSet is one cache line.
type bucketSet [8]atomic.Uint64

const (
	// tick lets 44 bits hold five years, and a rate of 10,000 a second be exact.
	tick     = 10 * time.Microsecond
	timeBits = 44
	timeMask = 1<<timeBits - 1
	// attempts is how often a writer that others are faster than tries again.
	attempts = 4
)

func newBuckets(entries int, start time.Time) *buckets {
	sets := 1
	for sets*len(bucketSet{}) < entries {
		sets *= 2
	}
	return &buckets{seed: maphash.MakeSeed(), start: start, sets: make([]bucketSet, sets)}
}

// A limit is the shape of a bucket, in ticks.
type limit struct {
	// every is the pause between two events that go on and on; 0 sets no limit.
	every uint64
	// depth is how far ahead of that pace events may come.
	depth uint64
}

// newLimit allows n events in a span on end, and burst at once.
func newLimit(n float64, span time.Duration, burst int) limit {
	if n <= 0 {
		return limit{}
	}
	every := max(uint64(float64(span/tick)/n), 1)
	return limit{every: every, depth: every * uint64(max(burst, 1))}
}

// twice is a limit with a second burst behind the first.
func (l limit) twice() limit { return limit{every: l.every, depth: 2 * l.depth} }

func (b *buckets) ticks(now time.Time) uint64 {
	return uint64(max(now.Sub(b.start), 0)/tick) & timeMask
}

// bytes and text return the hash of a key.
func (b *buckets) bytes(key []byte) uint64 { return maphash.Bytes(b.seed, key) }

func (b *buckets) text(key string) uint64 { return maphash.String(b.seed, key) }

// take counts an event of the key with that hash and reports whether it is
// within the limit. One that is not is not counted: whoever goes on too fast
// gets what the pace allows. This is the generic cell rate algorithm.
func (b *buckets) take(hash uint64, l limit, now time.Time) bool {
	if l.every == 0 {
		return true
	}
	set := &b.sets[hash&uint64(len(b.sets)-1)]
	tag, at := hash>>timeBits|1, b.ticks(now)
	for range attempts {
		slot, word := set.find(tag)
		full := at
		if word>>timeBits == tag {
			full = max(at, word&timeMask)
		}
		full += l.every
		if full-at > l.depth {
			return false
		}
		if set[slot].CompareAndSwap(word, tag<<timeBits|full&timeMask) {
			return true
		}
	}
	// The set is written to by many at this instant. One event that is not
	// counted does no harm.
	return true
}

// find returns the slot of the key with that tag and its word, or the slot that
// it may have.
func (s *bucketSet) find(tag uint64) (slot int, word uint64) {
	soonest := uint64(1<<64 - 1)
	for i := range s {
		w := s[i].Load()
		if w>>timeBits == tag {
			return i, w
		}
		// Free slots are 0, so they come first here too.
		if full := w & timeMask; full < soonest {
			slot, word, soonest = i, w, full
		}
	}
	return slot, word
}
