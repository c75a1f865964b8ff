package guard

import (
	"net/netip"
	"testing"
	"time"

	"reveille/flow"
)

func TestNew_Requires(t *testing.T) {
	if _, err := New(Options{Hosts: hosts{}}); err == nil {
		t.Error("New without Registered = nil, want an error")
	}
}

func TestSource_Limit(t *testing.T) {
	request, response := []byte("OPTIONS sip:example.com SIP/2.0\r\n"), []byte("SIP/2.0 200 OK\r\n")
	tests := []struct {
		name string
		flow flow.Flow
		what []byte
		// verdicts of as many messages at one time
		want []Verdict
	}{
		{"datagrams too many are dropped", udp("198.51.100.7"), request, []Verdict{Pass, Pass, Drop, Drop}},
		{"requests too many on a connection are refused", tcp("198.51.100.7"), request, []Verdict{Pass, Pass, Refuse, Refuse}},
		{"responses have a second burst", tcp("198.51.100.7"), response, []Verdict{Pass, Pass, Pass, Pass, Refuse}},
		{"so has what ends something", udp("198.51.100.7"), []byte("BYE sip:x SIP/2.0\r\n"), []Verdict{Pass, Pass, Pass, Pass, Drop}},
		{"short messages", udp("198.51.100.7"), []byte("x"), []Verdict{Pass, Pass, Drop}},
		{"exempt", udp("127.0.0.1"), request, []Verdict{Pass, Pass, Pass, Pass}},
		{"exempt in mapped form", udp("::ffff:127.0.0.1"), request, []Verdict{Pass, Pass, Pass, Pass}},
		{"exempt with a zone", tcp("fe80::1%eth0"), request, []Verdict{Pass, Pass, Pass, Pass}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, Settings{PerSource: 1, Burst: 2, Exempt: []netip.Prefix{
				netip.MustParsePrefix("::ffff:127.0.0.0/104"), netip.MustParsePrefix("fe80::/10"),
			}})
			now := time.Now()
			for i, want := range tt.want {
				if got := g.Source(tt.flow, tt.what, now); got != want {
					t.Errorf("message %d = %v, want %v", i, got, want)
				}
			}
			if got := g.Source(tt.flow, tt.what, now.Add(time.Minute)); got != Pass {
				t.Errorf("a minute later = %v, want it to pass", got)
			}
			refused := g.metric("reveille_guard_refused_total", "source") + g.metric("reveille_guard_dropped_total", "rate")
			var want float64
			for _, v := range tt.want {
				if v != Pass {
					want++
				}
			}
			if refused != want {
				t.Errorf("%v messages were counted, want %v", refused, want)
			}
		})
	}
}

// TestSource_WhoIsOne: phones of one subscriber share a bucket, others do not.
func TestSource_WhoIsOne(t *testing.T) {
	tests := []struct {
		name, a, b string
		same       bool
	}{
		{"two IPv4 addresses", "198.51.100.7", "198.51.100.8", false},
		{"IPv4 and its mapped form", "198.51.100.7", "::ffff:198.51.100.7", true},
		{"one /64", "2001:db8:0:1::1", "2001:db8:0:1:ffff::9", true},
		{"two /64", "2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"IPv4 and a compatible IPv6", "198.51.100.7", "::198.51.100.7", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, Settings{PerSource: 1, Burst: 1})
			now := time.Now()
			g.Source(udp(tt.a), nil, now)
			if got := g.Source(udp(tt.b), nil, now) != Pass; got != tt.same {
				t.Errorf("%s and %s are one source = %t, want %t", tt.a, tt.b, got, tt.same)
			}
		})
	}
}

// TestSource_ForgedDatagrams: who sends datagrams in the name of a source does not
// use up what its connections may send.
func TestSource_ForgedDatagrams(t *testing.T) {
	g := newRig(t, Settings{PerSource: 1, Burst: 2})
	now := time.Now()
	for range 5 {
		g.Source(udp("198.51.100.7"), nil, now)
	}
	if got := g.Source(tcp("198.51.100.7"), nil, now); got != Pass {
		t.Errorf("a message on a connection = %v, want it to pass", got)
	}
}

func TestSource_String(t *testing.T) {
	for addr, want := range map[string]string{"198.51.100.7": "198.51.100.7", "2001:db8:0:1::9": "2001:db8:0:1::/64"} {
		if got := sourceOf(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("source of %s = %s, want %s", addr, got, want)
		}
	}
}

func TestSource_AllocatesNothing(t *testing.T) {
	g := newRig(t, Settings{PerSource: 500, Burst: 5000, Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	f, b, now := udp("198.51.100.7"), []byte("REGISTER sip:example.com SIP/2.0\r\n"), time.Now()
	n := testing.AllocsPerRun(100, func() {
		g.Source(f, b, now)
		g.Registers(f, "sip:alice@example.com", now)
	})
	if n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestRegistersAndCalls_Limit(t *testing.T) {
	g := newRig(t, Settings{Registers: 60, Calls: 60, AORBurst: 2, Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	now, alice, bob := time.Now(), "sip:alice@example.com", "sip:bob@example.com"
	stranger, local := udp("198.51.100.7"), udp("127.0.0.1")
	for i, tt := range []struct {
		ask  func(flow.Flow, string, time.Time) bool
		flow flow.Flow
		aor  string
		at   time.Duration
		want bool
	}{
		{g.Registers, stranger, alice, 0, true},
		{g.Registers, tcp("203.0.113.9"), alice, 0, true}, // whatever the source
		{g.Registers, stranger, alice, 0, false},
		{g.Registers, local, alice, 0, true},
		{g.Registers, stranger, bob, 0, true},
		{g.Calls, stranger, alice, 0, true}, // counted by themselves
		{g.Calls, stranger, alice, 0, true},
		{g.Calls, stranger, alice, 0, false},
		{g.Registers, stranger, alice, time.Second, true},
		{g.Registers, stranger, alice, time.Second, false},
	} {
		if got := tt.ask(tt.flow, tt.aor, now.Add(tt.at)); got != tt.want {
			t.Errorf("%d: %s by %s after %s = %t, want %t", i, tt.aor, tt.flow, tt.at, got, tt.want)
		}
	}
	if got := g.metric("reveille_guard_refused_total", "register"); got != 2 {
		t.Errorf("%v refused registrations were counted, want 2", got)
	}
	if got := g.metric("reveille_guard_refused_total", "call"); got != 1 {
		t.Errorf("%v refused calls were counted, want 1", got)
	}
}

func TestSet_TakesEffect(t *testing.T) {
	g := newRig(t, Settings{PerSource: 1, Burst: 1})
	f, now := udp("198.51.100.7"), time.Now()
	g.Source(f, nil, now)
	if got := g.Source(f, nil, now); got != Drop {
		t.Errorf("Source = %v, want Drop", got)
	}
	g.Set(Settings{})
	if got := g.Source(f, nil, now); got != Pass {
		t.Errorf("Source without limits = %v, want Pass", got)
	}
}

// BenchmarkSource is what every message costs.
func BenchmarkSource(b *testing.B) {
	g, err := New(Options{Settings: Settings{PerSource: 10000, Burst: 1 << 20, Exempt: []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
	}}, Hosts: hosts{}, Registered: (&rig{}).look})
	if err != nil {
		b.Fatal(err)
	}
	message, now := []byte("REGISTER sip:example.com SIP/2.0\r\n"), time.Now()
	flows := make([]flow.Flow, 1024)
	for i := range flows {
		flows[i] = udp(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}).String())
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		g.Source(flows[i%len(flows)], message, now)
	}
}

func TestNetworks(t *testing.T) {
	ns := newNetworks([]netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.7/32"), netip.MustParsePrefix("2001:db8::/32"),
		netip.MustParsePrefix("::ffff:203.0.113.0/120"),
	})
	for addr, want := range map[string]bool{
		"192.0.2.0": true, "192.0.2.255": true, "192.0.3.0": false, "198.51.100.7": true, "198.51.100.6": false,
		"203.0.113.9": true, "::ffff:203.0.113.9": true, "::ffff:192.0.2.1": true, "2001:db8:1::1": true, "2001:db9::1": false,
		"2001:db8::1%eth0": true, "::192.0.2.1": false,
	} {
		if got := ns.contain(netip.MustParseAddr(addr)); got != want {
			t.Errorf("contain(%s) = %t, want %t", addr, got, want)
		}
	}
	all := newNetworks([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")})
	if !all.contain(netip.MustParseAddr("8.8.8.8")) || all.contain(netip.MustParseAddr("2001:db8::1")) {
		t.Error("0.0.0.0/0 is all of IPv4, and no IPv6")
	}
}
