package usrloc

import (
	"context"
	"fmt"
	"math"
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

	// Find is List for the AORs that want accepts. It looks at about look of them at
	// most, so that it returns soon however few want accepts: there may be more
	// behind the place that it returns, even if it found nothing. want may run under
	// a lock: it must be quick and not call the store. Its AOR is valid during the
	// call only.
	Find(ctx context.Context, c Cursor, n, look int, want func(AOR) bool) ([]Record, Cursor, error)
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

// listStep bounds how many slots List looks at under one lock.
const listStep = 64

// List implements Lister. No lock is held for longer than it takes to read 64
// Records.
func (m *Memory) List(ctx context.Context, c Cursor, n int) ([]Record, Cursor, error) {
	return m.Find(ctx, c, n, math.MaxInt, func(AOR) bool { return true })
}

// Find implements Lister, as List does.
func (m *Memory) Find(ctx context.Context, c Cursor, n, look int, want func(AOR) bool) ([]Record, Cursor, error) {
	if !c.IsZero() && c.store != m.id {
		return nil, Cursor{}, ErrCursor
	}
	c.store = m.id
	var recs []Record
	for ; len(recs) < n && look > 0 && c.shard < len(m.shards); look -= listStep {
		if err := m.usable(ctx); err != nil {
			return nil, Cursor{}, err
		}
		var err error
		if recs, c, err = m.listShard(recs, c, n, want); err != nil {
			return nil, Cursor{}, err
		}
	}
	if c.shard >= len(m.shards) {
		c = Cursor{}
	}
	return recs, c, nil
}

func (m *Memory) listShard(recs []Record, c Cursor, n int, want func(AOR) bool) ([]Record, Cursor, error) {
	sh, now := m.shards[c.shard], time.Now()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for range listStep {
		if c.slot++; c.slot >= sh.users.used {
			c.shard, c.slot = c.shard+1, 0
			return recs, c, nil
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
			return nil, Cursor{}, err
		}
		if len(rec.Bindings) > 0 {
			recs = append(recs, rec)
		}
		if len(recs) == n {
			break
		}
	}
	return recs, c, nil
}
