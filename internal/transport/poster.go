package transport

import (
	"net/netip"
	"sync"
)

const (
	// postedOverhead is what a posted datagram counts beside its bytes.
	postedOverhead = 64
	// keepPosted is up to which size a poster keeps its buffers after a burst:
	// the answers of one commit at 100,000 registrations a second.
	keepPosted = 2 << 20
)

// A poster sends, on a goroutine of its own, what others leave with it. It is
// safe for concurrent use.
type poster struct {
	l     *listener
	bulk  bulk // the goroutine's
	limit int  // bytes that may wait, each datagram's overhead included

	work   sync.Cond  // on mu: there is something to do
	mu     sync.Mutex // guards what follows
	queue  letters
	asleep bool // the goroutine waits for work
	ended  bool // nothing more is taken
}

// letters are datagrams, one behind the other.
type letters struct {
	arena []byte
	list  []letter
}

// A letter is a datagram that ends at end and begins where the one before it
// ends.
type letter struct {
	to  netip.AddrPort
	end int
}

func newPoster(l *listener, b bulk, limit int) *poster {
	p := &poster{l: l, bulk: b, limit: limit}
	p.work.L = &p.mu
	return p
}

// post leaves a copy of b to be sent. Only a goroutine that sleeps has to be
// woken, so that many posts in a row cost no more than copies.
func (p *poster) post(to netip.AddrPort, b []byte) error {
	if len(b) > maxDatagram {
		return ErrTooLong
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch q := &p.queue; {
	case p.ended:
		return ErrFlowDead
	case len(q.arena)+len(b)+(len(q.list)+1)*postedOverhead > p.limit:
		return ErrBusy
	default:
		q.arena = append(q.arena, b...)
		q.list = append(q.list, letter{to: to, end: len(q.arena)})
	}
	if p.asleep {
		p.asleep = false
		p.work.Signal()
	}
	return nil
}

// end lets run send what was posted, and return.
func (p *poster) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.work.Signal()
}

// run sends until end is called and nothing is left.
func (p *poster) run() {
	var batch [batchLen]datagram
	var taken letters
	for p.take(&taken) {
		start := 0
		for list := taken.list; len(list) > 0; {
			n := min(len(list), batchLen)
			for i, letter := range list[:n] {
				batch[i] = datagram{data: taken.arena[start:letter.end], peer: letter.to}
				start = letter.end
			}
			p.l.sendAll(p.bulk, batch[:n])
			list = list[n:]
		}
	}
}

// take waits for work and swaps it for the worked-off letters, whose buffers
// are used again. It reports false at the end.
func (p *poster) take(done *letters) bool {
	done.arena, done.list = done.arena[:0], done.list[:0]
	if cap(done.arena) > keepPosted {
		*done = letters{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue.list) == 0 {
		if p.ended {
			return false
		}
		p.asleep = true
		p.work.Wait()
	}
	p.queue, *done = *done, p.queue
	return true
}
