package transport

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
)

// listenerSet is the listeners of a Transport. It is immutable.
type listenerSet struct {
	list   []*listener // in configured order
	byName map[string]*listener
}

// with returns the set with more listeners at its end.
func (s *listenerSet) with(more []*listener) *listenerSet {
	next := &listenerSet{byName: make(map[string]*listener, len(s.list)+len(more))}
	next.list = append(append(next.list, s.list...), more...)
	for _, l := range next.list {
		next.byName[l.Name] = l
	}
	return next
}

// listeners returns all listeners, in configured order.
func (t *Transport) listeners() []*listener { return t.set.Load().list }

// named returns a listener, nil if there is none of that name.
func (t *Transport) named(name string) *listener { return t.set.Load().byName[name] }

// An Addition is listeners that are bound and not yet part of a Transport.
type Addition struct {
	t         *Transport
	options   []ListenerOptions
	listeners []*listener
}

// Bind binds further listeners, all or none. Nothing is read from them before
// Start; Close gives them up.
func (t *Transport) Bind(more []ListenerOptions) (*Addition, error) {
	t.mu.Lock()
	o, first := t.opts, len(t.opts.Listeners)
	t.mu.Unlock()
	o.Listeners = append(append([]ListenerOptions(nil), o.Listeners...), more...)
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	a := &Addition{t: t, options: o.Listeners}
	for i, lo := range o.Listeners[first:] {
		l, err := t.bind(lo, first+i)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listener %q: %w", lo.Name, err), a.Close())
		}
		a.listeners = append(a.listeners, l)
	}
	return a, nil
}

// Start makes the listeners part of the Transport, which begins to read and accept
// if it does so on the others, and closes them if it was stopped. There may be one
// Addition at a time.
func (a *Addition) Start() {
	t := a.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		t.endAll(a.listeners, (*listener).close)
		return
	}
	t.opts.Listeners = a.options
	t.set.Store(t.set.Load().with(a.listeners))
	if t.started {
		for _, l := range a.listeners {
			t.begin(l)
		}
	}
}

// Close closes listeners that were not started.
func (a *Addition) Close() error {
	var errs []error
	for _, l := range a.listeners {
		if err := l.close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// begin reads from a listener.
func (t *Transport) begin(l *listener) {
	t.log.Info("listening", slog.String("listener", l.Name), slog.String("transport", l.Transport.String()), slog.String("addr", l.Addr.String()))
	l.start()
}
