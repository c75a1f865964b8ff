package admin

import (
	"net/netip"
	"testing"
	"time"
)

func TestTries_AreBounded(t *testing.T) {
	tr, err := newTries()
	if err != nil {
		t.Fatal(err)
	}
	now := at()
	first := netip.MustParseAddr("2001:db8::1")
	for range 2 * tryBurst {
		tr.failed(first, now)
	}
	for addr, waits := range map[string]bool{"2001:db8::ffff": true, "2001:db8:0:1::1": false, "192.0.2.1": false, "::ffff:192.0.2.1": false} {
		if got := tr.wait(netip.MustParseAddr(addr), now) > 0; got != waits {
			t.Errorf("%s waits: %v, want %v", addr, got, waits)
		}
	}
	if got := tr.wait(first, now); got != tryEvery {
		t.Errorf("waits %v, want %v", got, tryEvery)
	}
	if got := tr.wait(first, now.Add(tryEvery+time.Millisecond)); got != 0 {
		t.Errorf("after a while it waits %v", got)
	}
	a := netip.MustParseAddr("10.0.0.0")
	for range 3 * trySources {
		a = a.Next()
		tr.failed(a, now)
	}
	if n := tr.sources.Len(); n != trySources {
		t.Errorf("%d sources are remembered, want %d", n, trySources)
	}
	tr.failed(netip.Addr{}, now) // No address at all.
}
