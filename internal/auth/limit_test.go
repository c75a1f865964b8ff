package auth

import (
	"net/netip"
	"testing"
	"time"

	"reveille/flow"
)

// datagrams is a flow of datagrams from an address.
func datagrams(addr string) flow.Flow {
	return flow.Flow{Transport: flow.UDP, Remote: netip.AddrPortFrom(netip.MustParseAddr(addr), 5060)}
}

func TestLimiter_BurstAndRate(t *testing.T) {
	l := NewLimiter(LimitOptions{Rate: 2, Burst: 3})
	a := datagrams("192.0.2.1")
	now := noon
	for i := range 3 {
		if l.Exhausted(a, now) || !l.Take(a, now) {
			t.Fatalf("event %d is over the limit", i+1)
		}
	}
	if !l.Exhausted(a, now) || l.Take(a, now) {
		t.Error("the fourth event at once is within a burst of 3")
	}
	if b := datagrams("192.0.2.2"); l.Exhausted(b, now) || !l.Take(b, now) {
		t.Error("another address is limited, too")
	}
	now = now.Add(500 * time.Millisecond)
	if l.Exhausted(a, now) || !l.Take(a, now) || l.Take(a, now) {
		t.Error("after half a second, one event is within a rate of 2/s")
	}
}

func TestLimiter_Sources(t *testing.T) {
	for _, tt := range []struct {
		name, a, b string
		same       bool
	}{
		{"IPv4", "192.0.2.1", "192.0.2.2", false},
		{"mapped IPv4", "192.0.2.1", "::ffff:192.0.2.1", true},
		{"one /64", "2001:db8::1", "2001:db8::ffff:0:0:2", true},
		{"two /64", "2001:db8::1", "2001:db8:0:1::1", false},
		{"zone", "fe80::1%eth0", "fe80::2%eth1", true},
		{"IPv4 and IPv6", "0.0.0.0", "::", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := NewLimiter(LimitOptions{Rate: 1, Burst: 1})
			l.Take(datagrams(tt.a), noon)
			if got := l.Exhausted(datagrams(tt.b), noon); got != tt.same {
				t.Errorf("%s and %s share a bucket: %v, want %v", tt.a, tt.b, got, tt.same)
			}
		})
	}
	l := NewLimiter(LimitOptions{Rate: 1, Burst: 1})
	if !l.Take(flow.Flow{}, noon) || l.Take(flow.Flow{}, noon) {
		t.Error("the invalid address has no bucket of its own")
	}
}

func TestLimiter_TableIsBounded(t *testing.T) {
	l := NewLimiter(LimitOptions{Rate: 1, Burst: 2, Sources: 10})
	addr := func(i int) flow.Flow {
		return datagrams(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String())
	}
	for i := range 1000 {
		l.Take(addr(i), noon)
	}
	if len(l.sources) != 10 {
		t.Fatalf("%d sources, want 10", len(l.sources))
	}
	// The others used up what they share, the known ones did not.
	if !l.Exhausted(addr(5000), noon) {
		t.Error("a source beyond the table is not limited")
	}
	if l.Exhausted(addr(3), noon) {
		t.Error("a source of the table pays for the others")
	}
	// Sources that were quiet make room.
	later := noon.Add(sweepEvery)
	if l.Exhausted(addr(5000), later) || !l.Take(addr(5000), later) {
		t.Error("a new source is limited although the table has room again")
	}
	if len(l.sources) != 1 {
		t.Errorf("%d sources after the sweep, want 1", len(l.sources))
	}
}

func TestLimiter_Off(t *testing.T) {
	l := NewLimiter(LimitOptions{Burst: 1})
	for range 100 {
		if l.Exhausted(flow.Flow{}, noon) || !l.Take(flow.Flow{}, noon) {
			t.Fatal("limited without a rate")
		}
	}
}

func TestPeers(t *testing.T) {
	ps := newPeers([]netip.Prefix{
		netip.MustParsePrefix("192.0.2.77/24"),
		netip.MustParsePrefix("2001:db8::/32"),
		netip.MustParsePrefix("::ffff:198.51.100.0/120"),
	})
	for addr, want := range map[string]bool{
		"192.0.2.1":           true,
		"::ffff:192.0.2.1":    true,
		"192.0.3.1":           false,
		"2001:db8:ffff::1":    true,
		"2001:db9::1":         false,
		"198.51.100.9":        true,
		"198.51.101.9":        false,
		"2001:db8::1%eth0":    true,
		"::ffff:198.51.100.1": true,
	} {
		if got := ps.contains(netip.MustParseAddr(addr)); got != want {
			t.Errorf("contains(%s) = %v, want %v", addr, got, want)
		}
	}
	if ps.contains(netip.Addr{}) || newPeers(nil).contains(netip.MustParseAddr("127.0.0.1")) {
		t.Error("trusts what was not listed")
	}
}
