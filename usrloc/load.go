package usrloc

import (
	"fmt"
	"time"
)

// Load puts a Record back that was made durable earlier, without a commit and
// without telling anybody. It serves the Committer's owner before the store is
// in use; bindings whose RetainUntil has passed are left out. It may be called
// from several goroutines.
func (m *Memory) Load(rec Record) error {
	sh := m.shard(Partition(rec.AOR))
	sh.mu.Lock()
	defer sh.mu.Unlock()
	_, changes, err := compare(rec.AOR, nil, rec, time.Now())
	if err != nil || len(changes) == 0 {
		return err
	}
	if sh.find(rec.AOR) != 0 {
		return fmt.Errorf("load record of %s: loaded before", rec.AOR)
	}
	if err := m.admit(sh, rec.AOR, changes); err != nil {
		return err
	}
	sh.version = max(sh.version, rec.Version-min(rec.Version, 1)) // apply adds one
	sh.apply(rec.AOR, changes)
	return nil
}
