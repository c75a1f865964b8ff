package usrloc

import (
	"math"
	"math/bits"
)

// A wheel orders the timers of a shard's bindings by time: a hierarchical
// timing wheel at the resolution of one millisecond. To place, move or take a
// timer costs the same however many there are; a timer is moved to a finer
// level at most wheelLevels-1 times before it is due.
//
// Level l has 64 slots of 64^l milliseconds each. A timer due at `when` stands
// on the level of the highest group of six bits in which `when` differs from
// elapsed, in the slot that this group of `when` names. So the slots before
// elapsed's own are always empty, and the lowest level in use holds the
// earliest timers.
//
// The links live in the bindingSlots, so a wheel holds no pointers but that to
// its table. It is not safe for concurrent use.
type wheel struct {
	slots *table[bindingSlot]
	// elapsed is the time, in Unix milliseconds, up to which timers have been
	// moved to ready.
	elapsed int64
	levels  [wheelLevels]wheelLevel
	// ready holds what is due at elapsed, oldest first, except that a timer
	// which was already overdue when it was set stands at the end.
	ready timerList
}

const (
	wheelBits   = 6
	wheelSlots  = 1 << wheelBits
	wheelLevels = 7 // 2^42 ms after 1970: until the year 2109
	wheelMax    = 1<<(wheelBits*wheelLevels) - 1

	// never is the time of a timer that is not set.
	never = math.MaxInt64
)

// The places of a binding's timer; other values are 1 + level*wheelSlots + slot.
const (
	placeNone  = 0
	placeReady = 1 + wheelLevels*wheelSlots
)

type wheelLevel struct {
	occupied uint64 // bit s: slots[s] is not empty
	slots    [wheelSlots]timerList
}

// A timerList is a doubly linked list of bindingSlots by number.
type timerList struct{ first, last uint32 }

// set places the timer of slot i by its deadline, wherever it stood before.
func (w *wheel) set(i uint32) {
	w.unset(i)
	s := w.slots.at(i)
	when := s.deadline()
	if when == never {
		return
	}
	s.place = w.place(when)
	w.push(w.list(s.place), i)
}

// unset takes slot i out of the wheel.
func (w *wheel) unset(i uint32) {
	s := w.slots.at(i)
	if s.place == placeNone {
		return
	}
	l := w.list(s.place)
	if s.prev != 0 {
		w.slots.at(s.prev).next = s.next
	} else {
		l.first = s.next
	}
	if s.next != 0 {
		w.slots.at(s.next).prev = s.prev
	} else {
		l.last = s.prev
	}
	if l.first == 0 && s.place != placeReady {
		at := s.place - 1
		w.levels[at/wheelSlots].occupied &^= 1 << (at % wheelSlots)
	}
	s.place, s.prev, s.next = placeNone, 0, 0
}

// place says where a timer due at when belongs, and marks the slot as occupied.
func (w *wheel) place(when int64) uint16 {
	if when <= w.elapsed {
		return placeReady
	}
	when = min(when, wheelMax)
	level := 0
	if diff := uint64(w.elapsed ^ when); diff > 0 {
		level = min((bits.Len64(diff)-1)/wheelBits, wheelLevels-1)
	}
	slot := when >> (wheelBits * level) & (wheelSlots - 1)
	w.levels[level].occupied |= 1 << slot
	return uint16(1 + level*wheelSlots + int(slot))
}

func (w *wheel) list(place uint16) *timerList {
	if place == placeReady {
		return &w.ready
	}
	at := place - 1
	return &w.levels[at/wheelSlots].slots[at%wheelSlots]
}

func (w *wheel) push(l *timerList, i uint32) {
	s := w.slots.at(i)
	s.prev, s.next = l.last, 0
	if l.last != 0 {
		w.slots.at(l.last).next = i
	} else {
		l.first = i
	}
	l.last = i
}

// advance moves all timers due at now to ready. It does nothing if now lies
// before elapsed: the clock was set back.
func (w *wheel) advance(now int64) {
	now = min(now, wheelMax)
	for {
		level, slot, start := w.first()
		if level < 0 || start > now {
			w.elapsed = max(w.elapsed, now)
			return
		}
		w.elapsed = max(w.elapsed, start)
		l := &w.levels[level]
		l.occupied &^= 1 << slot
		i := l.slots[slot].first
		l.slots[slot] = timerList{}
		for i != 0 {
			s := w.slots.at(i)
			next := s.next
			s.place = w.place(min(s.deadline(), wheelMax))
			w.push(w.list(s.place), i)
			i = next
		}
	}
}

// first returns the earliest slot that holds timers and the time at which it
// begins; level is -1 if there is none.
func (w *wheel) first() (level, slot int, start int64) {
	for level := range w.levels {
		occupied := w.levels[level].occupied
		if occupied == 0 {
			continue
		}
		slot := bits.TrailingZeros64(occupied)
		shift := wheelBits * level
		start := w.elapsed>>(shift+wheelBits)<<(shift+wheelBits) | int64(slot)<<shift
		return level, slot, start
	}
	return -1, 0, 0
}

// due returns the number of the first slot in ready that is due at now, or 0.
// Only after the clock was set back does it have to look past the first.
func (w *wheel) due(now int64) uint32 {
	for i := w.ready.first; i != 0; i = w.slots.at(i).next {
		if w.slots.at(i).deadline() <= now {
			return i
		}
	}
	return 0
}
