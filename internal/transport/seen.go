package transport

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// A seenTable remembers when the last datagram came on each UDP flow, in fixed
// memory: anyone can send datagrams from any address, so no entry may cost
// more than the bytes that are there already. It is a set-associative cache of
// (hash, time) words. A set that is full forgets its oldest entry. Safe for
// concurrent use; racing writers may lose a mark.
type seenTable struct {
	seed  maphash.Seed
	start time.Time
	sets  []seenSet // a power of two
}

// seenSet is one cache line. A word is the upper half of the flow's hash, with
// its lowest bit set, and the time in units of seenUnit since start; 0 is free.
type seenSet [8]atomic.Uint64

// seenUnit lets 32 bits hold 13 years.
const seenUnit = 100 * time.Millisecond

func newSeenTable(entries int, start time.Time) *seenTable {
	sets := 1
	for sets*len(seenSet{}) < entries {
		sets *= 2
	}
	return &seenTable{seed: maphash.MakeSeed(), start: start, sets: make([]seenSet, sets)}
}

func (t *seenTable) hash(listener int, remote netip.AddrPort) (set *seenSet, tag uint64) {
	var key [20]byte
	addr := remote.Addr().As16()
	copy(key[:], addr[:])
	binary.BigEndian.PutUint16(key[16:], remote.Port())
	binary.BigEndian.PutUint16(key[18:], uint16(listener))
	h := maphash.Bytes(t.seed, key[:])
	return &t.sets[h&uint64(len(t.sets)-1)], h>>32 | 1
}

func (t *seenTable) ticks(now time.Time) uint64 {
	return uint64(max(now.Sub(t.start), 0)/seenUnit) & (1<<32 - 1)
}

// mark notes that a datagram came from remote.
func (t *seenTable) mark(listener int, remote netip.AddrPort, now time.Time) {
	set, tag := t.hash(listener, remote)
	word := tag<<32 | t.ticks(now)
	victim, oldest := 0, uint64(1<<63)
	for i := range set {
		w := set[i].Load()
		if w>>32 == tag {
			if w != word {
				set[i].Store(word)
			}
			return
		}
		if w == 0 { // A set fills from its start: the rest is free too.
			victim = i
			break
		}
		if age := w & (1<<32 - 1); age < oldest {
			victim, oldest = i, age
		}
	}
	set[victim].Store(word)
}

// within reports whether a datagram came from remote less than d ago.
func (t *seenTable) within(listener int, remote netip.AddrPort, now time.Time, d time.Duration) bool {
	set, tag := t.hash(listener, remote)
	for i := range set {
		if w := set[i].Load(); w>>32 == tag {
			return time.Duration(t.ticks(now)-min(w&(1<<32-1), t.ticks(now)))*seenUnit < d
		}
	}
	return false
}
