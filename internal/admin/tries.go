package admin

import (
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// Bounds of failed tries to be let in: so many at once, then one each time that
// passes, for each of so many sources. An entry takes some 200 bytes.
const (
	tryBurst   = 10
	tryEvery   = 6 * time.Second
	trySources = 4096
)

// tries counts failed tries by source. A source is an IPv4 address or an IPv6 network
// of /64, in which one customer has all addresses. It is safe for concurrent use.
type tries struct {
	mu      sync.Mutex // guards sources
	sources *simplelru.LRU[netip.Prefix, *rate.Limiter]
}

func newTries() (*tries, error) {
	l, err := simplelru.NewLRU[netip.Prefix, *rate.Limiter](trySources, nil)
	return &tries{sources: l}, err
}

// wait returns how long the source at addr must wait before it is listened to again,
// 0 if it need not.
func (t *tries) wait(addr netip.Addr, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, ok := t.sources.Get(source(addr))
	if !ok {
		return 0
	}
	if have := l.TokensAt(now); have < 1 {
		return time.Duration((1 - have) * float64(tryEvery))
	}
	return 0
}

// failed counts a failed try.
func (t *tries) failed(addr netip.Addr, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	from := source(addr)
	l, ok := t.sources.Get(from)
	if !ok {
		l = rate.NewLimiter(rate.Every(tryEvery), tryBurst)
		t.sources.Add(from, l)
	}
	l.AllowN(now, 1)
}

// source returns the network that counts as one.
func source(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	// Fails for no address: that is one source, too.
	p, _ := addr.Prefix(bits)
	return p
}

// remoteAddr reads the address of a request; the zero Addr is that of none.
func remoteAddr(s string) netip.Addr {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr()
	}
	return netip.Addr{}
}
