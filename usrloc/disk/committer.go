package disk

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"reveille/usrloc"
)

// A committer is the only writer of the database. It gathers the changes that
// wait into one batch and syncs it; another goroutine calls the done functions
// meanwhile, so that the next batch is under way.
//
// How much waits is bounded by usrloc.MemoryOptions.MaxPending.
type committer struct {
	db      *database
	metrics *metrics
	admit   func([]usrloc.Change) error
	fail    func(error)
	pace    pace
	sweep   sweeper

	mu      sync.Mutex // guards waiting
	waiting []commit
	wake    chan struct{} // something waits; room for one

	finished chan batchResult // to the goroutine that calls done
	quit     chan struct{}
	wg       sync.WaitGroup

	// The rest belongs to the committing goroutine.
	batch   *pebble.Batch
	high    uint64 // the greatest Version committed
	written uint64 // the one that the database has
	key     []byte
	value   []byte
	broken  error // set by the first failure; nothing is committed any more
}

var _ usrloc.Admitter = (*committer)(nil)

// A commit is what one Update wants to be durable.
type commit struct {
	aor     usrloc.AOR
	changes []usrloc.Change
	done    func(error)
}

// A batchResult tells how commits ended.
type batchResult struct {
	commits []commit
	err     error
}

// batchChanges bounds how many Updates one batch holds, and so the memory of a
// batch: about 3 MB of bindings.
const batchChanges = 4096

func newCommitter(db *database, high uint64, p pace, admit func([]usrloc.Change) error, m *metrics, fail func(error)) *committer {
	return &committer{
		db: db, metrics: m, admit: admit, fail: fail, pace: p,
		wake:     make(chan struct{}, 1),
		finished: make(chan batchResult, 1),
		quit:     make(chan struct{}),
		batch:    db.NewBatch(),
		high:     high, written: high,
	}
}

// Admit implements usrloc.Admitter.
func (c *committer) Admit(_ usrloc.AOR, changes []usrloc.Change) error { return c.admit(changes) }

// Commit implements usrloc.Committer.
func (c *committer) Commit(aor usrloc.AOR, changes []usrloc.Change, done func(error)) {
	c.mu.Lock()
	c.waiting = append(c.waiting, commit{aor, changes, done})
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// start starts the two goroutines; stop ends them.
func (c *committer) start() {
	c.wg.Go(c.run)
	c.wg.Go(func() {
		for r := range c.finished {
			for i := range r.commits {
				r.commits[i].done(r.err)
			}
		}
	})
}

// stop returns when all that waited is committed and told of. Nothing may be
// handed to Commit any more.
func (c *committer) stop() {
	close(c.quit)
	c.wg.Wait()
}

func (c *committer) run() {
	defer close(c.finished)
	sweep := time.NewTimer(c.pace.sweepStep)
	defer sweep.Stop()
	for {
		select {
		case <-c.wake:
			c.commitAll()
		case <-sweep.C:
			sweep.Reset(c.sweepStep())
		case <-c.quit:
			c.commitAll()
			return
		}
	}
}

// commitAll commits what waits, until nothing does.
func (c *committer) commitAll() {
	for {
		c.mu.Lock()
		commits := c.waiting
		c.waiting = nil
		c.mu.Unlock()
		if len(commits) == 0 {
			return
		}
		for len(commits) > 0 {
			n := min(len(commits), batchChanges)
			c.finished <- batchResult{commits[:n], c.commit(commits[:n])}
			commits = commits[n:]
		}
	}
}

// commit makes commits durable, all or none. After a failure it does nothing
// more: what failed is in memory, and what follows may build upon it.
func (c *committer) commit(commits []commit) error {
	if c.broken != nil {
		return c.broken
	}
	for i := range commits {
		c.add(&commits[i])
	}
	began := time.Now()
	if err := c.flush(); err != nil {
		return err
	}
	c.metrics.committed(len(commits), time.Since(began))
	return nil
}

// add writes one Update into the batch.
func (c *committer) add(cm *commit) {
	for i := range cm.changes {
		ch := &cm.changes[i]
		c.high = max(c.high, ch.Version)
		switch {
		case ch.New == nil: // Removed, or Expired
			c.remove(ch.Old.ID)
		case ch.Old != nil && isRefresh(ch.Old, ch.New):
			c.value = appendRefresh(c.value[:0], ch.New)
			c.set(prefixRefresh, ch.New.ID)
		default:
			c.value = appendBinding(c.value[:0], cm.aor, ch.New)
			c.set(prefixBinding, ch.New.ID)
			// An older refresh would be applied to the new binding at load.
			c.unset(prefixRefresh, ch.New.ID)
		}
	}
}

// Writes into a batch that belongs to no index only fail if the batch was
// committed already, so their errors are defects of ours and end in broken.

func (c *committer) set(prefix byte, id usrloc.BindingID) {
	c.key = appendKey(c.key[:0], prefix, id)
	c.check(c.batch.Set(c.key, c.value, nil))
}

func (c *committer) unset(prefix byte, id usrloc.BindingID) {
	c.key = appendKey(c.key[:0], prefix, id)
	c.check(c.batch.Delete(c.key, nil))
}

func (c *committer) remove(id usrloc.BindingID) {
	c.unset(prefixBinding, id)
	c.unset(prefixRefresh, id)
}

func (c *committer) check(err error) {
	if err != nil && c.broken == nil {
		c.broken = fmt.Errorf("fill batch: %w", err)
	}
}

// flush commits the batch and makes it ready for the next one.
func (c *committer) flush() error {
	if c.high > c.written {
		c.check(c.batch.Set([]byte(keyVersion), binary.BigEndian.AppendUint64(nil, c.high), nil))
	}
	if c.broken == nil {
		c.broken = c.db.commit(c.batch)
	}
	if c.broken != nil {
		c.fail(c.broken)
		return c.broken
	}
	c.written = c.high
	if cap(c.value) > 1<<20 {
		c.value = nil
	}
	c.batch.Reset()
	return nil
}
