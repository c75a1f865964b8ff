package proxy

import (
	"net/netip"
	"testing"
	"time"

	"reveille/flow"
	"reveille/internal/resolve"
)

// again sends another call by the trunk, and returns the hop that it goes to first.
func (w *world) again(id string) sent {
	w.t.Helper()
	w.recv(caller, request("INVITE", "sip:+4912@example.org", id))
	w.after(100 * time.Millisecond)
	for _, s := range w.take() {
		if s.m.IsRequest() && s.m.Method() == "INVITE" && s.m.CallID() == id {
			return s
		}
	}
	w.t.Fatalf("the call %s went nowhere", id)
	return sent{}
}

// goesTo makes a call, which is declined, and says where it went to.
func (w *world) goesTo(id, want string) {
	w.t.Helper()
	s := w.again(id)
	if got := s.flow.Remote.String(); got != want {
		w.t.Errorf("the call %s went to %s first, want %s", id, got, want)
	}
	w.reply(s, 603)
	w.take()
}

// answerAt has a hop decline the calls that have come to it.
func (w *world) answerAt(hop string) {
	w.t.Helper()
	for _, s := range w.take() {
		if s.m.IsRequest() && s.m.Method() == "INVITE" && s.flow.Remote.String() == hop {
			w.reply(s, 603)
		}
	}
	w.take()
}

// TestNextHop_Remembered_RFC3263_4_3: a hop that failed is not what the next calls wait
// for.
func TestNextHop_Remembered_RFC3263_4_3(t *testing.T) {
	tests := []struct {
		name string
		// fail makes hop A fail, to which a call went.
		fail func(w *world, invite sent)
		// until is how long it is passed by.
		until time.Duration
	}{
		{"silent", func(w *world, _ sent) { w.after(6 * time.Second) }, 30 * time.Second},
		{"it cannot be sent to", func(w *world, i sent) {
			w.breaks(i.flow)
			w.after(time.Second)
			w.with(func() { delete(w.dead, i.flow) })
		}, 30 * time.Second},
		{"503", func(w *world, i sent) { w.reply(i, 503) }, 30 * time.Second},
		{"503 with Retry-After_RFC3261_21_5_4", func(w *world, i sent) { w.reply(i, 503, "Retry-After: 90 (lunch);duration=60") }, 90 * time.Second},
		{"503 with an endless Retry-After", func(w *world, i sent) { w.reply(i, 503, "Retry-After: 86400") }, 10 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			viaTrunk(t, Options{}, func(w *world) {
				first := w.again("first")
				failed := time.Now()
				tt.fail(w, first)
				w.answerAt(gwB)
				w.goesTo("second", gwB)
				w.after(time.Until(failed.Add(tt.until - time.Second)))
				w.goesTo("third", gwB)
				w.after(8 * time.Second)
				// One call finds out; the others go on as before until it has.
				probe := w.again("fourth")
				if got := probe.flow.Remote.String(); got != gwA {
					t.Errorf("the fourth call went to %s, want %s", got, gwA)
				}
				w.goesTo("fifth", gwB)
				w.reply(probe, 180)
				w.take()
				w.goesTo("sixth", gwA)
				w.reply(probe, 603)
				w.take()
			})
		})
	}
}

// TestNextHop_AllFailed_RFC3263_4_3: nobody is refused without a try.
func TestNextHop_AllFailed_RFC3263_4_3(t *testing.T) {
	viaTrunk(t, Options{Routes: []Route{{Name: "trunk", Domain: "*", To: to("sip:"+gwA, "sip:"+gwB)}}}, func(w *world) {
		for _, id := range []string{"first", "second"} {
			s := w.again(id)
			if got := s.flow.Remote.String(); got != gwA {
				t.Errorf("the call %s went to %s first", id, got)
			}
			w.reply(s, 503, "Retry-After: 60")
			s = w.expect("ACK "+gwA, "INVITE "+gwB)[1]
			w.reply(s, 503, "Retry-After: 60")
			w.expect("ACK "+gwB, "500 203.0.113.9:5060")
		}
	})
}

// checks is a Trunks that says this of every hop of the route "trunk".
type checks map[string]checked

type checked struct {
	up    bool
	asked time.Time
}

func (c checks) Checked(route string, h resolve.Hop) (bool, time.Time, bool) {
	k, ok := c[h.Addr.String()]
	return k.up, k.asked, ok && route == "trunk"
}

func (checks) At(flow.Transport, netip.AddrPort) []string { return nil }

func TestNextHop_Checked(t *testing.T) {
	known := checks{}
	viaTrunk(t, Options{Trunks: known}, func(w *world) {
		w.goesTo("unknown", gwA)
		w.with(func() { known[gwA] = checked{up: false, asked: time.Now()} })
		w.goesTo("down", gwB)
		w.with(func() { known[gwB] = checked{up: false, asked: time.Now()} })
		w.goesTo("both-down", gwA)
		w.after(time.Minute)
		w.with(func() {
			known[gwA], known[gwB] = checked{up: true, asked: time.Now()}, checked{up: true, asked: time.Now()}
		})
		w.goesTo("up-again", gwA)

		// A call that fails counts until a later question is answered.
		w.after(time.Minute)
		w.again("silent")
		w.after(6 * time.Second)
		w.answerAt(gwB)
		w.goesTo("remembered", gwB)
		w.after(time.Second)
		w.with(func() { known[gwA] = checked{up: true, asked: time.Now()} })
		w.goesTo("answers", gwA)

		// Who answers OPTIONS may have no lines left.
		w.reply(w.again("full"), 503, "Retry-After: 60")
		w.reply(w.expect("ACK "+gwA, "INVITE "+gwB)[1], 603)
		w.take()
		w.after(time.Second)
		w.with(func() { known[gwA] = checked{up: true, asked: time.Now()} })
		w.goesTo("still-full", gwB)
	})
}

func TestHopMemory_Bound(t *testing.T) {
	m, now := newHopMemory(), time.Now()
	at := func(i int) hop {
		return hop{transport: flow.UDP, addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 5060)}
	}
	for i := range maxMarks + 10 {
		m.failed(at(i), mark{since: now, until: now.Add(time.Minute)})
	}
	if n := m.len(); n != maxMarks {
		t.Errorf("%d hops are remembered, want %d", n, maxMarks)
	}
	if m.avoid(at(0), now, 0) || !m.avoid(at(10), now, 0) {
		t.Error("it is not the oldest that was forgotten")
	}
}
