package usrloc

import (
	"bytes"
	"cmp"
	"fmt"
)

// Load puts a binding of aor back that was made durable earlier, without a
// commit and without telling anybody. It serves the Committer's owner before the
// store is in use. It may be called from several goroutines, and for the
// bindings of an AOR in any order: they stand in the order of Created, then of
// their IDs. The Record gets a Version greater than above. aor and the strings of
// b are copied.
//
// It returns ErrForeignID for an ID that was not made for aor or is there
// already, and ErrFull.
func (m *Memory) Load(aor AOR, b *Binding, above uint64) error {
	if b.ID.IsZero() || b.ID.Partition() != Partition(aor) {
		return fmt.Errorf("load binding %s of %s: %w", b.ID, aor, ErrForeignID)
	}
	if m.bindings.Add(1) > int64(m.opts.MaxBindings) {
		m.bindings.Add(-1)
		m.metrics.refused("bindings")
		return ErrFull
	}
	sh := m.shard(b.ID.Partition())
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.findID(b.ID) != 0 {
		m.bindings.Add(-1)
		return fmt.Errorf("load binding %s of %s: it is there: %w", b.ID, aor, ErrForeignID)
	}
	sh.version = max(sh.version, above) + 1
	sh.load(aor, b)
	return nil
}

// load adds b, which is new, at its place among the bindings of aor.
func (sh *shard) load(aor AOR, b *Binding) {
	i := sh.find(aor)
	if i == 0 {
		i = sh.addAOR(aor)
	}
	u := sh.users.at(i)
	u.version = sh.version
	created := b.Created.UnixMilli()
	link := &u.first
	for *link != 0 {
		s := sh.bindings.at(*link)
		if cmp.Or(cmp.Compare(s.created, created), bytes.Compare(s.id[:], b.ID[:])) > 0 {
			break
		}
		link = &s.sibling
	}
	sh.addBinding(i, link, b)
}
