package proxy

import (
	"reveille/internal/transaction"
	"reveille/usrloc"
)

// A turn is what one request that watches a user does about a registration, on the
// queue of that request.
type turn struct {
	queue *transaction.Queue
	do    func()
}

// inTurn has t done when those before it are: what waited for a phone reaches it in
// the order of arrival, though the requests live on queues of their own. l is the
// lane of q, the queue of the REGISTER, on which this must be called.
func (l *lane) inTurn(q *transaction.Queue, aor usrloc.AOR, t turn) {
	l.turns[aor] = append(l.turns[aor], t)
	if len(l.turns[aor]) == 1 {
		l.nextTurn(q, aor)
	}
}

// nextTurn begins the first turn that waits. As many wait as watches were told, which
// the Store bounds.
func (l *lane) nextTurn(q *transaction.Queue, aor usrloc.AOR) {
	t := l.turns[aor][0]
	t.queue.Post(func() {
		// A request whose handler breaks down must not hold the others.
		defer q.Post(func() {
			if l.turns[aor] = l.turns[aor][1:]; len(l.turns[aor]) > 0 {
				l.nextTurn(q, aor)
				return
			}
			delete(l.turns, aor)
		})
		t.do()
	})
}
