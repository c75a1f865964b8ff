package proxy

import (
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
)

// Stop ends what has not come to an end by itself, for the server takes no REGISTER
// any more: waits for phones end at once and none begins, and phones that ring are
// told to stop. Their callers are answered 480. It returns before the last of the
// answers is sent and may be called again.
func (p *Proxy) Stop() {
	// A queue either runs what is posted here after it parked a branch, or parks
	// none because it sees this.
	p.stopping.Store(true)
	p.lanes.Range(func(q, l any) bool {
		q.(*transaction.Queue).Post(l.(*lane).giveUp)
		return true
	})
}

// giveUp ends the waits and the calls of one queue.
func (l *lane) giveUp() {
	for w := range l.farewells {
		if w.call == nil {
			w.finish("stopped")
		}
	}
	for _, f := range l.forks {
		f.giveUp()
	}
}

// giveUp ends the request as far as it can be ended: who was sent another request than
// INVITE cannot be told that nobody waits for the answer.
func (f *fork) giveUp() {
	if f.closed {
		return
	}
	// What is over ends by itself, but for waits. Nobody else is asked.
	calls := f.invite() && !f.over
	f.over, f.rest, f.fallbacks = true, nil, nil
	for _, b := range f.branches {
		switch {
		case b.state == parked:
			b.unpark("stopped")
			b.finish(f.unavailable("Server Is Stopping"))
		case !calls || b.state == ended:
		case b.state == answered:
			// Its 487 counts as ours; a 200 that is under way still gets to the caller.
			b.rungOut = true
			b.stop(reasonFor(480))
		default:
			if b.client != nil {
				b.client.Abandon()
			}
			b.finish(f.unavailable("Server Is Stopping"))
		}
	}
	f.conclude()
}

// CallsForHelp reports whether m is an emergency call.
func (p *Proxy) CallsForHelp(m *sipmsg.Message) bool { return p.isEmergency(m.RequestURI()) }
