package transport

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"

	"reveille/flow"
)

// serve accepts connections until Stop closes the listener. It waits for no
// client: whatever a connection needs happens on its own goroutine.
func (l *listener) serve() {
	failures := backoff{}
	for {
		nc, err := l.accept.Accept()
		switch {
		case err == nil:
			failures.reset()
			l.admit(nc)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			// Out of file descriptors: connections that end will free some.
			l.metrics.acceptErrors.Inc()
			if failures.first() {
				l.t.log.Warn("accept connection", slog.String("listener", l.Name), slog.Any("err", err))
			}
			if !l.t.pause(failures.next()) {
				return
			}
		}
	}
}

// admit starts an accepted connection, or closes it at once if its source or
// the listener has too many.
func (l *listener) admit(nc net.Conn) {
	remote := addrPort(nc.RemoteAddr())
	c := newConn(l, nc, remote)
	c.source = sourceOf(remote.Addr())
	if refused, ok := l.t.conns.add(c); !ok {
		l.metrics.refused(refused).Inc()
		c.abandon(nc)
		return
	}
	l.metrics.accepted.Inc()
	if !l.t.spawn(c.run) {
		l.t.conns.remove(c)
		c.abandon(nc)
	}
}

// Connect finds the flow on which remote can be sent to by tp, and calls done
// with it once, from any goroutine and possibly before Connect returns. A UDP
// flow needs nothing. An open connection to remote is shared; else one is
// dialled in the background, and all who ask for it meanwhile wait for it.
// done must not block: the connection is read only after it.
func (t *Transport) Connect(tp flow.Transport, remote netip.AddrPort, done func(flow.Flow, error)) {
	remote = unmap(remote)
	l := t.choose(tp, remote.Addr())
	switch {
	case l == nil || remote.Port() == 0:
		done(flow.Flow{}, ErrNoListener)
		return
	case !tp.Stream():
		done(l.flow(remote), nil)
		return
	}
	p := peer{tp, remote}
	t.dials.mu.Lock()
	if c := t.conns.find(p); c != nil {
		t.dials.mu.Unlock()
		done(c.flow, nil)
		return
	}
	waiting, dialling := t.dials.pending[p]
	if !dialling && len(t.dials.pending) >= t.opts.MaxDials || len(waiting) >= t.opts.MaxDials {
		t.dials.mu.Unlock()
		l.metrics.dialBusy.Inc()
		done(flow.Flow{}, ErrBusy)
		return
	}
	t.dials.pending[p] = append(waiting, done)
	t.dials.mu.Unlock()
	if !dialling && !t.spawn(func() { t.dial(l, p) }) {
		t.dials.finish(p, flow.Flow{}, ErrStopped)
	}
}

// dial connects to p on behalf of l, tells all who wait, and then reads the
// connection until it ends.
func (t *Transport) dial(l *listener, p peer) {
	c, err := t.open(l, p)
	if err != nil {
		l.metrics.dialFailed.Inc()
		t.dials.finish(p, flow.Flow{}, err)
		return
	}
	l.metrics.dialled.Inc()
	t.dials.finish(p, c.flow, nil)
	c.run()
}

func (t *Transport) open(l *listener, p peer) (*conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, t.opts.DialTimeout)
	defer cancel()
	network := familyNetwork("tcp", p.remote.Addr())
	nc, err := t.opts.Network.DialContext(ctx, network, l.dialFrom(), p.remote.String())
	if err != nil {
		return nil, err
	}
	c := newConn(l, nc, p.remote)
	if refused, ok := t.conns.add(c); !ok {
		l.metrics.refused(refused).Inc()
		c.abandon(nc)
		return nil, ErrBusy
	}
	if t.ctx.Err() != nil {
		// Stop may have looked through the connections before this one entered.
		c.close(ErrStopped)
	}
	return c, nil
}
