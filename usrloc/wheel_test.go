package usrloc

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func newWheel(elapsed int64) (*wheel, *table[bindingSlot]) {
	slots := new(table[bindingSlot])
	return &wheel{slots: slots, elapsed: elapsed}, slots
}

// setAt places a new timer.
func (w *wheel) setAt(when int64) uint32 {
	i := w.slots.alloc()
	s := w.slots.at(i)
	s.refreshDue, s.expiryDue = when, never
	w.set(i)
	return i
}

func TestWheel_FiresExactlyAtItsTime(t *testing.T) {
	const start = 1_800_000_000_123
	for _, delay := range []int64{1, 2, 63, 64, 65, 4095, 4096, 4097, 262_143, 262_144, 1 << 24, 1<<24 + 1, 1 << 30, 1<<36 + 5, 1 << 40} {
		w, _ := newWheel(start)
		i := w.setAt(start + delay)
		w.advance(start + delay - 1)
		if got := w.due(start + delay - 1); got != 0 {
			t.Errorf("delay %d: due a millisecond early", delay)
		}
		w.advance(start + delay)
		if got := w.due(start + delay); got != i {
			t.Errorf("delay %d: due = %d, want %d", delay, got, i)
		}
		w.unset(i)
		if w.ready != (timerList{}) || w.due(start+delay) != 0 {
			t.Errorf("delay %d: still there after unset", delay)
		}
	}
}

func TestWheel_PastAndFarAway(t *testing.T) {
	const start = 1_800_000_000_000
	w, slots := newWheel(start)
	past := w.setAt(start - 5000)
	ancient := w.setAt(-62135596800000)
	forever := w.setAt(never - 1)
	off := w.setAt(never)
	if slots.at(off).place != placeNone {
		t.Errorf("a timer that is off was placed")
	}
	if got := w.due(start); got != past {
		t.Errorf("due = %d, want the overdue %d", got, past)
	}
	w.unset(past)
	if got := w.due(start); got != ancient {
		t.Errorf("due = %d, want the ancient %d", got, ancient)
	}
	w.unset(ancient)
	w.advance(never)
	if got := w.due(wheelMax); got != 0 {
		t.Errorf("due = %d at the wheel's end, want nothing: its time is later", got)
	}
	w.unset(forever)
	for l := range w.levels {
		if w.levels[l].occupied != 0 {
			t.Errorf("level %d is occupied by nothing", l)
		}
	}
}

func TestWheel_ClockSetBack(t *testing.T) {
	const start = 1_800_000_000_000
	w, _ := newWheel(start)
	late, early := w.setAt(start+2000), w.setAt(start+1000)
	w.advance(start + 5000)
	w.advance(start + 1500)
	if got := w.due(start + 1500); got != early {
		t.Errorf("due = %d, want %d", got, early)
	}
	w.unset(early)
	if got := w.due(start + 1500); got != 0 {
		t.Errorf("due = %d, want nothing", got)
	}
	if got := w.due(start + 2000); got != late {
		t.Errorf("due = %d, want %d", got, late)
	}
	after := w.setAt(start + 1600) // before elapsed: stands behind late
	if got := w.due(start + 1700); got != after {
		t.Errorf("due = %d, want %d", got, after)
	}
}

// TestWheel_AgainstModel sets, moves and takes timers at random and compares
// with a sorted list.
func TestWheel_AgainstModel(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 0))
		now := int64(1_700_000_000_000) + r.Int64N(1<<40)
		w, slots := newWheel(now)
		when := make(map[uint32]int64)
		var numbers []uint32
		for range 200 {
			i := slots.alloc()
			numbers = append(numbers, i)
			slots.at(i).refreshDue, slots.at(i).expiryDue = never, never
		}
		for range 2000 {
			i := numbers[r.IntN(len(numbers))]
			switch r.IntN(4) {
			case 0, 1:
				at := now + 1 + r.Int64N(1<<r.IntN(40))
				slots.at(i).refreshDue, when[i] = at, at
				w.set(i)
			case 2:
				slots.at(i).refreshDue = never
				delete(when, i)
				w.set(i)
			case 3:
				now += r.Int64N(1 << r.IntN(36))
				w.advance(now)
				var want, got []int64
				for i, at := range when {
					if at <= now {
						want = append(want, at)
						delete(when, i)
					}
				}
				slices.Sort(want)
				for i := w.due(now); i != 0; i = w.due(now) {
					got = append(got, slots.at(i).deadline())
					slots.at(i).refreshDue = never
					w.set(i)
				}
				if !slices.Equal(got, want) {
					t.Fatalf("seed %d: due at %d: %v, want %v", seed, now, got, want)
				}
			}
		}
	}
}
