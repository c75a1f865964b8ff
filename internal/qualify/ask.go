package qualify

import (
	"errors"
	"strconv"
	"time"

	"reveille/flow"
	"reveille/internal/probe"
	"reveille/internal/transaction"
	"reveille/usrloc"
)

// A question is one that is not answered yet. Two are never equal, for they have an
// identity of their own.
type question struct{ giveUp func() }

// ask sends OPTIONS to the device of b.
func (q *Qualifier) ask(b *usrloc.Binding, to flow.Flow, uri string) {
	id, x := b.ID, new(question)
	q.mu.Lock()
	defer q.mu.Unlock()
	// The answer comes on a queue, and waits there until x is in the table.
	x.giveUp = q.prober.Ask(to, uri, b.Path, q.o.Timeout, func(a probe.Answer) {
		q.heard(id, a)
		q.mu.Lock()
		defer q.mu.Unlock()
		delete(q.pending, x)
	})
	q.pending[x] = struct{}{}
}

// heard takes an answer. A device that was silent is not asked again before the next
// walk.
func (q *Qualifier) heard(id usrloc.BindingID, a probe.Answer) {
	if !a.Sent.IsZero() {
		q.metrics.sent.Inc()
	}
	r := result{silent: true}
	switch {
	case errors.Is(a.Err, probe.ErrGivenUp):
		return
	case errors.Is(a.Err, transaction.ErrTooMany):
		// That says nothing of the phone.
		q.metrics.results.WithLabelValues("failed").Inc()
		return
	case errors.Is(a.Err, transaction.ErrTimeout):
		q.metrics.results.WithLabelValues("timeout").Inc()
	case a.Err != nil:
		q.metrics.results.WithLabelValues("failed").Inc()
	default:
		q.metrics.results.WithLabelValues(strconv.Itoa(a.Code/100) + "xx").Inc()
		q.metrics.roundTrip.Observe(a.Took.Seconds())
		r = q.result(a.Code, a.Took)
	}
	r.walk = uint16(q.walks.Load()) //nolint:gosec // It is one.
	if !q.table.put(id, r) {
		q.metrics.overflows.Inc()
	}
}

// result is what an answer says of the phone.
func (q *Qualifier) result(code int, took time.Duration) result {
	silent := q.o.Only2xx && code >= 300
	// A proxy on the way says that it has no flow to the phone (RFC 5626 §5.3.1),
	// or heard nothing of it. The phone itself has no reason to say so.
	silent = silent || code == 430 || code == 408
	return result{micros: micros(took), silent: silent}
}
