package usrloc

// An index finds the number of a slot by the hash of its key: a hash table with
// linear probing, eight bytes for each place and no pointers. A map of the
// language takes three times the memory. The keys stand in the slots; who looks
// one up says whether a slot is the one.
//
// An index doubles when it is three quarters full and never shrinks. It is not
// safe for concurrent use.
type index struct {
	// places has a power of two of elements: hash<<32 | slot, 0 if free.
	places []uint64
	used   int
}

const minIndex = 16

// find returns the slot with this hash that same accepts, or 0.
func (x *index) find(hash uint32, same func(slot uint32) bool) uint32 {
	if len(x.places) == 0 {
		return 0
	}
	mask := uint32(len(x.places) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		p := x.places[i]
		if p == 0 {
			return 0
		}
		if uint32(p>>32) == hash && same(uint32(p)) {
			return uint32(p)
		}
	}
}

// add puts slot in; it must not be there.
func (x *index) add(hash, slot uint32) {
	if (x.used+1)*4 > len(x.places)*3 {
		old := x.places
		x.places = make([]uint64, max(minIndex, 2*len(old)))
		for _, p := range old {
			if p != 0 {
				x.insert(p)
			}
		}
	}
	x.insert(uint64(hash)<<32 | uint64(slot))
	x.used++
}

func (x *index) insert(p uint64) {
	mask := uint32(len(x.places) - 1)
	i := uint32(p>>32) & mask
	for x.places[i] != 0 {
		i = (i + 1) & mask
	}
	x.places[i] = p
}

// remove takes slot out; it must be there. What stands behind it moves up, so
// that no probe ends at the gap before its time.
func (x *index) remove(hash, slot uint32) {
	mask := uint32(len(x.places) - 1)
	gap := hash & mask
	for x.places[gap] != uint64(hash)<<32|uint64(slot) {
		gap = (gap + 1) & mask
	}
	for i := (gap + 1) & mask; x.places[i] != 0; i = (i + 1) & mask {
		// The element at i may move to the gap unless its own first place lies
		// behind the gap.
		if home := uint32(x.places[i]>>32) & mask; (i-home)&mask >= (i-gap)&mask {
			x.places[gap], gap = x.places[i], i
		}
	}
	x.places[gap] = 0
	x.used--
}

// bytes is the memory that the index holds.
func (x *index) bytes() int { return 8 * len(x.places) }
