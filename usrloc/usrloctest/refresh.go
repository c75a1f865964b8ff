package usrloctest

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"reveille/usrloc"
)

// A LateRefreshCommitter is a usrloc.RefreshCommitter that answers a little
// later, several commits at a time: those of one AOR in the order in which they
// came, different AORs in any order. It keeps nothing. It can be used in a
// bubble.
type LateRefreshCommitter struct {
	mu      sync.Mutex // guards what follows
	rand    *rand.Rand
	waiting map[usrloc.AOR][]func(error)
	armed   bool
}

var _ usrloc.RefreshCommitter = (*LateRefreshCommitter)(nil)

// NewLateRefreshCommitter returns a LateRefreshCommitter whose order follows
// from seed.
func NewLateRefreshCommitter(seed uint64) *LateRefreshCommitter {
	return &LateRefreshCommitter{rand: rand.New(rand.NewPCG(seed, 2)), waiting: make(map[usrloc.AOR][]func(error))}
}

// Commit implements usrloc.Committer.
func (c *LateRefreshCommitter) Commit(aor usrloc.AOR, _ []usrloc.Change, done func(error)) {
	c.add(aor, done)
}

// AdmitRefresh implements usrloc.RefreshCommitter.
func (c *LateRefreshCommitter) AdmitRefresh() bool { return true }

// CommitRefresh implements usrloc.RefreshCommitter.
func (c *LateRefreshCommitter) CommitRefresh(r usrloc.Refresh) {
	pending := []usrloc.Pending{r.Pending}
	c.add(usrloc.AOR(append([]byte(nil), r.AOR...)), func(err error) { usrloc.Settle(pending, err) })
}

func (c *LateRefreshCommitter) add(aor usrloc.AOR, done func(error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting[aor] = append(c.waiting[aor], done)
	c.arm()
}

// arm sets the timer of the next batch. The caller holds the lock.
func (c *LateRefreshCommitter) arm() {
	if !c.armed && len(c.waiting) > 0 {
		c.armed = true
		time.AfterFunc(time.Duration(c.rand.IntN(int(2*time.Millisecond))), c.flush)
	}
}

// flush answers the first few commits of some AORs.
func (c *LateRefreshCommitter) flush() {
	c.mu.Lock()
	aors := make([]usrloc.AOR, 0, len(c.waiting))
	for aor := range c.waiting {
		aors = append(aors, aor)
	}
	slices.Sort(aors) // the order of a map does not follow from the seed
	c.rand.Shuffle(len(aors), func(i, j int) { aors[i], aors[j] = aors[j], aors[i] })
	var batch []func(error)
	for _, aor := range aors[:1+c.rand.IntN(len(aors))] {
		w := c.waiting[aor]
		n := 1 + c.rand.IntN(len(w))
		batch = append(batch, w[:n]...)
		if c.waiting[aor] = w[n:]; n == len(w) {
			delete(c.waiting, aor)
		}
	}
	c.mu.Unlock()
	for _, done := range batch {
		done(nil)
	}
	// Only now: a second flush must not tell of an AOR beside this one.
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = false
	c.arm()
}
