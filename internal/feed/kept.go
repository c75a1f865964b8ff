package feed

import (
	"context"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"reveille/internal/event"
)

// linger is how long refreshes are kept after the last subscriber who wants them
// left: it may come back for what it missed.
const linger = time.Minute

// kept are the latest events and those who read them: each has a place in the ring
// and reads on from there. Nobody is waited for; who falls behind by a whole ring is
// told so.
type kept struct {
	max int
	// refreshing counts the subscribers who want refreshes, and those who left less
	// than linger ago.
	refreshing atomic.Int64

	mu   sync.Mutex // guards the fields below
	ring []*Record
	// next is the number of the event to come; that of number n is ring[n%len].
	next uint64
	// more is closed, and replaced, when events come for subscribers or the Feed stops.
	more        chan struct{}
	subscribers int
	dropped     uint64
	stopped     bool
}

func newKept(keep, subscribers int) *kept {
	return &kept{max: subscribers, ring: make([]*Record, keep), more: make(chan struct{})}
}

// Refreshes reports whether a subscriber wants events of event.TypeRefreshed.
func (k *kept) Refreshes() bool { return k.refreshing.Load() > 0 }

// Take keeps events. Nothing holds it up.
func (k *kept) Take(rs []*Record) {
	refreshes := k.Refreshes()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range rs {
		if r.Type == event.TypeRefreshed && !refreshes {
			continue // Others want them; here they would drive out the rest.
		}
		k.ring[k.next%uint64(len(k.ring))] = r
		k.next++
	}
	if k.subscribers > 0 {
		// They alone wait for it.
		close(k.more)
		k.more = make(chan struct{})
	}
}

// first is the number of the oldest event that is kept. Call with mu held.
func (k *kept) first() uint64 {
	if n := uint64(len(k.ring)); k.next > n {
		return k.next - n
	}
	return 0
}

// after returns the number of the first event kept whose ID is greater. Call with mu
// held.
func (k *kept) after(id string) uint64 {
	first := k.first()
	return first + uint64(sort.Search(int(k.next-first), func(i int) bool {
		return k.ring[(first+uint64(i))%uint64(len(k.ring))].ID() > id
	}))
}

func (k *kept) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.stopped {
		k.stopped = true
		close(k.more)
		k.more = make(chan struct{})
	}
}

func (k *kept) count() (subscribers int, dropped uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.subscribers, k.dropped
}

// A Subscription reads events. It is for one goroutine.
type Subscription struct {
	kept    *kept
	filter  event.Filter
	next    uint64
	missing bool
	// refreshes: it counts among kept.refreshing.
	refreshes bool
	closed    bool
}

// Subscribe returns a Subscription to what filter takes: what comes from now on and,
// if after is the ID of an event, what came after that and is still kept.
func (f *Feed) Subscribe(filter event.Filter, after string) (*Subscription, error) {
	k := f.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.stopped:
		return nil, ErrStopped
	case k.subscribers >= k.max:
		return nil, ErrFull
	}
	k.subscribers++
	s := &Subscription{kept: k, filter: filter, next: k.next, refreshes: filter.Type(event.TypeRefreshed)}
	if after != "" {
		s.next = k.after(after)
		// It is missing something unless it has seen an event that is kept, and
		// refreshes if they were kept for nobody.
		s.missing = s.next == k.first() || s.refreshes && !k.Refreshes()
	}
	if s.refreshes {
		k.refreshing.Add(1)
	}
	return s, nil
}

// Missing reports whether events may have been forgotten since the one that
// Subscribe was to begin after.
func (s *Subscription) Missing() bool { return s.missing }

// maxRead bounds what Next returns at a time.
const maxRead = 256

// Next returns the next events, in order, and waits for one if there is none. Errors
// are ErrSlow, ErrStopped and that of ctx.
func (s *Subscription) Next(ctx context.Context) ([]*Record, error) {
	for {
		rs, more, err := s.read()
		if len(rs) > 0 || err != nil {
			return rs, err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *Subscription) read() (rs []*Record, more <-chan struct{}, err error) {
	k := s.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.next < k.first() {
		k.dropped++
		return nil, nil, ErrSlow
	}
	for ; s.next < k.next && len(rs) < maxRead; s.next++ {
		if r := k.ring[s.next%uint64(len(k.ring))]; s.filter.Matches(r.Type, r.AOR) {
			rs = append(rs, r)
		}
	}
	if k.stopped && len(rs) == 0 {
		return nil, nil, ErrStopped
	}
	return rs, k.more, nil
}

// Close ends the Subscription. It may be called again.
func (s *Subscription) Close() {
	if s.closed {
		return
	}
	s.closed = true
	k := s.kept
	k.mu.Lock()
	k.subscribers--
	k.mu.Unlock()
	if s.refreshes {
		time.AfterFunc(linger, func() { k.refreshing.Add(-1) })
	}
}
