package transport

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"
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

// admit starts an accepted connection, or closes it at once if there are too
// many.
func (l *listener) admit(nc net.Conn) {
	remote, now := addrPort(nc.RemoteAddr()), time.Now()
	if len(l.balancers) > 0 {
		l.admitBalanced(nc, remote, now)
		return
	}
	if c := l.enter(nc, nc, remote, now); c != nil && !l.t.spawn(c.accepted) {
		l.t.conns.remove(c)
		l.t.abandon(nc)
	}
}

// enter numbers a connection that a peer made, or closes it and returns nil if
// its source or the listener has too many.
func (l *listener) enter(socket, nc net.Conn, remote netip.AddrPort, born time.Time) *conn {
	c := newConn(l, socket, nc, remote, born)
	c.source = sourceOf(remote.Addr())
	if refused, ok := l.t.conns.add(c); !ok {
		l.metrics.refused(refused).Inc()
		l.t.abandon(socket)
		return nil
	}
	l.metrics.accepted.Inc()
	return c
}
