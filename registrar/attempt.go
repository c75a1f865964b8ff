package registrar

import (
	"sync"

	"reveille/usrloc"
)

// An attempt is one push whose outcome is awaited. It ends once: by the
// outcome, by what happens to the binding, or with the Refresher; then what was
// started for it is stopped.
type attempt struct {
	refresher *Refresher
	id        usrloc.BindingID

	mu    sync.Mutex // guards the fields below; never held while anything is called
	ended bool
	stop  []func()
}

// begin returns a new attempt, or nil if there are too many.
func (r *Refresher) begin(id usrloc.BindingID) *attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.live) >= r.o.Pending {
		return nil
	}
	a := &attempt{refresher: r, id: id}
	r.live[a] = struct{}{}
	return a
}

// onEnd has fn called at the end, or now if that was before.
func (a *attempt) onEnd(fn func()) {
	a.mu.Lock()
	ended := a.ended
	if !ended {
		a.stop = append(a.stop, fn)
	}
	a.mu.Unlock()
	if ended {
		fn()
	}
}

// end may be called more than once, from any goroutine.
func (a *attempt) end() {
	a.mu.Lock()
	stop := a.stop
	a.stop, a.ended = nil, true
	a.mu.Unlock()
	for _, fn := range stop {
		fn()
	}
	a.refresher.mu.Lock()
	delete(a.refresher.live, a)
	a.refresher.mu.Unlock()
}

// changed ends the attempt when the binding is gone or its device has
// registered.
func (a *attempt) changed(c usrloc.Change) {
	if c.Old != nil && c.Old.ID == a.id {
		a.end()
	}
}

// cancelAll ends all attempts.
func (r *Refresher) cancelAll() {
	r.mu.Lock()
	all := make([]*attempt, 0, len(r.live))
	for a := range r.live {
		all = append(all, a)
	}
	r.mu.Unlock()
	for _, a := range all {
		a.end()
	}
}
