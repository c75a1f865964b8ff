package transport

import "net/netip"

// batchLen is how many datagrams are moved with one system call at most. The
// answer to the first waits for the others, each a few microseconds.
const batchLen = 32

// A datagram is one on its way in or out.
type datagram struct {
	data []byte
	peer netip.AddrPort // where it came from or goes to
	// stamp is when the system took it in, in nanoseconds since 1970 by the system's
	// clock, and lost how many datagrams the socket had lost before, modulo 2^32.
	// Only the first of those received together has them; 0 if that is unknown.
	stamp int64
	lost  uint32
}

// A bulk moves datagrams through a socket, several with one system call where
// the system can. It is not safe for concurrent use, but a socket may have
// several.
type bulk interface {
	// receive waits until there is a datagram, fills the first of in, as many as
	// there are but not more than len(in), and returns how many those are. What
	// exceeds the capacity of data is lost.
	receive(in []datagram) (int, error)
	// send sends the first of out, some or all, and returns how many those are.
	// After an error it is the next one that could not be sent. It waits while
	// the socket's buffer is full.
	send(out []datagram) (int, error)
}

// A single is the bulk of any packetConn. It moves one after the other.
type single struct{ conn packetConn }

func (s single) receive(in []datagram) (int, error) {
	d := &in[0]
	n, from, err := s.conn.ReadFromUDPAddrPort(d.data[:cap(d.data)])
	if err != nil {
		return 0, err
	}
	d.data, d.peer = d.data[:n], unmap(from)
	return 1, nil
}

func (s single) send(out []datagram) (int, error) {
	for i := range out {
		if _, err := s.conn.WriteToUDPAddrPort(out[i].data, out[i].peer); err != nil {
			return i, err
		}
	}
	return len(out), nil
}
