package usrloc

import (
	"context"
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

// A Cursor is a place in the list of all Records; the zero Cursor is its
// beginning.
type Cursor struct {
	shard int
	slot  uint32
}

// IsZero reports whether c is the beginning of the list.
func (c Cursor) IsZero() bool { return c == Cursor{} }

// listStep bounds how many slots List looks at under one lock.
const listStep = 64

// List returns up to n Records from the place c on, in no particular order, and
// the place behind them; it is zero after the last. An AOR that has bindings all
// the while is listed exactly once. No lock is held for longer than it takes to
// read 64 Records.
func (m *Memory) List(ctx context.Context, c Cursor, n int) ([]Record, Cursor, error) {
	var recs []Record
	for len(recs) < n && c.shard < len(m.shards) {
		if err := m.usable(ctx); err != nil {
			return nil, Cursor{}, err
		}
		var err error
		if recs, c, err = m.listShard(recs, c, n); err != nil {
			return nil, Cursor{}, err
		}
	}
	if c.shard >= len(m.shards) {
		c = Cursor{}
	}
	return recs, c, nil
}

func (m *Memory) listShard(recs []Record, c Cursor, n int) ([]Record, Cursor, error) {
	sh, now := m.shards[c.shard], time.Now()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for range listStep {
		c.slot++
		if c.slot >= sh.users.used {
			return recs, Cursor{shard: c.shard + 1}, nil
		}
		u := sh.users.at(c.slot)
		if u.first == 0 { // free
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
