package usrloctest

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"reveille/usrloc"
)

// A LateCommitter is a usrloc.Committer that answers a little later, several
// commits at a time and in any order. It keeps nothing. It can be used in a
// bubble.
type LateCommitter struct {
	mu      sync.Mutex // guards what follows
	rand    *rand.Rand
	waiting []func(error)
	armed   bool
}

var _ usrloc.Committer = (*LateCommitter)(nil)

// NewLateCommitter returns a LateCommitter whose order follows from seed.
func NewLateCommitter(seed uint64) *LateCommitter {
	return &LateCommitter{rand: rand.New(rand.NewPCG(seed, 1))}
}

// Commit implements usrloc.Committer.
func (c *LateCommitter) Commit(_ usrloc.AOR, _ []usrloc.Change, done func(error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, done)
	c.arm()
}

// arm sets the timer of the next batch. The caller holds the lock.
func (c *LateCommitter) arm() {
	if !c.armed && len(c.waiting) > 0 {
		c.armed = true
		time.AfterFunc(time.Duration(c.rand.IntN(int(2*time.Millisecond))), c.flush)
	}
}

// flush answers a random part of what waits, in random order.
func (c *LateCommitter) flush() {
	c.mu.Lock()
	w := c.waiting
	c.rand.Shuffle(len(w), func(i, j int) { w[i], w[j] = w[j], w[i] })
	n := 1 + c.rand.IntN(len(w))
	batch := slices.Clone(w[:n])
	c.waiting = slices.Clone(w[n:])
	c.armed = false
	c.arm()
	c.mu.Unlock()
	for _, done := range batch {
		done(nil)
	}
}
