package proxy

import "reveille/internal/transaction"

// Stop ends all waits for phones, and lets no request wait from now on: the
// server takes no REGISTER any more, so that nobody could come back, and a caller
// is better told at once. Calls that ring go on. It returns before the last of
// the answers is sent and may be called again.
func (p *Proxy) Stop() {
	// A queue either runs what is posted here after it parked a branch, or parks
	// none because it sees this.
	p.stopping.Store(true)
	p.lanes.Range(func(q, l any) bool {
		q.(*transaction.Queue).Post(l.(*lane).giveUp)
		return true
	})
}

// giveUp ends the waits of one queue.
func (l *lane) giveUp() {
	for w := range l.farewells {
		if w.call == nil {
			w.finish("stopped")
		}
	}
	for _, f := range l.forks {
		parkedOne := false
		for _, b := range f.branches {
			if b.state == parked {
				parkedOne = true
				b.unpark("stopped")
				b.finish(f.unavailable("Server Is Stopping"))
			}
		}
		if parkedOne {
			f.conclude()
		}
	}
}
