package guard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/flow"
	"reveille/internal/event"
)

// strict bans for three offences within a minute.
func strict() Settings {
	return Settings{
		Ban:    Ban{Offences: 3, Within: time.Minute, Time: time.Hour, Sources: 10},
		Exempt: []netip.Prefix{netip.MustParsePrefix("192.0.2.99/32")},
	}
}

// guess is a login that failed.
func guess(f flow.Flow) event.Event {
	return event.AuthFailed{Method: "REGISTER", User: "alice", Flow: f, Reason: "password"}
}

// missed is a call to a user that does not exist.
func missed(f flow.Flow, user string) event.Event {
	return event.Call{Step: "failed", Method: "INVITE", Status: 404, To: "sip:" + user + "@example.com", Flow: f}
}

func (r *rig) judged(now time.Time) {
	r.t.Helper()
	if err := r.judge(r.t.Context(), now); err != nil {
		r.t.Fatal(err)
	}
}

func TestBan_WhoOffendsTooOften(t *testing.T) {
	datagrams, connection := udp("198.51.100.7"), tcp("198.51.100.7")
	distinct := func(f flow.Flow, n int) (list []event.Event) {
		for i := range n {
			list = append(list, missed(f, fmt.Sprint(100+i)))
		}
		return list
	}
	tests := []struct {
		name   string
		events []event.Event
		// what becomes of datagrams, and of what comes on connections
		udp, tcp Verdict
		reason   string
	}{
		{"as often as one may", []event.Event{guess(connection), guess(connection), guess(connection)}, Pass, Pass, ""},
		{"once too often, on a connection", []event.Event{guess(connection), guess(connection), guess(connection), guess(connection)}, Drop, Drop, "authentication"},
		{"once too often, by datagrams", []event.Event{guess(datagrams), guess(datagrams), guess(datagrams), guess(datagrams)}, Drop, Pass, "authentication"},
		{"datagrams do not count against connections", []event.Event{guess(datagrams), guess(datagrams), guess(connection), guess(connection)}, Pass, Pass, ""},
		{"users who may not use an address", []event.Event{
			event.AuthFailed{Flow: connection, Reason: "not_owner"},
			event.AuthFailed{Flow: connection, Reason: "not_owner"},
			event.AuthFailed{Flow: connection, Reason: "not_owner"},
			event.AuthFailed{Flow: connection, Reason: "not_owner"},
		}, Pass, Pass, ""},
		{"many users that do not exist", distinct(connection, 4), Drop, Drop, "unknown_users"},
		{"one user that does not exist, again and again", append(distinct(connection, 1), append(distinct(connection, 1), append(distinct(connection, 1), distinct(connection, 1)...)...)...), Pass, Pass, ""},
		{"calls that fail otherwise", []event.Event{
			event.Call{Step: "failed", Status: 480, Flow: connection},
			event.Call{Step: "failed", Status: 480, Flow: connection},
			event.Call{Step: "failed", Status: 480, Flow: connection},
			event.Call{Step: "failed", Status: 480, Flow: connection},
		}, Pass, Pass, ""},
		{"exempt", []event.Event{guess(tcp("192.0.2.99")), guess(tcp("192.0.2.99")), guess(tcp("192.0.2.99")), guess(tcp("192.0.2.99"))}, Pass, Pass, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, strict())
			now := time.Now()
			for _, e := range tt.events {
				g.heed(e, now)
			}
			g.judged(now)
			if got := g.Source(datagrams, nil, now); got != tt.udp {
				t.Errorf("a datagram = %v, want %v", got, tt.udp)
			}
			if got := g.Source(connection, nil, now); got != tt.tcp {
				t.Errorf("a message on a connection = %v, want %v", got, tt.tcp)
			}
			if got := g.Source(udp("203.0.113.5"), nil, now); got != Pass {
				t.Errorf("somebody else's = %v, want %v", got, Pass)
			}
			var want []event.SourceBanned
			list := []Banned{}
			if tt.reason != "" {
				want = []event.SourceBanned{{Source: "198.51.100.7", Reason: tt.reason, DatagramsOnly: tt.tcp == Pass, Until: now.Add(time.Hour)}}
				list = []Banned{{Source: "198.51.100.7", Reason: tt.reason, Datagrams: tt.tcp == Pass, Until: now.Add(time.Hour)}}
			}
			if d := cmp.Diff(want, g.events); d != "" {
				t.Errorf("events (-want +got):\n%s", d)
			}
			if d := cmp.Diff(list, g.Banned(now)); d != "" {
				t.Errorf("Banned (-want +got):\n%s", d)
			}
			if got := g.metric("reveille_guard_bans_total", tt.reason); got != float64(len(want)) {
				t.Errorf("%v bans were counted, want %d", got, len(want))
			}
			// It ends by itself.
			if got := g.Source(connection, nil, now.Add(time.Hour)); got != Pass {
				t.Errorf("an hour later = %v, want %v", got, Pass)
			}
		})
	}
}

// offend makes a source offend once too often.
func (r *rig) offendToo(f flow.Flow, now time.Time) {
	for range 4 {
		r.heed(guess(f), now)
	}
}

// TestBan_NeverWhereSomebodyIsRegistered: a datagram's source can be forged, and
// many share an address, so nobody can be locked out in another's name.
func TestBan_NeverWhereSomebodyIsRegistered(t *testing.T) {
	for _, f := range []flow.Flow{udp("198.51.100.7"), tcp("198.51.100.7"), udp("2001:db8:0:1::bad")} {
		t.Run(f.String(), func(t *testing.T) {
			g := newRig(t, strict())
			g.registered = []netip.Addr{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("::ffff:198.51.100.7"), netip.MustParseAddr("2001:db8:0:1::1")}
			now := time.Now()
			g.offendToo(f, now)
			g.judged(now)
			if got := g.Source(f, nil, now); got != Pass {
				t.Errorf("Source = %v, want %v", got, Pass)
			}
			if got := g.metric("reveille_guard_spared_total", ""); got != 1 {
				t.Errorf("%v spared, want 1", got)
			}
			// Going on costs no second look for a while.
			g.offendToo(f, now)
			g.judged(now)
			if g.asked != 1 {
				t.Errorf("the store was looked through %d times, want once", g.asked)
			}
			// The phone is gone, and the guessing goes on.
			g.registered = nil
			later := now.Add(2 * time.Minute)
			g.offendToo(f, later)
			g.judged(later)
			if got := g.Source(f, nil, later); got != Drop {
				t.Errorf("Source = %v, want %v", got, Drop)
			}
		})
	}
}

func TestBan_NobodyIfTheStoreCannotTell(t *testing.T) {
	g := newRig(t, strict())
	g.fails = errors.New("no store")
	now := time.Now()
	g.offendToo(tcp("198.51.100.7"), now)
	if err := g.judge(t.Context(), now); !errors.Is(err, g.fails) {
		t.Errorf("judge = %v, want %v", err, g.fails)
	}
	if got := g.Source(tcp("198.51.100.7"), nil, now); got != Pass {
		t.Errorf("Source = %v, want %v", got, Pass)
	}
}

func TestBan_ConnectionsAfterDatagrams(t *testing.T) {
	g := newRig(t, strict())
	now := time.Now()
	g.offendToo(udp("198.51.100.7"), now)
	g.judged(now)
	g.offendToo(tcp("198.51.100.7"), now)
	g.judged(now)
	if got := g.Source(tcp("198.51.100.7"), nil, now); got != Drop {
		t.Errorf("Source = %v, want %v", got, Drop)
	}
}

// TestBan_IsBounded: neither the list nor what waits to be looked at grows with
// the number of sources.
func TestBan_IsBounded(t *testing.T) {
	g := newRig(t, strict())
	now := time.Now()
	for i := range 3 * maxSuspects {
		g.offendToo(tcp(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}).String()), now)
	}
	if n := len(g.suspects); n != maxSuspects {
		t.Errorf("%d suspects, want %d", n, maxSuspects)
	}
	g.judged(now)
	if n := len(g.Banned(now)); n != 10 {
		t.Errorf("%d banned, want 10", n)
	}
	if got := g.metric("reveille_guard_overflow_total", ""); got == 0 {
		t.Error("no overflow was counted")
	}
	if got := g.metric("reveille_guard_banned_sources", ""); got != 10 {
		t.Errorf("the gauge says %v, want 10", got)
	}
	// Those whose time is over make room.
	later := now.Add(time.Hour)
	g.offendToo(tcp("203.0.113.9"), later)
	g.judged(later)
	if n := len(*g.bans.Load()); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
}

func TestLift(t *testing.T) {
	g := newRig(t, strict())
	now := time.Now()
	g.offendToo(tcp("2001:db8:0:1::bad"), now)
	g.judged(now)
	if g.Lift(netip.MustParseAddr("203.0.113.9")) {
		t.Error("Lift of a source that is not banned = true")
	}
	if !g.Lift(netip.MustParseAddr("2001:db8:0:1::1")) {
		t.Error("Lift = false, want true")
	}
	if got := g.Source(tcp("2001:db8:0:1::bad"), nil, now); got != Pass {
		t.Errorf("Source = %v, want %v", got, Pass)
	}
}

func TestSet_NoBansAnyMore(t *testing.T) {
	g := newRig(t, strict())
	now := time.Now()
	g.offendToo(tcp("198.51.100.7"), now)
	g.judged(now)
	g.Set(Settings{})
	g.offendToo(tcp("198.51.100.7"), now)
	g.judged(now)
	if got := g.Source(tcp("198.51.100.7"), nil, now); got != Pass {
		t.Errorf("Source = %v, want %v", got, Pass)
	}
}

// TestRun_PausesBetweenLooks: looking through the store takes no more than a
// twentieth of the time, however many sources offend.
func TestRun_PausesBetweenLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const look = 10 * time.Second
		g := newRig(t, strict())
		var asked atomic.Int32
		g.o.Registered = func(ctx context.Context, _ func(netip.Addr)) error {
			asked.Add(1)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(look):
			}
			return nil
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { g.Run(ctx); close(done) }()
		for i := range 100 {
			g.offendToo(tcp(netip.AddrFrom4([4]byte{198, 18, 0, byte(i)}).String()), time.Now())
			time.Sleep(look)
		}
		// 1000 s in all; one look a little more than every 200 s.
		if n := asked.Load(); n > 5 {
			t.Errorf("the store was looked through %d times", n)
		}
		if len(g.Banned(time.Now())) == 0 {
			t.Error("nobody was banned")
		}
		stop()
		<-done
	})
}
