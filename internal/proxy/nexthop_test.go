package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"reveille/flow"
	"reveille/internal/resolve"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

func to(uris ...string) []NextHop {
	var list []NextHop
	for i, s := range uris {
		u, err := sipmsg.ParseURI(s)
		if err != nil {
			panic(err)
		}
		t, err := resolve.TargetOf(u)
		if err != nil {
			panic(err)
		}
		// In this order, whatever chance says.
		list = append(list, NextHop{Target: t, Priority: uint16(i)})
	}
	return list
}

// dnsNames is a Resolver that knows these; its answers come after a while.
type dnsNames map[string][]resolve.Hop

func (n dnsNames) Resolve(_ context.Context, t resolve.Target, done func([]resolve.Hop, error)) {
	time.AfterFunc(100*time.Millisecond, func() {
		if hops := n[t.Host]; len(hops) > 0 {
			done(hops, nil)
			return
		}
		done(nil, fmt.Errorf("%s: %w", t, resolve.ErrNotFound))
	})
}

func hopsTo(t flow.Transport, name string, addrs ...string) []resolve.Hop {
	var list []resolve.Hop
	for _, a := range addrs {
		list = append(list, resolve.Hop{Transport: t, Addr: netip.MustParseAddrPort(a), Name: name})
	}
	return list
}

const (
	gwA = "198.51.100.81:5060"
	gwB = "198.51.100.82:5060"
)

// viaTrunk runs a call of a trusted sender by a route to sip:gw.example, which has two
// addresses.
func viaTrunk(t *testing.T, o Options, fn func(w *world)) {
	t.Helper()
	if o.Resolver == nil {
		o.Resolver = dnsNames{"gw.example": hopsTo(flow.UDP, "gw.example", gwA, gwB)}
	}
	if o.Routes == nil {
		o.Routes = []Route{{Name: "trunk", Domain: "*", To: to("sip:gw.example")}}
	}
	inWorld(t, o, func(w *world) {
		w.admit = func(*sipmsg.Message) Admission { return Admission{User: "sip:bob@example.net"} }
		fn(w)
	})
}

// dial sends the call, and waits for the look-up.
func (w *world) dial() {
	w.t.Helper()
	w.recv(caller, request("INVITE", "sip:+4912@example.org", "c1"))
	w.after(100 * time.Millisecond)
}

// after lets time go by.
func (w *world) after(d time.Duration) {
	time.Sleep(d)
	w.with(func() {})
}

func TestNextHop_Failover_RFC3263_4_3(t *testing.T) {
	const upstream = "203.0.113.9:5060"
	tests := []struct {
		name string
		// first is what the first hop does.
		first func(w *world, invite sent)
		// want is what is sent then.
		want []string
	}{
		{"503", func(w *world, i sent) { w.reply(i, 503) }, []string{"ACK " + gwA, "INVITE " + gwB}},
		{"503 after 100", func(w *world, i sent) { w.reply(i, 100); w.reply(i, 503) }, []string{"ACK " + gwA, "INVITE " + gwB}},
		{"it cannot be sent to any more", func(w *world, i sent) { w.breaks(i.flow); w.after(700 * time.Millisecond) }, []string{"INVITE " + gwB}},
		{"an answer of the user's", func(w *world, i sent) { w.reply(i, 486) }, []string{"ACK " + gwA, "486 " + upstream}},
		{"another failure of the server's", func(w *world, i sent) { w.reply(i, 500) }, []string{"ACK " + gwA, "500 " + upstream}},
		{"a success", func(w *world, i sent) { w.reply(i, 200) }, []string{"200 " + upstream}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			viaTrunk(t, Options{}, func(w *world) {
				w.dial()
				invite := w.expect("INVITE " + gwA)[0]
				tt.first(w, invite)
				out := w.expect(tt.want...)
				second := out[len(out)-1]
				if second.m.Method() != "INVITE" || !second.m.IsRequest() {
					return
				}
				if a, b := invite.m.TopVia().Branch(), second.m.TopVia().Branch(); a == b || a == "" {
					t.Errorf("branches %q and %q, want two", a, b)
				}
				if a, b := invite.m.RequestURI().String(), second.m.RequestURI().String(); a != b {
					t.Errorf("Request-URI %s, then %s", a, b)
				}
				w.reply(second, 180)
				w.expect("180 " + upstream)
				w.reply(second, 503)
				// RFC 3261 §16.7 step 6: a lone 503 is not passed on.
				w.expect("ACK "+gwB, "500 "+upstream)
			})
		})
	}
}

// TestNextHop_Silent_RFC3263_4_3: a hop that says nothing is given up, and told so as
// soon as it says something.
func TestNextHop_Silent_RFC3263_4_3(t *testing.T) {
	for _, late := range []int{0, 180, 200} {
		t.Run(fmt.Sprint("says ", late), func(t *testing.T) {
			viaTrunk(t, Options{}, func(w *world) {
				w.dial()
				first := w.expect("INVITE " + gwA)[0]
				time.Sleep(5900 * time.Millisecond)
				for _, s := range w.take() {
					if s.m.IsRequest() && s.flow != first.flow {
						t.Errorf("%s %s, too early", s.m.Method(), s.flow)
					}
				}
				time.Sleep(200 * time.Millisecond)
				second := w.expect("INVITE " + gwB)[0]
				switch late {
				case 180:
					w.reply(first, 180)
					w.reply(w.expect("CANCEL " + gwA)[0], 200)
					w.reply(first, 487)
					w.expect("ACK " + gwA)
				case 200:
					// Somebody has taken the call.
					w.reply(first, 200)
					w.expect("200 203.0.113.9:5060")
					w.reply(second, 100)
					w.reply(w.expect("CANCEL " + gwB)[0], 200)
					w.reply(second, 487)
					w.expect("ACK " + gwB)
					return
				}
				w.reply(second, 200)
				w.expect("200 203.0.113.9:5060")
			})
		})
	}
}

// TestNextHop_Cancel_RFC3263_4_3: CANCEL and the ACK of a refusal go where the INVITE
// went.
func TestNextHop_Cancel_RFC3263_4_3(t *testing.T) {
	viaTrunk(t, Options{}, func(w *world) {
		w.dial()
		w.reply(w.expect("INVITE " + gwA)[0], 503)
		second := w.expect("ACK "+gwA, "INVITE "+gwB)[1]
		w.reply(second, 180)
		w.expect("180 203.0.113.9:5060")
		w.recv(caller, strings.Replace(cancelOf("c1"), "sip:alice@example.com", "sip:+4912@example.org", 1))
		out := w.expect("200 203.0.113.9:5060", "CANCEL "+gwB)
		if a, b := second.m.TopVia().Branch(), out[1].m.TopVia().Branch(); a != b {
			t.Errorf("CANCEL has branch %s, want %s", b, a)
		}
		w.reply(out[1], 200)
		// RFC 3261 §9.1: nobody else is called any more, whatever the answer.
		w.reply(second, 503)
		w.expect("ACK "+gwB, "487 203.0.113.9:5060")
	})
}

func TestNextHop_CancelledWhileLookedUp(t *testing.T) {
	viaTrunk(t, Options{}, func(w *world) {
		w.recv(caller, request("INVITE", "sip:+4912@example.org", "c1"))
		w.recv(caller, strings.Replace(cancelOf("c1"), "sip:alice@example.com", "sip:+4912@example.org", 1))
		w.expect("200 203.0.113.9:5060", "487 203.0.113.9:5060")
		w.after(time.Second)
		for _, s := range w.take() {
			if s.m.IsRequest() {
				t.Errorf("%s to %s", s.m.Method(), s.flow)
			}
		}
	})
}

func TestNextHop_Names(t *testing.T) {
	known := dnsNames{
		"gw.example":  hopsTo(flow.TLS, "gw.example", "198.51.100.81:5061"),
		"own.example": hopsTo(flow.UDP, "own.example", "192.0.2.1:5060"),
	}
	tests := []struct {
		name string
		to   []NextHop
		want string
		cert string
	}{
		{"a name, by TLS", to("sip:gw.example"), "INVITE 198.51.100.81:5061", "gw.example"},
		{"an address", to("sip:198.51.100.81;transport=tcp"), "INVITE " + gwA, ""},
		{"the first is in no DNS", to("sip:no.example", "sip:gw.example"), "INVITE 198.51.100.81:5061", "gw.example"},
		{"none is", to("sip:no.example", "sip:nor.example"), "500 203.0.113.9:5060", ""},
		{"we ourselves", to("sip:own.example"), "500 203.0.113.9:5060", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			viaTrunk(t, Options{Resolver: known, Routes: []Route{{Name: "trunk", Domain: "*", To: tt.to}}}, func(w *world) {
				w.dial()
				w.after(100 * time.Millisecond)
				out := w.expect(tt.want)
				if out[0].m.IsRequest() {
					w.with(func() {
						if got := w.names[len(w.names)-1]; got != tt.cert {
							t.Errorf("a certificate for %q, want %q", got, tt.cert)
						}
					})
					w.reply(out[0], 486)
				}
			})
		})
	}
}

// TestRoute_Weights_RFC2782: the lowest priority comes first, and equal ones share the
// calls.
func TestRoute_Weights_RFC2782(t *testing.T) {
	list := to("sip:192.0.2.10", "sip:192.0.2.11", "sip:192.0.2.12")
	list[0].Priority, list[1].Priority, list[2].Priority = 5, 1, 1
	list[1].Weight, list[2].Weight = 100, 300
	r := Route{To: list}
	first := map[string]int{}
	for range 2000 {
		tg := r.target()
		first[tg.way.to[0].Host]++
		if last := tg.way.to[len(tg.way.to)-1]; last.Host != "192.0.2.10" {
			t.Fatalf("%s comes last", last)
		}
	}
	if n := first["192.0.2.12"]; n < 1350 || n > 1650 || n+first["192.0.2.11"] != 2000 {
		t.Errorf("first hops %v, want three quarters for the weightier", first)
	}
}

// TestNextHop_Told: a next hop that is trusted is told who calls, by whatever name it
// was found (RFC 3325 §5).
func TestNextHop_Told_RFC3325_5(t *testing.T) {
	for _, trusted := range []bool{true, false} {
		t.Run(fmt.Sprint(trusted), func(t *testing.T) {
			viaTrunk(t, Options{Routes: []Route{{Name: "trunk", Domain: "*", To: to("sip:gw.example"), Trusted: trusted}}}, func(w *world) {
				w.dial()
				out := w.expect("INVITE " + gwA)[0]
				if _, has := out.m.HeaderNamed("P-Asserted-Identity"); has != trusted {
					t.Errorf("told who calls: %v, want %v", has, trusted)
				}
				w.reply(out, 486)
			})
		})
	}
}

// TestNextHop_Contact: what is configured for a user may have a name, too.
func TestNextHop_Contact(t *testing.T) {
	u, err := sipmsg.ParseURI("sip:gw.example")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{AORs: map[usrloc.AOR]AOR{"sip:desk@example.com": {Contacts: []Contact{{URI: u}}}}}
	viaTrunk(t, o, func(w *world) {
		w.recv(caller, request("INVITE", "sip:desk@example.com", "c1"))
		w.after(100 * time.Millisecond)
		first := w.expect("INVITE " + gwA)[0]
		if got := first.m.RequestURI().String(); got != "sip:desk@gw.example" {
			t.Errorf("Request-URI %s", got)
		}
		w.reply(first, 503)
		w.reply(w.expect("ACK "+gwA, "INVITE "+gwB)[1], 200)
		w.expect("200 203.0.113.9:5060")
	})
}

// TestNextHop_Peer: a peer in a dialog whose connection is gone is found by its name.
func TestNextHop_Peer_RFC3261_16_6(t *testing.T) {
	o := Options{Resolver: dnsNames{"pbx.example": hopsTo(flow.TCP, "pbx.example", gwA)}}
	inWorld(t, o, func(w *world) {
		bob := w.newPhone("bob", udp("203.0.113.9:5060"), "")
		w.register(bob)
		pbx := tcp("198.51.100.81:40000", 1)
		ok := w.callFrom(pbx, bob, "sip:alice@pbx.example;transport=tcp")
		w.recv(pbx, inDialogRequest("ACK", 1, ok, true, "sip:bob@203.0.113.9:5060"))
		w.expect("ACK 203.0.113.9:5060")
		w.breaks(pbx)
		w.recv(bob.flow, inDialogRequest("INVITE", 2, ok, false, "sip:alice@pbx.example;transport=tcp"))
		w.after(100 * time.Millisecond)
		w.reply(w.expect("INVITE " + gwA)[0], 200)
		w.expect("200 203.0.113.9:5060")
		w.recv(bob.flow, inDialogRequest("ACK", 2, ok, false, "sip:alice@pbx.example;transport=tcp"))
		w.after(100 * time.Millisecond)
		w.expect("ACK " + gwA)
	})
}

func TestOptions_Routes(t *testing.T) {
	for name, r := range map[string]Route{"nowhere": {Name: "x"}, "a name without a Resolver": {Name: "x", To: to("sip:gw.example")}} {
		o := Options{Routes: []Route{r}}
		if err := o.validateRoutes(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	p := &Proxy{}
	p.options.Store(&Options{})
	p.resolve(resolve.Target{Host: "x.example"}, func(_ []resolve.Hop, err error) {
		if !errors.Is(err, errNoResolver) {
			t.Errorf("resolve without a Resolver: %v", err)
		}
	})
}
