package usrloc

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Stats are figures of a Memory.
type Stats struct {
	// AORs, Bindings and PushBindings count what is stored, including bindings
	// that lapsed and were not yet removed by an Update.
	AORs, Bindings, PushBindings int
	// Watches is how many watches there are.
	Watches int
	// Pending is how many Updates wait for their commit.
	Pending int
	// Bytes is the memory of the slabs and the index.
	Bytes int
}

// Stats looks at one shard after the other.
func (m *Memory) Stats() Stats {
	s := Stats{Watches: int(m.watches.Load()), Pending: int(m.pending.Load())}
	for _, sh := range m.shards {
		sh.mu.Lock()
		s.AORs += sh.aors.used
		s.Bindings += sh.ids.used
		s.PushBindings += sh.pushCount
		s.Bytes += sh.users.bytes() + sh.bindings.bytes() + sh.strings.bytes() + sh.aors.bytes() + sh.ids.bytes()
		if sh.tokens != nil {
			s.Bytes += sh.tokens.bytes()
		}
		sh.mu.Unlock()
	}
	return s
}

// A Lister is a Store whose Records can be gone through.
type Lister interface {
	// List returns up to n Records from the place c on, in no particular order, and
	// the place behind them; it is zero after the last. An AOR that has bindings all
	// the while is listed exactly once, whatever happens to others meanwhile. It
	// returns ErrCursor for a place in another store, or in an earlier run of it.
	List(ctx context.Context, c Cursor, n int) ([]Record, Cursor, error)

	// Walk goes on from c: visit gets the Records whose AOR want accepts, one after
	// the other, until it returns false or about look AORs were looked at, so that
	// Walk returns soon however few are wanted. It returns the place behind the last,
	// as List does. want may run under a lock, visit never does: want must be quick
	// and not call the store, and its AOR is valid during the call only.
	Walk(ctx context.Context, c Cursor, look int, want func(AOR) bool, visit func(Record) bool) (Cursor, error)
}

var _ Lister = (*Memory)(nil)

// A Cursor is a place in the list of all Records; the zero Cursor is its
// beginning.
type Cursor struct {
	store uint32 // Memory.id; 0 in the zero Cursor
	shard int
	slot  uint32
}

// IsZero reports whether c is the beginning of the list.
func (c Cursor) IsZero() bool { return c == Cursor{} }

// String returns c in letters, digits and '-', for those who come back later; ""
// for the zero Cursor. ParseCursor is the inverse.
func (c Cursor) String() string {
	if c.IsZero() {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x", c.store, c.shard, c.slot)
}

// ParseCursor reads what String wrote, or returns ErrCursor.
func ParseCursor(s string) (c Cursor, err error) {
	if s == "" {
		return c, nil
	}
	var parts [3]uint64
	for i, part := range strings.Split(s, "-") {
		if i == len(parts) {
			return Cursor{}, ErrCursor
		}
		if parts[i], err = strconv.ParseUint(part, 16, 31); err != nil {
			return Cursor{}, ErrCursor
		}
	}
	c = Cursor{store: uint32(parts[0]), shard: int(parts[1]), slot: uint32(parts[2])}
	if c.String() != s {
		return Cursor{}, ErrCursor
	}
	return c, nil
}

// listStep bounds how many slots are looked at under one lock.
const listStep = 64

// List implements Lister. No lock is held for longer than it takes to read 64
// Records.
func (m *Memory) List(ctx context.Context, c Cursor, n int) (recs []Record, next Cursor, err error) {
	if c, err = m.begin(c); err != nil {
		return nil, c, err
	}
	var found [listStep]listed
	for len(recs) < n && c.shard < len(m.shards) {
		k := 0
		if k, c, err = m.step(ctx, c, func(AOR) bool { return true }, found[:min(n-len(recs), listStep)]); err != nil {
			return nil, Cursor{}, err
		}
		for i := range k {
			recs = append(recs, found[i].rec)
		}
	}
	return recs, m.end(c), nil
}

// Walk implements Lister, as List does.
func (m *Memory) Walk(ctx context.Context, c Cursor, look int, want func(AOR) bool, visit func(Record) bool) (next Cursor, err error) {
	if c, err = m.begin(c); err != nil {
		return c, err
	}
	var found [listStep]listed
	for ; look > 0 && c.shard < len(m.shards); look -= listStep {
		shard, k := c.shard, 0
		if k, c, err = m.step(ctx, c, want, found[:]); err != nil {
			return Cursor{}, err
		}
		for i := range k {
			if !visit(found[i].rec) {
				return Cursor{m.id, shard, found[i].slot}, nil
			}
		}
	}
	return m.end(c), nil
}

// begin makes a place in the list of c, end a Cursor of such a place.
func (m *Memory) begin(c Cursor) (Cursor, error) {
	if !c.IsZero() && c.store != m.id {
		return Cursor{}, ErrCursor
	}
	c.store = m.id
	return c, nil
}

func (m *Memory) end(c Cursor) Cursor {
	if c.shard >= len(m.shards) {
		return Cursor{}
	}
	return c
}

// A listed is a Record and where it was.
type listed struct {
	rec  Record
	slot uint32
}

// step looks at the slots of one shard that follow c, and returns how many Records
// it put into found, and the place to go on from.
func (m *Memory) step(ctx context.Context, c Cursor, want func(AOR) bool, found []listed) (n int, next Cursor, err error) {
	if err := m.usable(ctx); err != nil {
		return 0, Cursor{}, err
	}
	sh, now := m.shards[c.shard], time.Now()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for range listStep {
		if n == len(found) {
			break
		}
		if c.slot++; c.slot >= sh.users.used {
			return n, Cursor{store: m.id, shard: c.shard + 1}, nil
		}
		u := sh.users.at(c.slot)
		if u.first == 0 { // free
			continue
		}
		sh.scratch = sh.strings.get(sh.scratch[:0], u.name, int(u.nameLen))
		if !want(AOR(asString(sh.scratch))) {
			continue
		}
		rec, _, err := sh.record(sh.name(u), now)
		if err != nil {
			return 0, Cursor{}, err
		}
		if len(rec.Bindings) > 0 {
			found[n] = listed{rec, c.slot}
			n++
		}
	}
	return n, c, nil
}
