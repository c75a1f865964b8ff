package usrloc

// An index finds the number of a slot by the hash of its key: a hash table with
// linear probing, eight bytes for each place and no pointers. A map of the
// language takes three times the memory. The keys stand in the slots; who looks
// one up says whether a slot is the one.
//
// An index grows by a quarter when it is three quarters full and never shrinks:
// if it doubled, half of it would be empty on average. It is not safe for
// concurrent use.
type index struct {
	// places holds hash<<32 | slot, 0 if free.
	places []uint64
	used   int
}

const minIndex = 16

// home is the first place to look for a hash: hashes are spread over the places
// in their order, whatever the number of places.
func (x *index) home(hash uint32) int { return int(uint64(hash) * uint64(len(x.places)) >> 32) }

// after returns the place that follows i, at the end the first.
func (x *index) after(i int) int {
	if i++; i < len(x.places) {
		return i
	}
	return 0
}

// distance is how many steps lead from one place to another.
func (x *index) distance(from, to int) int {
	if to < from {
		to += len(x.places)
	}
	return to - from
}

// find returns the slot with this hash that same accepts, or 0.
func (x *index) find(hash uint32, same func(slot uint32) bool) uint32 {
	if len(x.places) == 0 {
		return 0
	}
	for i := x.home(hash); ; i = x.after(i) {
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
		x.places = make([]uint64, max(minIndex, len(old)+len(old)/4))
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
	i := x.home(uint32(p >> 32))
	for x.places[i] != 0 {
		i = x.after(i)
	}
	x.places[i] = p
}

// remove takes slot out; it must be there. What stands behind it moves up, so
// that no probe ends at the gap before its time.
func (x *index) remove(hash, slot uint32) {
	gap := x.home(hash)
	for x.places[gap] != uint64(hash)<<32|uint64(slot) {
		gap = x.after(gap)
	}
	for i := x.after(gap); x.places[i] != 0; i = x.after(i) {
		// The element at i may move to the gap unless its own first place lies
		// behind the gap.
		if home := x.home(uint32(x.places[i] >> 32)); x.distance(home, i) >= x.distance(gap, i) {
			x.places[gap], gap = x.places[i], i
		}
	}
	x.places[gap] = 0
	x.used--
}

// bytes is the memory that the index holds.
func (x *index) bytes() int { return 8 * len(x.places) }
