package disk

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"reveille/usrloc"
)

// loadRanges is into how many parts the content is cut for loading: as many as
// the Memory has shards by default, so that two parts do not meet in one.
const loadRanges = 64

// A loaded says what was found.
type loaded struct {
	bindings, expired int64
}

// load reads all of db into m, in parallel. The Records get Versions above
// high, so that Versions grow over a restart. What is read is never more than a
// block of each part at a time: no garbage grows with the number of bindings.
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

// loadRange loads the partitions from, included, to, excluded.
func loadRange(db *database, m *usrloc.Memory, high uint64, from, to int) (found loaded, err error) {
	sc, err := db.scan(from, to)
	if err != nil {
		return found, err
	}
	now := time.Now()
	for err == nil && sc.next() {
		if !now.Before(sc.binding.RetainUntil) {
			found.expired++
			continue
		}
		found.bindings++
		err = m.Load(sc.aor, &sc.binding, high)
	}
	if broken := sc.close(); broken != nil {
		return found, db.damage(broken)
	}
	return found, err
}
