package feed

import "reveille/internal/event"

// A Taker gets every event after another.
type Taker interface {
	// Name is the Taker's in metrics, another for each of a Feed.
	Name() string
	// Take gets events in their order, from one goroutine. It may wait; events beyond
	// the bound of its queue are lost to it then.
	Take(rs []*Record)
	// Refreshes reports whether it wants events of event.TypeRefreshed. It is asked
	// for every refresh of every phone.
	Refreshes() bool
}

// toAll is the name in metrics for what reaches no Taker and no subscriber.
const toAll = "all"

// maxBatch bounds what a Taker gets at a time.
const maxBatch = 512

// A follower brings a Taker its events.
type follower struct {
	Taker
	queue chan *Record
}

// offer queues events, without waiting, and returns how many found no room.
func (f *follower) offer(rs []*Record) (lost int) {
	refreshes := f.Refreshes()
	for _, r := range rs {
		if r.Type == event.TypeRefreshed && !refreshes {
			continue // Others want them; here they would take the room of the rest.
		}
		select {
		case f.queue <- r:
		default:
			lost++
		}
	}
	return lost
}

// run ends when the queue is closed and empty.
func (f *follower) run() {
	for r := range f.queue {
		rs := append(make([]*Record, 0, min(len(f.queue)+1, maxBatch)), r)
		for len(rs) < cap(rs) {
			rs = append(rs, <-f.queue) // Nobody else takes from it.
		}
		f.Take(rs)
	}
}
