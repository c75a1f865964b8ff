package timeline

import (
	"context"
	"time"

	"reveille/internal/event"
)

// Bounds of what is to be explained.
const (
	// settle is how long after its end a request is explained: the push service's answer
	// and a phone that came a moment too late are known then.
	settle = 5 * time.Second
	// maxUnexplained bounds the requests that wait for that.
	maxUnexplained = 4096
)

// justEnded is a request that is to be explained.
type justEnded struct {
	callID string
	number uint64
	at     time.Time
}

// over reports, once, that a request which met a sleeping phone has ended. Call with the
// shard's mu held.
func (r *record) over() bool {
	if r.told || !r.Asleep || r.State != StateEnded {
		return false
	}
	r.told = true
	return true
}

// explainLater notes a request for Explain. It does not wait, and holds no lock.
func (t *Timeline) explainLater(e *event.Call, now time.Time) {
	select {
	case t.ended <- justEnded{e.CallID, e.Request, now}:
	default:
		t.metrics.unexplained.Inc()
	}
}

// Explain tells sink of each request that met a sleeping phone, some seconds after it
// has ended, until ctx ends; then of those that wait for that at once. A Record that had
// to make room meanwhile is not told of. sink may be one that hands events to t.
func (t *Timeline) Explain(ctx context.Context, sink event.Sink) {
	for {
		select {
		case <-ctx.Done():
			t.explainAll(sink)
			return
		case x := <-t.ended:
			wait := time.NewTimer(time.Until(x.at.Add(settle)))
			select {
			case <-ctx.Done():
				wait.Stop()
			case <-wait.C:
			}
			t.explain(x, sink)
		}
	}
}

// explainAll explains what waits.
func (t *Timeline) explainAll(sink event.Sink) {
	for {
		select {
		case x := <-t.ended:
			t.explain(x, sink)
		default:
			return
		}
	}
}

func (t *Timeline) explain(x justEnded, sink event.Sink) {
	s := t.shard(x.callID)
	s.mu.Lock()
	r := s.byNumber[x.number]
	if r == nil {
		s.mu.Unlock()
		t.metrics.unexplained.Inc()
		return
	}
	rec := r.show()
	s.mu.Unlock()
	sink.Emit(explained(&rec))
}

// explained is the event that tells of a Record.
func explained(r *Record) event.Explained {
	e := event.Explained{
		ID: r.ID, AOR: r.AOR, CallID: r.CallID, Method: r.Method, From: r.From, To: r.To, Outcome: r.Outcome, Status: r.Status, Reason: r.Reason,
		Code: r.Verdict.Code, Said: r.Verdict.Said, Do: r.Verdict.Do, Began: r.Began, Took: r.Ended.Sub(r.Began),
	}
	if d := foremost(r); d != nil {
		e.Binding, e.Provider, e.Late = d.Binding, d.Provider, d.Late
		e.Pushed, e.Woke = since(r.Began, d.Asked), since(r.Began, d.Woke)
	}
	return e
}

// foremost is the phone that tells most: that which took the request, else one that
// came, else one that was to come; nil if there is none.
func foremost(r *Record) (best *Device) {
	rank := -1
	for i := range r.Devices {
		d, n := &r.Devices[i], 0
		switch {
		case d.Answer/100 == 2:
			n = 3
		case !d.Woke.IsZero():
			n = 2
		case !d.Asked.IsZero():
			n = 1
		}
		if n > rank {
			best, rank = d, n
		}
	}
	return best
}

// since is the time from began to at, 0 if that never came.
func since(began, at time.Time) time.Duration {
	if at.IsZero() {
		return 0
	}
	return at.Sub(began)
}
