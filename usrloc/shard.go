package usrloc

import (
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"
)

// A shard keeps the AORs of some partitions: bindings packed without pointers,
// an index, the timers, and for AORs that are just being changed or watched a
// lane.
type shard struct {
	mu sync.Mutex // guards everything below
	// aors and ids find slots in users and bindings.
	aors, ids index
	tokens    *index       // bindings by their push token; nil: nobody asks
	seed      maphash.Seed // of the hashes

	users    table[aorSlot]
	bindings table[bindingSlot]
	strings  slab
	words    dictionary
	timers   wheel

	lanes map[AOR]*lane

	version   uint64 // the last Version given to a Record
	mark      uint32 // the last mark given to a timer
	pushCount int
	scratch   []byte
	touched   view
}

// An aorSlot is an AOR that has bindings.
type aorSlot struct {
	version uint64
	name    uint32 // in strings
	nameLen uint32
	first   uint32 // its first binding; the others follow through sibling
}

// A bindingSlot is a binding and its timers.
//
// A plain refresh, which leaves all strings as they are, can be written by
// changing head, refreshDue, expiryDue and the marks in place.
type bindingSlot struct {
	head
	body    uint32 // in strings
	bodyLen uint32
	aor     uint32
	sibling uint32
	// refreshDue and expiryDue are the times, in Unix milliseconds, at which the
	// two timers are due: from the binding at first, later by claims and Done.
	refreshDue, expiryDue int64
	// The marks are different after each change of the binding, claim and Done
	// of that timer. A Due carries its own as Stamp.
	refreshMark, expiryMark uint32
	// The wheel's links; its place is in head.
	prev, next uint32
}

// deadline is when the earlier of the two timers is due.
func (s *bindingSlot) deadline() int64 { return min(s.refreshDue, s.expiryDue) }

// lapsed reports whether the binding is gone for readers.
func (s *bindingSlot) lapsed(now time.Time) bool { return s.retainUntil <= now.UnixMilli() }

// errDamaged says that a slab holds what no encoder wrote: a defect of ours.
var errDamaged = errors.New("usrloc: damaged slab")

func newShard(seed maphash.Seed, tokens bool, now time.Time) *shard {
	sh := &shard{
		lanes: make(map[AOR]*lane),
		seed:  seed,
	}
	if tokens {
		sh.tokens = new(index)
	}
	sh.timers = wheel{slots: &sh.bindings, elapsed: max(0, now.UnixMilli())}
	return sh
}

// find returns the number of aor's slot, or 0.
func (sh *shard) find(aor AOR) uint32 {
	return sh.aors.find(sh.hashAOR(aor), func(i uint32) bool {
		u := sh.users.at(i)
		return sh.strings.equal(u.name, int(u.nameLen), string(aor))
	})
}

// findID returns the number of the slot of binding id, or 0.
func (sh *shard) findID(id BindingID) uint32 {
	return sh.ids.find(sh.hashID(id), func(i uint32) bool { return sh.bindings.at(i).id == id })
}

func (sh *shard) hashAOR(aor AOR) uint32 { return uint32(maphash.String(sh.seed, string(aor))) }

func (sh *shard) hashID(id BindingID) uint32 { return uint32(maphash.Bytes(sh.seed, id[:])) }

// name returns the AOR in slot u.
func (sh *shard) name(u *aorSlot) AOR {
	return AOR(sh.strings.text(u.name, int(u.nameLen)))
}

// record returns the Record of aor at now, and apart from it the bindings that
// have lapsed but are not removed yet.
func (sh *shard) record(aor AOR, now time.Time) (rec Record, lapsed []Binding, err error) {
	rec.AOR = aor
	i := sh.find(aor)
	if i == 0 {
		return rec, nil, nil
	}
	u := sh.users.at(i)
	rec.Version = u.version
	n := 0
	for at := u.first; at != 0; at = sh.bindings.at(at).sibling {
		n++
	}
	rec.Bindings = make([]Binding, 0, n)
	for at := u.first; at != 0; at = sh.bindings.at(at).sibling {
		s := sh.bindings.at(at)
		var b Binding
		if err := sh.read(&b, s); err != nil {
			return Record{AOR: aor}, nil, err
		}
		if s.lapsed(now) {
			lapsed = append(lapsed, b)
		} else {
			rec.Bindings = append(rec.Bindings, b)
		}
	}
	return rec, lapsed, nil
}

// read sets b to the binding in s.
func (sh *shard) read(b *Binding, s *bindingSlot) error {
	if err := parseBody(b, &s.head, sh.strings.text(s.body, int(s.bodyLen)), &sh.words); err != nil {
		return fmt.Errorf("read binding %s: %w", s.id, errDamaged)
	}
	return nil
}

// apply makes changes of aor, which follow from its present bindings, and
// returns the new version.
func (sh *shard) apply(aor AOR, changes []Change) uint64 {
	i := sh.find(aor)
	if i == 0 {
		i = sh.addAOR(aor)
	}
	for _, c := range changes {
		switch c.Kind {
		case Created:
			sh.addBinding(i, sh.lastLink(i), c.New)
		case Updated:
			at := sh.findID(c.New.ID)
			if c.silent() {
				// Its timers go on as they are, claimed or not.
				sh.writeBody(at, c.New)
				s := sh.bindings.at(at)
				s.flags = headOf(c.New).flags | s.flags&flagPush
				continue
			}
			sh.write(at, c.New)
			sh.moveToken(at, c.Old.Push, c.New.Push)
		case Removed, Expired:
			sh.removeBinding(i, c.Old)
		}
	}
	sh.version++
	u := sh.users.at(i)
	u.version = sh.version
	if u.first == 0 {
		sh.removeAOR(i, aor)
	}
	return sh.version
}

func (sh *shard) addAOR(aor AOR) uint32 {
	i := sh.users.alloc()
	u := sh.users.at(i)
	u.name, u.nameLen = sh.strings.set(0, []byte(aor)), uint32(len(aor))
	sh.aors.add(sh.hashAOR(aor), i)
	return i
}

func (sh *shard) removeAOR(i uint32, aor AOR) {
	sh.aors.remove(sh.hashAOR(aor), i)
	sh.strings.release(sh.users.at(i).name)
	sh.users.release(i)
}

// addBinding puts b in where link, the end of the bindings of AOR slot i or a
// place among them, points to the next.
func (sh *shard) addBinding(i uint32, link *uint32, b *Binding) {
	at := sh.bindings.alloc()
	s := sh.bindings.at(at)
	s.aor, s.sibling = i, *link
	*link = at
	sh.ids.add(sh.hashID(b.ID), at)
	sh.moveToken(at, Push{}, b.Push)
	sh.write(at, b)
}

// lastLink returns the end of the bindings of AOR slot i.
func (sh *shard) lastLink(i uint32) *uint32 {
	link := &sh.users.at(i).first
	for *link != 0 {
		link = &sh.bindings.at(*link).sibling
	}
	return link
}

// write stores b in slot at and sets its timers anew.
func (sh *shard) write(at uint32, b *Binding) {
	sh.writeBody(at, b)
	sh.writeHead(at, b)
}

// writeBody stores what of b has no fixed size in slot at.
func (sh *shard) writeBody(at uint32, b *Binding) {
	s := sh.bindings.at(at)
	sh.scratch = appendBody(sh.scratch[:0], b, &sh.words)
	s.body, s.bodyLen = sh.strings.set(s.body, sh.scratch), uint32(len(sh.scratch))
}

// writeHead stores what of b has a fixed size in slot at and sets its timers
// anew.
func (sh *shard) writeHead(at uint32, b *Binding) {
	s := sh.bindings.at(at)
	sh.countPush(s, -1)
	place := s.place
	s.head = headOf(b)
	s.place = place
	if !b.Push.IsZero() {
		s.flags |= flagPush
	}
	sh.countPush(s, 1)
	s.refreshDue, s.expiryDue = never, s.retainUntil
	if s.refreshAt != noTime {
		s.refreshDue = s.refreshAt
	}
	s.refreshMark, s.expiryMark = sh.nextMark(), sh.nextMark()
	sh.timers.set(at)
}

// removeBinding takes b out of AOR slot i.
func (sh *shard) removeBinding(i uint32, b *Binding) {
	at := sh.findID(b.ID)
	s := sh.bindings.at(at)
	link := &sh.users.at(i).first
	for *link != at {
		link = &sh.bindings.at(*link).sibling
	}
	*link = s.sibling
	sh.ids.remove(sh.hashID(b.ID), at)
	sh.moveToken(at, b.Push, Push{})
	sh.timers.unset(at)
	sh.strings.release(s.body)
	sh.countPush(s, -1)
	sh.bindings.release(at)
}

func (sh *shard) countPush(s *bindingSlot, n int) {
	if s.flags&flagPush != 0 {
		sh.pushCount += n
	}
}

func (sh *shard) nextMark() uint32 {
	sh.mark++
	return sh.mark
}
