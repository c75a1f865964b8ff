package load

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const (
	// batchSize is how many datagrams one system call sends or reads.
	batchSize = 32
	// maxDatagram is the largest that is read; an INVITE with two hops has half.
	maxDatagram = 4096
	// socketBuffer holds what arrives while the core is busy.
	socketBuffer = 4 << 20
)

// A batcher sends and reads several datagrams in one system call.
type batcher interface {
	ReadBatch(ms []ipv4.Message, flags int) (int, error)
	WriteBatch(ms []ipv4.Message, flags int) (int, error)
}

// A socket is one line. All but read is for the goroutine of the core.
type socket struct {
	line  uint16
	conn  *net.UDPConn
	batch batcher
	name  string // host:port
	out   []ipv4.Message
	n     int // how many of out are to be sent
	// free are batches to read into. It has room for all of them, two, so that
	// one is read while the core is at the other.
	free chan *batch
}

// A batch is what one system call read.
type batch struct {
	from     *socket
	messages []ipv4.Message
	n        int
	at       time.Time
}

// sockets are all lines of a run.
type sockets struct {
	all []*socket
	// dirty are those with something to send.
	dirty []*socket
	// target is what all lines talk to.
	target *net.UDPAddr
	// The lines before awake are of phones that are awake, those before asleep of
	// phones that fall asleep.
	awake, asleep int
	// unsent counts what the system did not take.
	unsent int
	// read takes batches to the core until done is closed.
	read    chan *batch
	done    chan struct{}
	reading sync.WaitGroup
}

// openSockets opens the lines and begins to read. Each knows the target only, so
// that nothing else can reach it.
func openSockets(o *Options) (_ *sockets, err error) {
	s := &sockets{
		target: net.UDPAddrFromAddrPort(o.Target), awake: o.Sockets, asleep: o.Sockets,
		read: make(chan *batch), done: make(chan struct{}),
	}
	if o.Sleepers > 0 {
		s.asleep = 2 * o.Sockets
	}
	s.all = make([]*socket, o.lines())
	for i := range s.all {
		if err := s.open(i); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

// open opens a line and begins to read it; its close ends that.
func (s *sockets) open(line int) error {
	one, err := openSocket(uint16(line), s.target)
	if err != nil {
		return err
	}
	s.all[line] = one
	s.reading.Go(func() { one.receive(s.read, s.done) })
	return nil
}

// restart gives those that are awake another port.
func (s *sockets) restart() error {
	s.flush()
	for line, one := range s.all[:s.awake] {
		if err := one.conn.Close(); err != nil {
			return fmt.Errorf("close socket: %w", err)
		}
		if err := s.open(line); err != nil {
			return err
		}
	}
	return nil
}

func openSocket(line uint16, target *net.UDPAddr) (*socket, error) {
	conn, err := net.DialUDP("udp", nil, target)
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	// What the system allows will do.
	_ = conn.SetReadBuffer(socketBuffer)
	_ = conn.SetWriteBuffer(socketBuffer)
	s := &socket{line: line, conn: conn, name: conn.LocalAddr().String(), free: make(chan *batch, 2)}
	s.batch = ipv6.NewPacketConn(conn)
	if target.IP.To4() != nil {
		s.batch = ipv4.NewPacketConn(conn)
	}
	for range cap(s.free) {
		b := &batch{from: s, messages: messages(batchSize)}
		for i := range b.messages {
			b.messages[i].Buffers = [][]byte{make([]byte, maxDatagram)}
		}
		s.free <- b
	}
	s.out = messages(batchSize)
	return s, nil
}

func messages(n int) []ipv4.Message {
	ms := make([]ipv4.Message, n)
	for i := range ms {
		ms[i].Buffers = make([][]byte, 1)
	}
	return ms
}

// receive reads until the socket is closed.
func (s *socket) receive(to chan<- *batch, done <-chan struct{}) {
	var b *batch
	for {
		if b == nil {
			select {
			case b = <-s.free:
			case <-done:
				return
			}
		}
		n, err := s.batch.ReadBatch(b.messages, 0)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			// Nobody listens at the target, as an ICMP message said. The phones
			// notice by themselves.
			continue
		}
		b.n, b.at = n, time.Now()
		select {
		case to <- b:
			b = nil
		case <-done:
			return
		}
	}
}

// send implements wire.
func (s *sockets) send(line uint16, b []byte) {
	one := s.all[line]
	if one.n == 0 {
		s.dirty = append(s.dirty, one)
	}
	buffer := &one.out[one.n].Buffers[0]
	*buffer = append((*buffer)[:0], b...)
	if one.n++; one.n == len(one.out) {
		s.flushOne(one)
	}
}

// flush sends what is to be sent.
func (s *sockets) flush() {
	for _, one := range s.dirty {
		s.flushOne(one)
	}
	s.dirty = s.dirty[:0]
}

func (s *sockets) flushOne(one *socket) {
	// The second error in a row is not one of an earlier datagram, as what ICMP
	// reports is.
	failed := 0
	for at := 0; at < one.n; {
		n, err := one.batch.WriteBatch(one.out[at:one.n], 0)
		at += max(n, 0)
		if err == nil {
			failed = 0
			continue
		}
		if failed++; failed > 1 {
			s.unsent++
			at++
			failed = 0
		}
	}
	one.n = 0
}

// addr implements wire.
func (s *sockets) addr(line uint16) string { return s.all[line].name }

// sleep implements wire. Datagrams to a closed line are lost.
func (s *sockets) sleep() {
	s.flush()
	for _, one := range s.all[s.awake:s.asleep] {
		_ = one.conn.Close() // It has nothing left to lose.
	}
}

// close closes all lines and waits for their readers.
func (s *sockets) close() error {
	close(s.done)
	var errs []error
	for _, one := range s.all {
		if one == nil {
			continue // It could not be opened.
		}
		// Those that sleep are closed already.
		if err := one.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, fmt.Errorf("close socket: %w", err))
		}
	}
	s.reading.Wait()
	return errors.Join(errs...)
}
