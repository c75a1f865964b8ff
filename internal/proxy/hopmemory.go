package proxy

import (
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"reveille/flow"
	"reveille/internal/resolve"
	"reveille/internal/sipmsg"
)

// This file remembers which next hops have failed, so that each call does not find out
// anew: RFC 3263 §4.3 begins with the first hop every time, and a dead one costs
// HopTimeout.

const (
	// maxMarks bounds the hops of which something is remembered; the oldest is forgotten.
	maxMarks = 4096
	// maxRetryAfter bounds what a 503 asks for: one answer must not silence a hop for days.
	maxRetryAfter = 10 * time.Minute
)

// Trunks watches the next hops of Routes; *trunk.Watcher implements it.
type Trunks interface {
	// Checked says what OPTIONS to a hop of a Route last came to: whether the hop counts
	// as up, and when the last one that was answered was sent. ok is false if it is not
	// asked, or not yet.
	Checked(route string, h resolve.Hop) (up bool, asked time.Time, ok bool)
	// At names the Routes of which a next hop has that address, as far as the DNS has
	// told. The list is not to be changed.
	At(t flow.Transport, a netip.AddrPort) (routes []string)
}

// A mark says that a hop has failed.
type mark struct {
	// since is when it failed; until then others are tried before it.
	since, until time.Time
	// refused: it answered 503. That it answers OPTIONS says nothing against that.
	refused bool
}

// A hopMemory holds the marks. It is safe for concurrent use.
type hopMemory struct {
	mu    sync.Mutex // guards marks
	marks *simplelru.LRU[hop, mark]
}

func newHopMemory() *hopMemory {
	// It fails for sizes below 1 alone.
	marks, _ := simplelru.NewLRU[hop, mark](maxMarks, nil)
	return &hopMemory{marks: marks}
}

// failed marks a hop.
func (m *hopMemory) failed(h hop, k mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, has := m.marks.Peek(h); has && old.until.After(k.until) {
		// An older call must not end what a 503 has asked for.
		return
	}
	m.marks.Add(h, k)
}

// answered takes away the mark of a hop that answered what was sent to it at asked.
func (m *hopMemory) answered(h hop, asked time.Time, options bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, has := m.marks.Peek(h)
	if has && asked.After(k.since) && !(options && k.refused) {
		m.marks.Remove(h)
	}
}

// avoid reports whether others are to be tried before a hop. When its time is over,
// one request finds out how it is now, and for grace all others still pass it by.
func (m *hopMemory) avoid(h hop, now time.Time, grace time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, has := m.marks.Peek(h)
	switch {
	case !has:
		return false
	case now.Before(k.until):
		return true
	}
	k.until = now.Add(grace)
	m.marks.Add(h, k)
	return false
}

func (m *hopMemory) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.marks.Len()
}

// avoid reports whether a hop of a route, which may be empty, is to be tried after
// others.
func (p *Proxy) avoid(route string, h resolve.Hop) bool {
	o := p.opts()
	if o.Trunks != nil && route != "" {
		switch up, asked, ok := o.Trunks.Checked(route, h); {
		case ok && !up:
			return true
		case ok:
			p.memory.answered(hopAt(h), asked, true)
		}
	}
	return p.memory.avoid(hopAt(h), time.Now(), o.HopTimeout)
}

// blame remembers that the branch's next hop has failed: with 503, or else it was not
// reached or did not answer.
func (b *branch) blame(refusal *sipmsg.Message) {
	if !b.isHop() {
		return
	}
	o, now := b.fork.p.opts(), time.Now()
	k := mark{since: now, until: now.Add(o.HopRetry)}
	reason := "silent"
	if refusal != nil {
		reason, k.refused = "refused", true
		if d, ok := refusal.RetryAfter(); ok {
			// RFC 3261 §21.5.4: it wants nothing until then.
			k.until = now.Add(min(d, maxRetryAfter))
		}
	}
	b.fork.p.metrics.hopFailures.WithLabelValues(reason).Inc()
	b.fork.p.memory.failed(b.target.hop(), k)
}

// praise remembers that the branch's next hop answers.
func (b *branch) praise() {
	if b.isHop() {
		b.fork.p.memory.answered(b.target.hop(), b.sentAt, false)
	}
}

// isHop reports whether the branch leads to a next hop. What is said of a phone's
// address says nothing of the next phone there.
func (b *branch) isHop() bool {
	return b.target.reach == dial && b.target.binding.ID.IsZero() && b.target.way.hop != (hop{})
}
