package disk

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"reveille/usrloc"
)

// loadRanges is into how many parts the content is cut for loading. All
// bindings of an AOR are in one part.
const loadRanges = 256

// A loaded says what was found.
type loaded struct {
	bindings, expired int64
}

// load reads all of db into m, in parallel. The Records get Versions above
// high, so that Versions grow over a restart.
func load(ctx context.Context, db *database, m *usrloc.Memory, high uint64) (loaded, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next, bindings, expired atomic.Int64
	var wg sync.WaitGroup
	for range min(loadRanges, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= loadRanges {
					return
				}
				const width = 1 << 16 / loadRanges
				found, err := loadRange(db, m, high, i*width, (i+1)*width)
				if err != nil {
					cancel(err)
					return
				}
				bindings.Add(found.bindings)
				expired.Add(found.expired)
			}
		})
	}
	wg.Wait()
	return loaded{bindings.Load(), expired.Load()}, context.Cause(ctx)
}

// An entry is a binding and whose it is.
type entry struct {
	aor     usrloc.AOR
	binding usrloc.Binding
}

func loadRange(db *database, m *usrloc.Memory, high uint64, from, to int) (found loaded, err error) {
	sc, err := db.scan(from, to)
	if err != nil {
		return found, err
	}
	now := time.Now()
	var entries []entry // of one partition
	for err == nil && sc.next() {
		if len(entries) > 0 && entries[0].binding.ID.Partition() != sc.binding.ID.Partition() {
			err = loadPartition(m, high, entries)
			entries = entries[:0]
		}
		if !now.Before(sc.binding.RetainUntil) {
			found.expired++
			continue
		}
		found.bindings++
		entries = append(entries, entry{sc.aor, sc.binding})
	}
	if broken := sc.close(); broken != nil {
		return found, db.damage(broken)
	}
	if err == nil {
		err = loadPartition(m, high, entries)
	}
	return found, err
}

// loadPartition loads the AORs of one partition; it sorts entries.
func loadPartition(m *usrloc.Memory, high uint64, entries []entry) error {
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.aor, b.aor),
			a.binding.Created.Compare(b.binding.Created),
			slices.Compare(a.binding.ID[:], b.binding.ID[:]))
	})
	for len(entries) > 0 {
		n := 1
		for n < len(entries) && entries[n].aor == entries[0].aor {
			n++
		}
		rec := usrloc.Record{AOR: entries[0].aor, Version: high + 1, Bindings: make([]usrloc.Binding, n)}
		for i := range n {
			rec.Bindings[i] = entries[i].binding
		}
		if err := m.Load(rec); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}
