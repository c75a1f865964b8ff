package transport

import (
	"errors"
	"log/slog"
	"net"
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
		c.abandon()
		return
	}
	l.metrics.accepted.Inc()
	if !l.t.spawn(c.accepted) {
		l.t.conns.remove(c)
		c.abandon()
	}
}
