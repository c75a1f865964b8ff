package transport

import (
	"net/netip"
	"testing"
	"time"
)

func peerAt(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 5060)
}

func TestSeen_ByListenerAddressAndPort(t *testing.T) {
	start := time.Now()
	s := newSeenTable(100, start)
	a := netip.MustParseAddrPort("[2001:db8::1]:5060")
	s.mark(1, a, start)
	for name, tc := range map[string]struct {
		listener int
		remote   netip.AddrPort
		after    time.Duration
		want     bool
	}{
		"same":           {1, a, 0, true},
		"just in time":   {1, a, 29 * time.Second, true},
		"too late":       {1, a, 30 * time.Second, false},
		"clock set back": {1, a, -time.Hour, true},
		"other listener": {2, a, 0, false},
		"other port":     {1, netip.AddrPortFrom(a.Addr(), 5061), 0, false},
		"other address":  {1, netip.MustParseAddrPort("[2001:db8::2]:5060"), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := s.within(tc.listener, tc.remote, start.Add(tc.after), 30*time.Second); got != tc.want {
				t.Errorf("within = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestSeen_RemembersWhatFits(t *testing.T) {
	start := time.Now()
	const flows = 50_000 // At three quarters of its size.
	s := newSeenTable(1<<16, start)
	for i := range flows {
		s.mark(0, peerAt(i), start)
	}
	forgotten := 0
	for i := range flows {
		if !s.within(0, peerAt(i), start, time.Second) {
			forgotten++
		}
	}
	if forgotten > flows/10 {
		t.Errorf("%d of %d flows forgotten", forgotten, flows)
	}
}

func TestSeen_FloodTakesNoMemoryAndForgetsTheOldest(t *testing.T) {
	start := time.Now()
	s := newSeenTable(64, start)
	if len(s.sets) != 8 {
		t.Fatalf("%d sets", len(s.sets))
	}
	for i := range 10_000 {
		s.mark(0, peerAt(i), start.Add(time.Duration(i)*time.Second))
	}
	newest := start.Add(9999 * time.Second)
	if !s.within(0, peerAt(9999), newest, time.Second) {
		t.Error("the newest flow is forgotten")
	}
	kept := 0
	for i := range 10_000 {
		if s.within(0, peerAt(i), newest, time.Hour*24) {
			kept++
			if i < 9000 {
				t.Errorf("flow %d is kept, newer ones are not", i)
			}
		}
	}
	if kept > 64 {
		t.Errorf("%d flows kept in 64 entries", kept)
	}
}

func TestSeen_MarkAllocatesNothing(t *testing.T) {
	start := time.Now()
	s := newSeenTable(64, start)
	remote := netip.MustParseAddrPort("[2001:db8::1]:5060")
	if n := testing.AllocsPerRun(100, func() { s.mark(3, remote, start) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
