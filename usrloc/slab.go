package usrloc

import "encoding/binary"

// A slab keeps byte strings of any length inside pages without pointers, so that
// the garbage collector has nothing to look at however many there are. A page
// holds slots of one size, a multiple of 16 bytes; a string lies in one slot, in
// one piece. A page whose strings are all gone serves any other size again, so
// not much is lost when all devices change to longer strings.
//
// The price is half a unit for each string, 8 bytes on average, and what is left
// at the end of a page, 2 % for strings of 400 bytes. A chain of blocks of 64
// bytes, which knows only one size, took 60.
//
// The few strings that are longer than a slot may be lie in the heap, each by
// itself. A slab grows and never shrinks. It is not safe for concurrent use.
type slab struct {
	pages []slabPage // the first is not used: reference 0 means "none"
	// room begins the list of the pages with room for each size, in units.
	room  [slabUnits + 1]uint32
	empty uint32 // the first page without strings, 0 if there is none

	large     [][]byte
	freeLarge []uint32
	largeSize int
}

const (
	slabUnit  = 16
	slabUnits = 128      // the largest slot: 2 KiB
	slabPages = 16 << 10 // the size of a page, one that the allocator has
	slotBits  = 10       // slabPages / slabUnit slots at most
	// slabLarge marks a reference to large. The others are the number of the page
	// and that of the slot.
	slabLarge = 1 << 31
)

type slabPage struct {
	data       *[slabPages]byte
	prev, next uint32 // in the list where it stands
	units      uint16 // the size of its slots
	used       uint16 // slots that hold a string
	fresh      uint16 // slots from this one on never held one
	free       uint16 // 1 + a free slot before that, which names the next; 0 for none
}

// slots is how many slots the page has.
func (p *slabPage) slots() int { return slabPages / (int(p.units) * slabUnit) }

// slot returns the bytes of a slot.
func (p *slabPage) slot(i uint32) []byte {
	size := uint32(p.units) * slabUnit
	return p.data[i*size : (i+1)*size : (i+1)*size]
}

// set stores data and returns where. It replaces the string at ref, 0 for none,
// which is not valid afterwards. Empty data frees it and has the reference 0.
func (s *slab) set(ref uint32, data []byte) uint32 {
	units := uint16(min((len(data)+slabUnit-1)/slabUnit, slabUnits+1))
	if ref != 0 && ref&slabLarge == 0 && s.pages[ref>>slotBits].units == units {
		copy(s.at(ref), data)
		return ref
	}
	s.release(ref)
	switch {
	case units == 0:
		return 0
	case units > slabUnits:
		return s.setLarge(data)
	}
	ref = s.alloc(units)
	copy(s.at(ref), data)
	return ref
}

// at returns the slot at ref, which is as long as the string or a little longer.
func (s *slab) at(ref uint32) []byte {
	if ref&slabLarge != 0 {
		return s.large[ref&^slabLarge]
	}
	return s.pages[ref>>slotBits].slot(ref & (1<<slotBits - 1))
}

// get appends the first n bytes of the string at ref to dst.
func (s *slab) get(dst []byte, ref uint32, n int) []byte {
	if n == 0 {
		return dst
	}
	return append(dst, s.at(ref)[:n]...)
}

// text returns the string of n bytes at ref.
func (s *slab) text(ref uint32, n int) string {
	if n == 0 {
		return ""
	}
	return string(s.at(ref)[:n])
}

// equal reports whether the string of n bytes at ref is want.
func (s *slab) equal(ref uint32, n int, want string) bool {
	return n == len(want) && (n == 0 || string(s.at(ref)[:n]) == want)
}

// alloc returns an unused slot of this size.
func (s *slab) alloc(units uint16) uint32 {
	at := s.room[units]
	if at == 0 {
		at = s.newPage(units)
	}
	p := &s.pages[at]
	slot := uint32(p.fresh)
	if p.free != 0 {
		slot = uint32(p.free - 1)
		p.free = binary.NativeEndian.Uint16(p.slot(slot))
	} else {
		p.fresh++
	}
	if p.used++; int(p.used) == p.slots() {
		s.unlink(&s.room[units], at)
	}
	return at<<slotBits | slot
}

// newPage makes a page for slots of this size.
func (s *slab) newPage(units uint16) uint32 {
	at := s.empty
	if at != 0 {
		s.unlink(&s.empty, at)
	} else {
		if len(s.pages) == 0 {
			s.pages = append(s.pages, slabPage{})
		}
		at = uint32(len(s.pages))
		s.pages = append(s.pages, slabPage{data: new([slabPages]byte)})
	}
	s.pages[at].units = units
	s.link(&s.room[units], at)
	return at
}

// release frees the string at ref; 0 is none.
func (s *slab) release(ref uint32) {
	if ref == 0 {
		return
	}
	if ref&slabLarge != 0 {
		s.releaseLarge(ref &^ slabLarge)
		return
	}
	at, slot := ref>>slotBits, ref&(1<<slotBits-1)
	p := &s.pages[at]
	room := &s.room[p.units]
	if int(p.used) == p.slots() {
		s.link(room, at)
	}
	binary.NativeEndian.PutUint16(p.slot(slot), p.free)
	p.free = uint16(slot + 1)
	if p.used--; p.used == 0 {
		s.unlink(room, at)
		p.units, p.fresh, p.free = 0, 0, 0
		s.link(&s.empty, at)
	}
}

// link puts a page at the front of a list.
func (s *slab) link(first *uint32, at uint32) {
	p := &s.pages[at]
	p.prev, p.next = 0, *first
	if p.next != 0 {
		s.pages[p.next].prev = at
	}
	*first = at
}

// unlink takes a page out of the list that begins with first.
func (s *slab) unlink(first *uint32, at uint32) {
	p := &s.pages[at]
	if p.prev != 0 {
		s.pages[p.prev].next = p.next
	} else {
		*first = p.next
	}
	if p.next != 0 {
		s.pages[p.next].prev = p.prev
	}
}

func (s *slab) setLarge(data []byte) uint32 {
	s.largeSize += len(data)
	data = append([]byte(nil), data...)
	if n := len(s.freeLarge); n > 0 {
		i := s.freeLarge[n-1]
		s.freeLarge, s.large[i] = s.freeLarge[:n-1], data
		return i | slabLarge
	}
	s.large = append(s.large, data)
	return uint32(len(s.large)-1) | slabLarge
}

func (s *slab) releaseLarge(i uint32) {
	s.largeSize -= len(s.large[i])
	s.large[i] = nil
	s.freeLarge = append(s.freeLarge, i)
}

// bytes is the memory that the slab holds.
func (s *slab) bytes() int { return max(0, len(s.pages)-1)*slabPages + s.largeSize }
