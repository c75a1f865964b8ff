package app

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"reveille/internal/event"
	"reveille/internal/phone"
)

// guardYAML puts this machine under the guard, too.
func guardYAML(keys string) string { return "guard: {exempt: [], " + keys + "}" }

// dialFrom is dial from one of this machine's many addresses.
func (r *rig) dialFrom(source, transport string) *wire {
	r.t.Helper()
	var d net.Dialer
	if transport == "udp" {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(source), 0))
	} else {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(source), 0))
	}
	c, err := d.DialContext(r.t.Context(), transport, r.Addr(transport).String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return &wire{t: r.t, conn: c, r: bufio.NewReaderSize(c, 1<<16)}
}

// answered sends an OPTIONS and reports whether the next thing that comes is the
// answer to it; patience bounds the wait only if nothing comes from elsewhere.
func (r *rig) answered(w *wire) {
	r.t.Helper()
	w.send(w.request("OPTIONS", "sip:example.com"))
	w.expect(200)
}

func TestGuard_SourceThatSendsTooMuch(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			r := newRig(t, guardYAML("rate: {per_source: 1, burst: 3}"))
			w := r.dialFrom("127.0.0.2", transport)
			for range 3 {
				r.answered(w)
			}
			// The next is too much, unless the machine took a second for these.
			if transport == "tcp" {
				refused := func(code string, request func() string) func() bool {
					return func() bool {
						w.send(request())
						return strings.HasPrefix(w.status(), "SIP/2.0 "+code+" ")
					}
				}
				r.eventually("it is refused", refused("480", func() string { return w.request("OPTIONS", "sip:example.com") }))
				r.eventually("it is refused in a dialog", refused("500", func() string { return w.request("INFO", "sip:example.com", "To: <sip:alice@example.com>;tag=x") }))
			} else {
				r.eventually("it is dropped", func() bool {
					w.send(w.request("OPTIONS", "sip:example.com"))
					return r.metric("reveille_guard_dropped_total", "rate") >= 1
				})
			}
			// Others are served, and so is the source once it slows down.
			r.answered(r.dialFrom("127.0.0.3", transport))
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			r.eventually("the source is served again", func() bool {
				w.send(w.request("OPTIONS", "sip:example.com"))
				if err := w.conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
					t.Fatal(err)
				}
				b := make([]byte, 1<<16)
				n, _ := w.conn.Read(b)
				<-tick.C
				return strings.HasPrefix(string(b[:n]), "SIP/2.0 200 ")
			})
		})
	}
}

// TestGuard_ScannersGetNoAnswer: what a scanner sends is dropped, well formed or
// not, and a phone at the same address is served.
func TestGuard_ScannersGetNoAnswer(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			r := newRig(t, guardYAML("hosts: domains"))
			w := r.dial(transport)
			for _, text := range []string{
				w.request("OPTIONS", "sip:example.com", "User-Agent: friendly-scanner"),
				w.request("REGISTER", "sip:example.com", "User-Agent: sipcli/v1.8"),
				w.request("INVITE", "sip:100@example.com", "User-Agent: x pplSIP"),
				w.request("OPTIONS", "sip:example.com", "User-Agent: friendly-scanner", "CSeq: 1 INVITE"),
				w.request("OPTIONS", "sip:100@"+r.Addr(transport).String()),
				w.request("REGISTER", "sip:elsewhere.example"),
				w.request("INVITE", "sip:100@203.0.113.1"),
			} {
				w.send(text)
			}
			r.answered(w)
			if got := r.metric("reveille_guard_dropped_total"); got != 7 {
				t.Errorf("%v requests were dropped, want 7", got)
			}
			r.register(r.phone("alice", transport, ""))
		})
	}
}

// TestGuard_BansWhoGuesses: the source is dropped, but only where it cannot be
// somebody else, and never where a phone is registered.
func TestGuard_BansWhoGuesses(t *testing.T) {
	const ban = "ban: {failures: 3, within: 10m, time: 1h}"
	guess := func(r *rig, w *wire) {
		for i := range 4 { // one more than may fail
			w.send(w.request("REGISTER", "sip:example.com", fmt.Sprintf(
				`Authorization: Digest username="alice", realm="example.com", nonce="x%d", uri="sip:example.com", response="00000000000000000000000000000000"`, i)))
			w.expect(401)
		}
	}
	banned := func(e *events) (n int) {
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, x := range e.all {
			if _, ok := x.(event.SourceBanned); ok {
				n++
			}
		}
		return n
	}
	t.Run("on a connection", func(t *testing.T) {
		r := newRig(t, guardYAML(ban))
		w := r.dialFrom("127.0.0.2", "tcp")
		guess(r, w)
		r.eventually("the source is banned", func() bool { return r.metric("reveille_guard_banned_sources") == 1 })
		for _, transport := range []string{"tcp", "udp"} {
			again := r.dialFrom("127.0.0.2", transport)
			dropped := r.metric("reveille_guard_dropped_total", "banned")
			again.send(again.request("OPTIONS", "sip:example.com"))
			r.eventually("its "+transport+" is dropped", func() bool { return r.metric("reveille_guard_dropped_total", "banned") > dropped })
		}
		r.answered(r.dialFrom("127.0.0.3", "tcp"))
		if n := banned(r.events); n != 1 {
			t.Errorf("%d events, want 1", n)
		}
		if list := r.banned(); len(list) != 1 || list[0].Source != "127.0.0.2" || list[0].Reason != "authentication" || list[0].DatagramsOnly {
			t.Errorf("listed as %+v", list)
		}
		if !r.guard.Lift(netip.MustParseAddr("127.0.0.2")) {
			t.Error("Lift = false, want true")
		}
		r.answered(r.dialFrom("127.0.0.2", "tcp"))
	})
	t.Run("by datagrams", func(t *testing.T) {
		r := newRig(t, guardYAML(ban))
		w := r.dialFrom("127.0.0.2", "udp")
		guess(r, w)
		r.eventually("the source is banned", func() bool { return r.metric("reveille_guard_banned_sources") == 1 })
		w.send(w.request("OPTIONS", "sip:example.com"))
		r.eventually("its datagrams are dropped", func() bool { return r.metric("reveille_guard_dropped_total", "banned") == 1 })
		// It may have been forged: who is really there can connect.
		r.answered(r.dialFrom("127.0.0.2", "tcp"))
	})
	t.Run("where a phone is registered", func(t *testing.T) {
		r := newRig(t, guardYAML(ban))
		r.register(r.phone("bob", "udp", ""))
		guess(r, r.dialFrom("127.0.0.1", "udp"))
		r.eventually("the source is spared", func() bool { return r.metric("reveille_guard_spared_total") >= 1 })
		r.answered(r.dialFrom("127.0.0.1", "udp"))
		if n := banned(r.events); n != 0 {
			t.Errorf("%d events, want none", n)
		}
	})
}

// TestGuard_OneUserTooOften: the limits per user count who may, not strangers,
// and are the same on the fast way.
func TestGuard_OneUserTooOften(t *testing.T) {
	for _, fast := range []bool{true, false} {
		t.Run(fmt.Sprintf("registrations, fastpath %t", fast), func(t *testing.T) {
			r := newRig(t, guardYAML("per_aor: {registers: 1, burst: 3}"), fmt.Sprintf("registrar: {fastpath: %t}", fast))
			w := r.dial("udp")
			for range 10 {
				// Strangers do not use up what is alice's.
				w.send(w.request("REGISTER", "sip:example.com"))
				w.expect(401)
			}
			alice := r.phone("alice", "udp", "")
			for i := range 4 {
				err := alice.Register(r.within())
				if want := i < 3; (err == nil) != want || err != nil && status(err) != 480 {
					t.Errorf("registration %d = %v, want success %t, else 480", i, err, want)
				}
			}
			r.register(r.phone("bob", "udp", ""))
		})
	}
	t.Run("calls", func(t *testing.T) {
		r := newRig(t, guardYAML("per_aor: {calls: 1, burst: 2}"))
		w := r.dial("udp")
		for range 10 {
			w.send(w.request("INVITE", "sip:alice@example.com"))
			w.expect(407)
		}
		bob := r.phone("bob", "udp", "", func(o *phone.Options) {})
		r.register(bob)
		for i, want := range []int{480, 480, 480} {
			// The first two because alice is not there.
			refused := r.metric("reveille_guard_refused_total", "call")
			if err := ring(r, bob); status(err) != want {
				t.Errorf("call %d = %v, want %d", i, err, want)
			}
			if limited := r.metric("reveille_guard_refused_total", "call") > refused; limited != (i == 2) {
				t.Errorf("call %d was refused by the limit = %t", i, limited)
			}
		}
	})
}

func TestGuard_Reload(t *testing.T) {
	r := newRig(t, guardYAML("rate: {per_source: 1, burst: 1}"))
	w := r.dial("udp")
	r.answered(w)
	w.send(w.request("OPTIONS", "sip:example.com"))
	r.eventually("it is dropped", func() bool { return r.metric("reveille_guard_dropped_total", "rate") == 1 })
	if err := r.Reload(r.config(guardYAML("rate: {per_source: 0}"))); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		r.answered(w)
	}
}
