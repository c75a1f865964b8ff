package transaction

import (
	"sync"

	"reveille/flow"
)

// A flowIndex finds the client transactions of a connection, so that its end
// costs no more than they are. Datagram flows never end and are not indexed.
// The lists are changed and walked on the queue alone; mu guards the map, which
// FlowClosed reads from elsewhere.
type flowIndex struct {
	mu    sync.Mutex
	first map[flow.Flow]*Client
}

// has reports whether f has client transactions.
func (x *flowIndex) has(f flow.Flow) bool { return x.head(f) != nil }

func (x *flowIndex) head(f flow.Flow) *Client {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.first[f]
}

// add must precede the first Send of c: a connection that ends after that Send
// finds c here, and one that ended before makes Send fail.
func (x *flowIndex) add(c *Client) {
	if !c.f.Stream() {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	c.next = x.first[c.f]
	if c.next != nil {
		c.next.prev = c
	}
	x.first[c.f] = c
}

func (x *flowIndex) remove(c *Client) {
	if !c.f.Stream() {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if c.next != nil {
		c.next.prev = c.prev
	}
	switch {
	case c.prev != nil:
		c.prev.next = c.next
	case c.next != nil:
		x.first[c.f] = c.next
	default:
		delete(x.first, c.f)
	}
	c.next, c.prev = nil, nil
}
