package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/net/ipv4"
)

const (
	// batchSize is how many datagrams one system call sends or reads.
	batchSize = 64
	// inFlight is how many REGISTERs without an answer are remembered.
	inFlight = 1 << 14
	// patience is how long nothing may come before what is awaited counts as lost.
	patience = 2 * time.Second
	// pause is how often an open loop looks what is to be sent.
	pause = time.Millisecond
	// socketBuffer holds what comes in while this program is busy.
	socketBuffer = 4 << 20
	// branches is how many branches a socket has for itself.
	branches = 100_000_000
)

// A socket is the share of phones that have one UDP socket: every so-many-th. It
// is used by one goroutine at a time.
type socket struct {
	id    int
	g     *generator
	conn  *net.UDPConn
	batch *ipv4.PacketConn
	r     result // of the phase

	// plain and signed are the messages of a batch, without and with credentials.
	plain, signed []message
	out, in       []ipv4.Message
	flights       [inFlight]flight
	seq           uint64 // of the next message; it goes on from phase to phase

	p phase
	// next is the phone whose turn it is, end the first behind those of the phase;
	// again are those that were challenged.
	next, end   int
	again       []int
	sent        int // in the phase
	outstanding int
}

// A flight is a REGISTER without an answer.
type flight struct {
	seq  uint64
	user int
	at   time.Time
}

// open gives the phones a port.
func (s *socket) open() error {
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(s.g.o.target))
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	// What the system allows will do.
	_, _ = conn.SetReadBuffer(socketBuffer), conn.SetWriteBuffer(socketBuffer)
	s.conn, s.batch = conn, ipv4.NewPacketConn(conn)
	if s.in == nil {
		s.out, s.in = make([]ipv4.Message, batchSize), make([]ipv4.Message, batchSize)
		for i := range s.in {
			s.in[i].Buffers, s.out[i].Buffers = [][]byte{make([]byte, 4096)}, make([][]byte, 1)
		}
	}
	return nil
}

// begin prepares for a phase.
func (s *socket) begin(p phase) {
	s.p, s.r, s.sent, s.outstanding, s.again = p, result{}, 0, 0, s.again[:0]
	s.next, s.end = s.first(), p.first+p.users
	t := newTemplate(s.g.run, p.push, 0)
	s.plain, s.signed = make([]message, batchSize), nil
	for i := range s.plain {
		s.plain[i] = s.prepare(t)
	}
}

// first is the first of the phase's phones that is one of the socket's.
func (s *socket) first() int {
	step := len(s.g.all)
	return s.p.first + (s.id-s.p.first%step+step)%step
}

// prepare writes what is the same in all messages of the phase.
func (s *socket) prepare(t *template) message {
	m := t.message()
	m.set(fieldExpires, uint64(s.p.expires/time.Second))
	m.set(fieldCall, uint64(s.p.call))
	return m
}

// load runs the socket's part of a phase that began at began.
func (s *socket) load(p phase, began time.Time) error {
	s.begin(p)
	heard, deadline := began, time.Time{}
	for {
		now := time.Now()
		over := !p.once && now.Sub(began) >= p.lasts
		if !over {
			if err := s.send(s.wanted(now.Sub(began)), now); err != nil {
				return err
			}
		}
		if s.outstanding == 0 {
			if over || p.once && len(s.again) == 0 && s.next >= s.end {
				return nil
			}
			heard = now
		}
		if now.Sub(heard) > patience {
			s.r.lost += s.outstanding
			s.outstanding, heard = 0, now
			continue
		}
		if wait := s.wait(over); deadline.Sub(now) < wait/2 || deadline.Sub(now) > wait {
			deadline = now.Add(wait)
			if err := s.conn.SetReadDeadline(deadline); err != nil {
				return fmt.Errorf("set deadline: %w", err)
			}
		}
		n, err := s.batch.ReadBatch(s.in, 0)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			deadline = time.Time{}
		case err != nil:
			return fmt.Errorf("read answers: %w", err)
		default:
			heard = time.Now()
			for i := range n {
				s.answer(s.in[i].Buffers[0][:s.in[i].N], heard)
			}
		}
	}
}

// wanted is how many messages are to be sent, so long after the begin.
func (s *socket) wanted(since time.Duration) int {
	sockets := len(s.g.all)
	if s.p.rate > 0 {
		return int(since.Seconds()*s.p.rate/float64(sockets)) - s.sent
	}
	return max(1, s.p.window/sockets) - s.outstanding
}

// wait is how long to wait for answers before looking at the clock.
func (s *socket) wait(over bool) time.Duration {
	if s.p.rate > 0 && !over {
		return pause
	}
	return patience / 4
}

// send sends the next n messages.
func (s *socket) send(n int, now time.Time) error {
	for n > 0 {
		k := 0
		for k < min(n, batchSize) {
			user, ok := s.nextUser()
			if !ok {
				n = k
				break
			}
			s.out[k].Buffers[0] = s.write(k, user, now)
			k++
		}
		for done := 0; done < k; {
			sent, err := s.batch.WriteBatch(s.out[done:k], 0)
			if err != nil {
				return fmt.Errorf("send: %w", err)
			}
			done += sent
		}
		s.sent, s.outstanding, n = s.sent+k, s.outstanding+k, n-k
	}
	return nil
}

// nextUser returns whose turn it is; ok is false if all have had theirs.
func (s *socket) nextUser() (user int, ok bool) {
	if n := len(s.again); n > 0 {
		user, s.again = s.again[n-1], s.again[:n-1]
		return user, true
	}
	if s.next >= s.end {
		if s.p.once {
			return 0, false
		}
		s.next = s.first()
	}
	user = s.next
	s.next += len(s.g.all)
	return user, user < s.end
}

// write makes the i-th message of a batch one of user.
func (s *socket) write(i, user int, now time.Time) []byte {
	m := &s.plain[i]
	if k := s.g.keys; k != nil && k.users[user].length > 0 {
		if s.signed == nil {
			t := newTemplate(s.g.run, s.p.push, int(k.users[user].length))
			s.signed = make([]message, batchSize)
			for i := range s.signed {
				s.signed[i] = s.prepare(t)
			}
		}
		m = &s.signed[i]
		k.sign(m, user, s.seq)
	}
	m.setUser(user)
	m.set(fieldCSeq, s.seq+1)
	m.set(fieldBranch, uint64(s.id)*branches+s.seq%branches)
	s.flights[s.seq%inFlight] = flight{s.seq, user, now}
	s.seq++
	return m.bytes
}

// answer takes what came in at now.
func (s *socket) answer(b []byte, now time.Time) {
	status, branch, ok := readAnswer(b)
	if !ok || branch/branches != uint64(s.id) {
		s.r.failed++
		return
	}
	f := &s.flights[branch%branches%inFlight]
	if f.at.IsZero() || f.seq%branches != branch%branches {
		return // It came too late, or twice.
	}
	s.outstanding--
	switch {
	case status < 200:
		s.outstanding++
		return
	case status == 200:
		s.r.ok++
		s.r.latencies.add(now.Sub(f.at))
	case status == 401 && s.challenged(f.user, b):
		s.r.challenged++
		s.again = append(s.again, f.user)
	default:
		s.r.failed++
	}
	f.at = time.Time{}
}

// challenged takes the nonce of a challenge.
func (s *socket) challenged(user int, b []byte) bool {
	if s.g.keys == nil {
		return false
	}
	nonce, ok := readNonce(b)
	return ok && s.g.keys.challenge(user, nonce)
}
