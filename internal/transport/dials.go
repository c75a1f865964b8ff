package transport

import (
	"sync"

	"reveille/flow"
)

// dials holds who waits for which connection to be made.
type dials struct {
	mu      sync.Mutex // guards pending; taken before that of conns
	pending map[peer][]func(flow.Flow, error)
}

// finish tells all who wait for p, in the order in which they asked.
func (d *dials) finish(p peer, f flow.Flow, err error) {
	d.mu.Lock()
	waiting := d.pending[p]
	delete(d.pending, p)
	d.mu.Unlock()
	for _, done := range waiting {
		done(f, err)
	}
}
