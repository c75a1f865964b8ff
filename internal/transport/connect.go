package transport

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"reveille/flow"
)

// dials holds who waits for which connection to be made.
type dials struct {
	mu      sync.Mutex // guards pending; taken before that of conns
	pending map[peer][]func(flow.Flow, error)
}

// finish tells all who wait for p, in the order in which they asked.
func (d *dials) finish(p peer, f flow.Flow, err error) {
	d.mu.Lock()
	waiting := d.pending[p]
	delete(d.pending, p)
	d.mu.Unlock()
	for _, done := range waiting {
		done(f, err)
	}
}

// Connect finds the flow on which remote can be sent to by tp, and calls done
// with it once, from any goroutine and possibly before Connect returns. A UDP
// flow needs nothing. An open connection to remote is shared; else one is
// dialled in the background, and all who ask for it meanwhile wait for it.
// done must not block: the connection is read only after it.
//
// By TLS the peer must show a certificate for its address; ConnectTo is for
// peers that have a name. Nobody can be connected to by WebSocket (RFC 7118 §5).
func (t *Transport) Connect(tp flow.Transport, remote netip.AddrPort, done func(flow.Flow, error)) {
	t.ConnectTo(tp, "", remote, done)
}

// ConnectTo is Connect for a peer whose address was found by name, the domain or
// host of a URI before any DNS query: by TLS, its certificate must be for that
// (RFC 5922 §7.3).
func (t *Transport) ConnectTo(tp flow.Transport, name string, remote netip.AddrPort, done func(flow.Flow, error)) {
	remote = unmap(remote)
	l := t.choose(tp, remote.Addr())
	switch {
	case l == nil || remote.Port() == 0 || tp == flow.WS || tp == flow.WSS:
		done(flow.Flow{}, ErrNoListener)
		return
	case !tp.Stream():
		done(l.flow(remote), nil)
		return
	}
	p := peer{transport: tp, remote: remote}
	if tp.Secure() {
		_, p.name = parseHost(name) // An address is the default anyway.
	}
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
	c, err := t.dialPeer(l, p)
	if err != nil {
		l.metrics.dialFailed.Inc()
		t.dials.finish(p, flow.Flow{}, err)
		return
	}
	l.metrics.dialled.Inc()
	t.dials.finish(p, c.flow, nil)
	c.run()
}

func (t *Transport) dialPeer(l *listener, p peer) (*conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, t.opts.DialTimeout)
	defer cancel()
	began := time.Now()
	network := familyNetwork("tcp", p.remote.Addr())
	nc, err := t.opts.Network.DialContext(ctx, network, l.dialFrom(), p.remote.String())
	if err != nil {
		return nil, err
	}
	c := newConn(l, nc, nc, p.remote, began)
	c.dialled, c.name = true, p.name
	if err := c.handshake(ctx); err != nil {
		t.abandon(nc)
		return nil, err
	}
	if refused, ok := t.conns.add(c); !ok {
		l.metrics.refused(refused).Inc()
		t.abandon(nc)
		return nil, ErrBusy
	}
	t.conns.ready(c)
	if t.ctx.Err() != nil {
		// Stop may have looked through the connections before this one entered.
		c.close(ErrStopped)
	}
	return c, nil
}
