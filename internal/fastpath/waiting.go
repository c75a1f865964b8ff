package fastpath

import (
	"sync/atomic"

	"reveille/flow"
)

// A waiting is an answer that must not leave before its binding is durable. It
// is complete when the reader has written it and the Store has settled the
// change; whichever of the two comes last posts it. There are as many at a time
// as the Store lets changes wait.
type waiting struct {
	path   *Path
	flow   flow.Flow
	answer []byte
	err    error        // why the change is not durable
	met    atomic.Int32 // how many of the two have come
}

// keep takes the answer to a request that arrived on f, and copies it.
func (w *waiting) keep(f flow.Flow, answer []byte) {
	w.flow, w.answer = f, append(w.answer[:0], answer...)
	w.meet()
}

// Settled implements usrloc.Waiter. It may come before keep.
func (w *waiting) Settled(err error) {
	w.err = err
	w.meet()
}

func (w *waiting) meet() {
	if w.met.Add(1) < 2 {
		return
	}
	p := w.path
	if wire := p.o.Registrar.Settled(w.flow, w.answer, w.err); len(wire) > 0 {
		_ = p.o.Post(w.flow, wire) // It is asked for again.
	}
	p.o.Layer.End()
	w.err = nil
	w.met.Store(0)
	p.waiting.Put(w)
}
