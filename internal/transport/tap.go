package transport

import (
	"net/netip"
	"time"

	"reveille/flow"
)

// A Passage is a message that arrived on a flow or leaves by it.
type Passage struct {
	Flow flow.Flow
	// Local is our end of the flow; not valid if the flow has ended.
	Local netip.AddrPort
	// Sent says that the message leaves; otherwise it arrived.
	Sent bool
	// At is when it arrived or was to be sent.
	At time.Time
	// Message is valid during the call only.
	Message []byte
	// Err is why the message could not be sent, which is told by a Passage of its own
	// after the one of the attempt.
	Err error
}

// Tap has see called with every message from now on: of those that arrive before
// anybody looks at them, of those that leave before they are handed to the socket, so
// that an answer never comes before its request. It is called from the readers of many
// sockets and by whoever sends, and must be quick. Nil ends it; a call that is under
// way may still come. What is no message, such as a keep-alive, is not shown.
func (t *Transport) Tap(see func(Passage)) {
	if see == nil {
		t.tap.Store(nil)
		return
	}
	t.tap.Store(&see)
}

// arrived shows a message that came. When nobody looks it costs no more than to see that:
// the compiler puts this, and leaves, where they are called.
func (t *Transport) arrived(l *listener, f flow.Flow, b []byte, at time.Time) {
	if t.tap.Load() != nil {
		t.show(l, &f, b, at, false, nil)
	}
}

// leaves shows a message that is to be sent.
func (t *Transport) leaves(l *listener, f flow.Flow, b []byte) {
	if t.tap.Load() != nil {
		t.show(l, &f, b, time.Time{}, true, nil)
	}
}

// stayed shows a message that could not be sent, unless err is nil, and returns err.
func (t *Transport) stayed(l *listener, f flow.Flow, b []byte, err error) error {
	if err != nil && t.tap.Load() != nil {
		t.show(l, &f, b, time.Time{}, true, err)
	}
	return err
}

func (t *Transport) show(l *listener, f *flow.Flow, b []byte, at time.Time, sent bool, err error) {
	see := t.tap.Load()
	if see == nil {
		return // It has just been ended.
	}
	if sent {
		at = time.Now()
	}
	(*see)(Passage{Flow: *f, Local: t.local(l, *f), Sent: sent, At: at, Message: b, Err: err})
}

// local returns our end of f, a flow of l. Of a socket that is bound to all addresses
// it is the one nearest to the peer, as the system chooses it with ordinary routes.
func (t *Transport) local(l *listener, f flow.Flow) netip.AddrPort {
	if f.Stream() {
		if c := t.conn(f); c != nil {
			return addrPort(c.socket.LocalAddr())
		}
		return netip.AddrPort{}
	}
	if l.Addr.Addr().IsUnspecified() {
		return netip.AddrPortFrom(nearest(*t.locals.Load(), l, f.Remote.Addr()), l.Addr.Port())
	}
	return l.Addr
}
