package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"reveille/flow"
	"reveille/internal/resolve"
)

// largeInvite is one of so many bytes, before it is forwarded.
func largeInvite(id string, size int) string {
	text := request("INVITE", "sip:+4912@example.org", id)
	pad := size - len(text) - strings.Count(text, "\n") - len("Subject: \r\n")
	return request("INVITE", "sip:+4912@example.org", id, "Subject: "+strings.Repeat("x", pad))
}

// TestLarge_ByTCP_RFC3261_18_1_1: what does not fit into a datagram goes to a next hop
// by TCP.
func TestLarge_ByTCP_RFC3261_18_1_1(t *testing.T) {
	tests := []struct {
		name  string
		size  int
		to    string
		route Route
		noTCP error
		late  time.Duration
		// want is by what it leaves, after how long.
		want  flow.Transport
		after time.Duration
	}{
		{name: "small", size: 900, to: "sip:" + gwA, want: flow.UDP},
		{name: "large", size: 1301, to: "sip:" + gwA, want: flow.TCP},
		{name: "large, to a name", size: 1301, to: "sip:gw.example", want: flow.TCP, after: 100 * time.Millisecond},
		{name: "large, though the URI says UDP", size: 1301, to: "sip:" + gwA + ";transport=udp", want: flow.TCP},
		{name: "refused", size: 1301, to: "sip:" + gwA, noTCP: errors.New("refused"), want: flow.UDP},
		{name: "swallowed", size: 1301, to: "sip:" + gwA, late: time.Minute, want: flow.UDP, after: 2 * time.Second},
		{name: "switched off", size: 1301, to: "sip:" + gwA, route: Route{LargeByUDP: true}, want: flow.UDP},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.route
			r.Name, r.Domain, r.To = "trunk", "*", to(tt.to)
			viaTrunk(t, Options{Routes: []Route{r}}, func(w *world) {
				w.noTCP, w.late = tt.noTCP, tt.late
				w.recv(caller, largeInvite("c1", tt.size))
				if tt.after > 0 {
					for _, s := range w.take() {
						if s.m.IsRequest() {
							t.Errorf("%s to %s, too early", s.m.Method(), s.flow)
						}
					}
					w.after(tt.after)
				}
				w.after(time.Millisecond)
				s := w.expect("INVITE " + gwA)[0]
				if s.flow.Transport != tt.want {
					t.Errorf("it left by %s, want %s", s.flow.Transport, tt.want)
				}
				if got := s.m.TopVia().Transport; got != tt.want.String() {
					t.Errorf("the Via says %s, want %s", got, tt.want)
				}
				w.reply(s, 603)
				w.expect("ACK "+gwA, "603 203.0.113.9:5060")
				if tt.want == flow.TCP || tt.size < 1300 {
					return
				}
				// The next one does not wait for that.
				w.recv(caller, largeInvite("c2", tt.size))
				s = w.expect("INVITE " + gwA)[0]
				if s.flow.Transport != flow.UDP {
					t.Errorf("the second one left by %s", s.flow.Transport)
				}
				w.reply(s, 603)
				w.expect("ACK "+gwA, "603 203.0.113.9:5060")
			})
		})
	}
}

// TestLarge_CancelledWhileConnecting: nothing leaves for a call that has ended.
func TestLarge_CancelledWhileConnecting(t *testing.T) {
	viaTrunk(t, Options{Routes: []Route{{Name: "trunk", Domain: "*", To: to("sip:" + gwA)}}}, func(w *world) {
		w.late = time.Second
		w.recv(caller, largeInvite("c1", 1500))
		w.recv(caller, strings.Replace(cancelOf("c1"), "sip:alice@example.com", "sip:+4912@example.org", 1))
		w.expect("200 203.0.113.9:5060", "487 203.0.113.9:5060")
		w.after(time.Minute)
		for _, s := range w.take() {
			if s.m.IsRequest() {
				t.Errorf("%s to %s", s.m.Method(), s.flow)
			}
		}
	})
}

// TestLarge_Phones_RFC3261_18_1_1: a phone is reached by its flow, whatever the size:
// behind a NAT nobody can connect to it.
func TestLarge_Phones_RFC3261_18_1_1(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		bob := w.newPhone("bob", udp("203.0.113.77:5060"), "")
		w.register(bob)
		w.recv(caller, request("INVITE", "sip:bob@example.com", "c1", "Subject: "+strings.Repeat("x", 1500)))
		s := w.expect("INVITE 203.0.113.77:5060")[0]
		if s.flow != bob.flow {
			t.Errorf("it left on %v, want %v", s.flow, bob.flow)
		}
		w.reply(s, 603)
	})
}

// known is a Trunks that knows the addresses of a route.
type known map[string][]string

func (known) Checked(string, resolve.Hop) (bool, time.Time, bool) { return false, time.Time{}, false }

func (k known) At(_ flow.Transport, a netip.AddrPort) []string { return k[a.String()] }

// TestLarge_InDialog_RFC3261_18_1_1: the rule holds inside the dialogs of a trunk.
func TestLarge_InDialog_RFC3261_18_1_1(t *testing.T) {
	for _, known := range []known{{gwA: {"trunk"}}, {}} {
		t.Run(fmt.Sprint(len(known) > 0), func(t *testing.T) {
			o := Options{Trunks: known, Routes: []Route{{Name: "trunk", Domain: "example.org", To: to("sip:gw.example")}}, Resolver: dnsNames{}}
			inWorld(t, o, func(w *world) {
				bob := w.newPhone("bob", udp("203.0.113.77:5060"), "")
				w.register(bob)
				ok := w.callFrom(udp(gwA), bob, "sip:alice@"+gwA)
				w.recv(udp(gwA), inDialogRequest("ACK", 1, ok, true, "sip:bob@203.0.113.77:5060"))
				w.expect("ACK 203.0.113.77:5060")
				w.recv(bob.flow, strings.Replace(inDialogRequest("INFO", 2, ok, false, "sip:alice@"+gwA), "Content-Length", "Subject: "+strings.Repeat("x", 1500)+"\nContent-Length", 1))
				w.after(time.Millisecond)
				s := w.expect("INFO " + gwA)[0]
				if tcp := s.flow.Transport == flow.TCP; tcp != (len(known) > 0) {
					t.Errorf("it left by %s", s.flow.Transport)
				}
				w.reply(s, 200)
			})
		})
	}
}
