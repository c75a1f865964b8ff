package auth

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"reveille/flow"
)

// LimitOptions configure a Limiter.
type LimitOptions struct {
	// Rate is how many events a second one source may cause on end.
	Rate float64
	// Burst is how many it may cause at once; at least 1.
	Burst int
	// Sources is how many sources are told apart at most; those beyond share
	// one bucket. 0 means DefaultSources.
	Sources int
}

// DefaultSources is how many sources a Limiter tells apart: about 10 MB.
const DefaultSources = 65536

// A Limiter counts events per source: an IPv4 address, or the /64 network of an
// IPv6 address, for that is what one subscriber has. Its datagrams are counted by
// themselves, for they may be forged. It never holds more sources than it was told
// to. It is safe for concurrent use. A nil Limiter
// sets no limit.
type Limiter struct {
	limit rate.Limit
	burst int
	max   int

	mu       sync.Mutex // guards what follows
	sources  map[sender]*rate.Limiter
	overflow *rate.Limiter
	swept    time.Time
}

// sweepEvery bounds how often a full table is looked through.
const sweepEvery = 10 * time.Second

// NewLimiter returns a Limiter, or nil if the rate is 0.
func NewLimiter(o LimitOptions) *Limiter {
	if o.Rate <= 0 {
		return nil
	}
	if o.Sources <= 0 {
		o.Sources = DefaultSources
	}
	o.Burst = max(o.Burst, 1)
	return &Limiter{
		limit:    rate.Limit(o.Rate),
		burst:    o.Burst,
		max:      o.Sources,
		sources:  make(map[sender]*rate.Limiter),
		overflow: rate.NewLimiter(rate.Limit(o.Rate), o.Burst),
	}
}

// Exhausted reports whether the peer of f has caused as many events as it may. It
// leaves no trace of it.
func (l *Limiter) Exhausted(f flow.Flow, now time.Time) bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, ok := l.sources[senderOf(f)]; ok {
		return b.TokensAt(now) < 1
	}
	// An unknown source has a full bucket, unless there is no room for it.
	return !l.room(now) && l.overflow.TokensAt(now) < 1
}

// Take counts an event of the peer of f and reports whether it was within the
// limit.
func (l *Limiter) Take(f flow.Flow, now time.Time) bool {
	if l == nil {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	key := senderOf(f)
	b, ok := l.sources[key]
	if !ok {
		if !l.room(now) {
			return l.overflow.AllowN(now, 1)
		}
		b = rate.NewLimiter(l.limit, l.burst)
		l.sources[key] = b
	}
	return b.AllowN(now, 1)
}

// room reports whether the table can take another source. If it is full, the
// sources whose buckets are full again go first: they are as good as unknown.
// The caller holds mu.
func (l *Limiter) room(now time.Time) bool {
	if len(l.sources) < l.max {
		return true
	}
	if now.Sub(l.swept) < sweepEvery {
		return false
	}
	l.swept = now
	for key, b := range l.sources {
		if b.TokensAt(now) >= float64(l.burst) {
			delete(l.sources, key)
		}
	}
	return len(l.sources) < l.max
}

// A sender is a source, as far as it sends datagrams or has connections.
type sender struct {
	prefix    netip.Prefix
	datagrams bool
}

func senderOf(f flow.Flow) sender {
	addr := f.Remote.Addr().Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		// No address: all such share the zero Prefix.
		p = netip.Prefix{}
	}
	return sender{prefix: p, datagrams: !f.Stream()}
}
