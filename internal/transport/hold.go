package transport

import (
	"slices"
	"time"

	"reveille/flow"
)

// maxHolders bounds whose times are kept apart for one connection. A phone has one
// or a few; a proxy with more bindings than that behind it is never silent.
const maxHolders = 16

// A Holder is who wants a connection to live: the ID of a binding.
type Holder [16]byte

// A hold is one holder's wish.
type hold struct {
	by    Holder
	until time.Duration // after conn.born
}

// Hold lets the connection of f live until then although its peer says nothing:
// IdleTimeout does not end it before. It is for peers that others want to reach by
// this connection alone; that one is gone is noticed by KeepAlive and
// UserTimeout. Each holder's last word counts, and of all holders the latest time;
// the zero time, or one that is past, ends a hold. A flow that is no connection or
// has ended changes nothing.
func (t *Transport) Hold(f flow.Flow, by Holder, until time.Time) {
	if !f.Stream() {
		return
	}
	if c := t.conn(f); c != nil {
		c.hold(by, until, time.Now())
	}
}

// hold notes what a holder wants.
func (c *conn) hold(by Holder, until, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, passed := until.Sub(c.born), now.Sub(c.born)
	i := slices.IndexFunc(c.holds, func(h hold) bool { return h.by == by })
	switch {
	case i >= 0:
		c.holds[i].until = at
	case at <= passed:
		return
	case len(c.holds) < maxHolders:
		c.holds = append(c.holds, hold{by, at})
	default:
		c.others = max(c.others, at)
	}
	c.holds = slices.DeleteFunc(c.holds, func(h hold) bool { return h.until <= passed })
	end := c.others
	for _, h := range c.holds {
		end = max(end, h.until)
	}
	shorter := end < time.Duration(c.held.Load())
	c.held.Store(int64(end))
	if shorter && !c.closed {
		// The reader waits for what it thought was the end. A connection whose
		// socket does not know deadlines has closed; then the reader knows.
		_ = c.nc.SetReadDeadline(now)
	}
}
