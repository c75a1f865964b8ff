package transport

import (
	"errors"
	"net"
	"net/netip"
)

const (
	// outboxSize holds a batch of answers of 1 KiB. Longer ones are sent in more
	// than one batch.
	outboxSize = batchLen << 10
	// answerRoom is what is left for an answer at least; a longer one costs an
	// allocation.
	answerRoom = 4 << 10
)

// An outbox gathers datagrams and sends them together. It is not safe for
// concurrent use.
type outbox struct {
	l     *listener
	bulk  bulk
	list  []datagram
	arena []byte // the gathered datagrams, one behind the other
	used  int    // of arena
}

func newOutbox(l *listener, b bulk) outbox {
	return outbox{l: l, bulk: b, list: make([]datagram, 0, batchLen), arena: make([]byte, outboxSize)}
}

// room returns an empty buffer in which to write the next datagram. It sends
// what is gathered if there is no room beside it.
func (o *outbox) room() []byte {
	if len(o.list) == cap(o.list) || len(o.arena)-o.used < answerRoom {
		o.flush()
	}
	return o.arena[o.used:o.used]
}

// add gathers the datagram b, which was appended to the last room.
func (o *outbox) add(to netip.AddrPort, b []byte) {
	o.list = append(o.list, datagram{data: b, peer: to})
	if len(b) <= len(o.arena)-o.used { // Else append has moved it elsewhere.
		o.used += len(b)
	}
}

// flush sends what is gathered.
func (o *outbox) flush() {
	if len(o.list) > 0 {
		o.l.sendAll(o.bulk, o.list)
		o.list, o.used = o.list[:0], 0
	}
}

// sendAll sends and counts all datagrams of out. One that cannot be sent is
// lost, like one that is lost on its way; those behind it are not.
func (l *listener) sendAll(b bulk, out []datagram) {
	for len(out) > 0 {
		n, err := b.send(out)
		l.metrics.sent.Add(float64(n))
		out = out[n:]
		if err != nil {
			l.metrics.sendError(sendFault(err)).Inc()
			out = out[1:]
		}
	}
}

// sendFault turns the error of a socket into one of Send.
func sendFault(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return ErrFlowDead
	}
	return err
}
