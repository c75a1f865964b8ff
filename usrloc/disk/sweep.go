package disk

import (
	"time"
)

// A sweeper deletes what has expired from the database, a few records at a
// time. Expiry itself writes nothing: RetainUntil says the same, and such
// records are not loaded. It runs in the committer, between two batches, so no
// device can return between its look and its deletion.
type sweeper struct {
	next int // the partition to go on with
}

// sweepPartitions is how many partitions one step looks at: some 250 records of
// a million, a fraction of a millisecond.
const sweepPartitions = 16

// sweepStep makes one step and returns when the next is due. What a sweep
// cannot read is left to the next start, which refuses it by name.
func (c *committer) sweepStep() time.Duration {
	if c.broken != nil {
		return c.pace.sweepEvery
	}
	from := c.sweep.next
	c.sweep.next = (from + sweepPartitions) % (1 << 16)
	swept, err := c.sweepRange(from, from+sweepPartitions)
	if err != nil {
		c.metrics.backgroundErrors.Inc()
		c.db.logger.Error("sweep of expired bindings stopped", "dir", c.db.dir, "err", err)
		c.sweep.next = 0
		return c.pace.sweepEvery
	}
	c.metrics.swept.Add(float64(swept))
	if c.sweep.next == 0 {
		return c.pace.sweepEvery
	}
	return c.pace.sweepStep
}

// sweepRange deletes the expired bindings of some partitions.
func (c *committer) sweepRange(from, to int) (swept int, err error) {
	sc, err := c.db.scan(from, to)
	if err != nil {
		return 0, err
	}
	now := time.Now()
	for sc.next() {
		if !now.Before(sc.binding.RetainUntil) {
			c.remove(sc.binding.ID)
			swept++
		}
	}
	if err := sc.close(); err != nil {
		c.batch.Reset()
		return 0, err
	}
	if swept == 0 {
		return 0, nil
	}
	return swept, c.flush()
}
