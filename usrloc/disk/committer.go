package disk

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"reveille/usrloc"
)

// A committer is the only writer of the database. It commits what has gathered
// in one batch with one sync; another goroutine tells who waits meanwhile, so
// that the next batch is under way.
//
// How much waits is bounded by usrloc.MemoryOptions.MaxPending.
type committer struct {
	db      *database
	metrics *metrics
	space   *space
	fail    func(error)
	pace    pace
	sweep   sweeper

	mu      sync.Mutex // guards what follows
	waiting *gathering
	spare   []*gathering  // empty ones
	wake    chan struct{} // something waits; room for one

	finished chan *gathering // to the goroutine that tells
	quit     chan struct{}
	wg       sync.WaitGroup

	// The rest belongs to the committing goroutine.
	batch   *pebble.Batch
	filled  int    // how many changes the batch holds
	high    uint64 // the greatest Version committed
	written uint64 // the one that the database has
	key     []byte
	value   []byte
	broken  error // set by the first failure; nothing is committed any more
}

var (
	_ usrloc.Admitter         = (*committer)(nil)
	_ usrloc.RefreshCommitter = (*committer)(nil)
)

// batchChanges bounds how many changes one batch holds, and so the memory of a
// batch: about 3 MB of bindings.
const batchChanges = 4096

func newCommitter(db *database, high uint64, p pace, sp *space, m *metrics, fail func(error)) *committer {
	return &committer{
		db: db, metrics: m, space: sp, fail: fail, pace: p,
		waiting:  new(gathering),
		wake:     make(chan struct{}, 1),
		finished: make(chan *gathering, 1),
		quit:     make(chan struct{}),
		batch:    db.NewBatch(),
		high:     high, written: high,
	}
}

// Admit implements usrloc.Admitter.
func (c *committer) Admit(_ usrloc.AOR, changes []usrloc.Change) error { return c.space.admit(changes) }

// AdmitRefresh implements usrloc.RefreshCommitter. The Update that is made
// instead of the Touch says why not.
func (c *committer) AdmitRefresh() bool { return !c.space.low.Load() }

// Commit implements usrloc.Committer.
func (c *committer) Commit(aor usrloc.AOR, changes []usrloc.Change, done func(error)) {
	c.mu.Lock()
	first := c.waiting.empty()
	c.waiting.commits = append(c.waiting.commits, commit{aor, changes, done})
	c.mu.Unlock()
	c.rouse(first)
}

// CommitRefresh implements usrloc.RefreshCommitter.
func (c *committer) CommitRefresh(r usrloc.Refresh) {
	var room [256]byte // for most
	prefix, value := byte(prefixRefresh), room[:0]
	if r.Agent {
		prefix, value = prefixBinding, appendBinding(value, r.AOR, r.Binding)
	} else {
		value = appendRefresh(value, r.Binding)
	}
	c.mu.Lock()
	first := c.waiting.empty()
	c.waiting.refresh(&r, prefix, value)
	c.mu.Unlock()
	c.rouse(first)
}

// rouse wakes the committing goroutine for the first that waits.
func (c *committer) rouse(first bool) {
	if !first {
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// start starts the two goroutines; stop ends them.
func (c *committer) start() {
	c.wg.Go(c.run)
	c.wg.Go(func() {
		for g := range c.finished {
			g.tell()
			c.recycle(g)
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
		g := c.gathered()
		if g == nil {
			return
		}
		g.err = c.commit(g)
		c.finished <- g
	}
}

// gathered takes over what waits, nil if nothing does.
func (c *committer) gathered() *gathering {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.waiting
	if g.empty() {
		return nil
	}
	if n := len(c.spare); n > 0 {
		c.waiting, c.spare = c.spare[n-1], c.spare[:n-1]
	} else {
		c.waiting = new(gathering)
	}
	return g
}

// recycle takes back what has been told. There are five at most: one that waits,
// one in the channel, and one with each goroutine and with the sender.
func (c *committer) recycle(g *gathering) {
	if !g.reset() {
		return
	}
	c.mu.Lock()
	c.spare = append(c.spare, g)
	c.mu.Unlock()
}

// commit makes what g holds durable. After a failure it does nothing more: what
// failed is in memory, and what follows may build upon it.
func (c *committer) commit(g *gathering) error {
	c.high = max(c.high, g.version)
	g.sort()
	for i, n := 0, len(g.refreshes); i < n && c.broken == nil; i++ {
		if i+1 < n && g.refreshes[i+1].id == g.refreshes[i].id && g.refreshes[i].prefix == prefixRefresh {
			continue // the next one says all that it does
		}
		c.addRefresh(&g.refreshes[i], g.values)
	}
	for i := 0; i < len(g.commits) && c.broken == nil; i++ {
		c.add(&g.commits[i])
	}
	if c.flush() == nil {
		c.metrics.updates.Add(float64(g.size()))
	}
	return c.broken
}

// addRefresh writes one Touch into the batch.
func (c *committer) addRefresh(r *refresh, values []byte) {
	value := values[r.start:r.end]
	op := c.batch.SetDeferred(1+idSize, len(value))
	op.Key[0] = r.prefix
	copy(op.Key[1:], r.id[:])
	copy(op.Value, value)
	c.check(op.Finish())
	if r.prefix == prefixBinding {
		c.unset(prefixRefresh, r.id)
	}
	c.count()
}

// count counts a change in the batch and commits it when it is full.
func (c *committer) count() {
	if c.filled++; c.filled >= batchChanges {
		c.flush() //nolint:errcheck // it is in broken
	}
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
	c.count()
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

// flush commits the batch, if there is anything in it, and makes it ready for the
// next one.
func (c *committer) flush() error {
	if c.broken == nil && c.batch.Empty() {
		return nil
	}
	if c.broken == nil && c.high > c.written { // a batch that failed takes nothing
		c.check(c.batch.Set([]byte(keyVersion), binary.BigEndian.AppendUint64(nil, c.high), nil))
	}
	began := time.Now()
	if c.broken == nil {
		c.broken = c.db.commit(c.batch)
	}
	if c.broken != nil {
		c.fail(c.broken)
		return c.broken
	}
	c.metrics.committed(time.Since(began))
	c.written, c.filled = c.high, 0
	if cap(c.value) > 1<<20 {
		c.value = nil
	}
	c.batch.Reset()
	return nil
}
