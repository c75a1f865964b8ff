package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/flow"
)

// TestRequest_AnyMethod_RFC3261_16_3: what a proxy does not know is no reason to refuse.
func TestRequest_AnyMethod_RFC3261_16_3(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.recv(caller, request("WINK", "sip:alice@example.com", "x1", "Require: winking", "X-Eye: left"))
		out := w.expect("WINK 198.51.100.1:5060")[0]
		for _, line := range []string{"\r\nRequire: winking\r\n", "\r\nX-Eye: left\r\n"} {
			if !strings.Contains(out.m.Raw(), line) {
				t.Errorf("the phone gets\n%s, want %q in it", out.m.Raw(), line)
			}
		}
		w.reply(out, 200)
		w.expect("200 203.0.113.9:5060")
	})
}

// TestRequest_ByTwoWays_RFC3261_16_3: the same request by another way is no error for a
// proxy. The phone tells them apart.
func TestRequest_ByTwoWays_RFC3261_16_3(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		text := request("INVITE", "sip:alice@example.com", "c1")
		w.recv(caller, text)
		first := w.expect("INVITE 198.51.100.1:5060")[0]
		w.recv(caller, strings.Replace(text, ";branch=", ";branch=z9hG4bK-other-way;x=", 1))
		second := w.expect("INVITE 198.51.100.1:5060")[0]
		w.reply(second, 482)
		w.expect("ACK 198.51.100.1:5060", "482 203.0.113.9:5060")
		w.reply(first, 200)
		w.expect("200 203.0.113.9:5060")
	})
}

// TestForward_MaxForwards_RFC3261_16_6_3: one less, or what is configured.
func TestForward_MaxForwards_RFC3261_16_6_3(t *testing.T) {
	inWorld(t, Options{MaxForwards: 42}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		for id, tt := range map[string]struct {
			line string
			want int
		}{"c1": {"Max-Forwards: 1\n", 0}, "c2": {"", 42}} {
			w.recv(caller, strings.Replace(request("MESSAGE", "sip:alice@example.com", id), "Max-Forwards: 70\n", tt.line, 1))
			out := w.expect("MESSAGE 198.51.100.1:5060")[0]
			if n, ok := out.m.MaxForwards(); !ok || n != tt.want {
				t.Errorf("%q: Max-Forwards %d, %t, want %d", tt.line, n, ok, tt.want)
			}
			w.reply(out, 200)
			w.expect("200 203.0.113.9:5060")
		}
	})
}

// TestForward_NoTrying_RFC3261_16_7_4: a 100 is of one hop, all else that is no final goes
// up at once.
func TestForward_NoTrying_RFC3261_16_7_4(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.invite()
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		time.Sleep(time.Second)
		w.take()
		w.reply(out, 100)
		if got := w.take(); len(got) != 0 {
			t.Errorf("after a 100 there is sent%s", lines(got))
		}
		for _, code := range []int{181, 183, 199} {
			w.reply(out, code)
			if got := w.take(); len(got) != 1 || got[0].m.Status() != code {
				t.Errorf("after %d there is sent%s", code, lines(got))
			}
		}
		w.reply(out, 200)
		w.expect("200 203.0.113.9:5060")
	})
}

// TestInDialog_PURRInRoute_RFC8599_6_2_3: a peer may have the PURR in its route set.
func TestInDialog_PURRInRoute_RFC8599_6_2_3(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		bob := w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("INVITE", "sip:alice@198.51.100.1:5060", "x1", "Route: <sip:192.0.2.1;lr;pn-purr="+w.keys.Mint(bob.id)+">"))
		w.pushCount(1)
		bob.flow = udp("198.51.100.1:7777")
		w.register(bob)
		w.expect("INVITE 198.51.100.1:7777")
	})
}

// TestInDialog_PRACKWhoseConnectionBreaks_RFC8599_6_2_3: it is not worth a push, for what
// it acknowledges is lost with the connection. Other requests are.
func TestInDialog_PRACKWhoseConnectionBreaks_RFC8599_6_2_3(t *testing.T) {
	for method, pushes := range map[string]int{"PRACK": 0, "INFO": 1} {
		t.Run(method, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				p := w.newPhone("alice", tcp("198.51.100.1:5060", 1), "fcm")
				w.register(p)
				ok := w.call(p, "c1")
				w.recv(caller, inDialogRequest(method, 2, ok, true, "sip:alice@198.51.100.1:5060"))
				w.expect(method + " 198.51.100.1:5060")
				w.with(func() { w.dead[p.flow] = true })
				w.layer.FlowClosed(p.flow)
				w.after(time.Minute)
				w.pushCount(pushes)
				w.expect("500 203.0.113.9:5060")
			})
		})
	}
}

// twoFamilies is a server that IPv6 reaches at another address.
type twoFamilies struct{ Flows }

func (s twoFamilies) Advertised(f flow.Flow) (string, uint16) {
	if f.Remote.Addr().Is6() {
		return "2001:db8::1", 5060
	}
	return s.Flows.Advertised(f)
}

// TestInDialog_BetweenAddressFamilies_RFC5658_4: each side gets an address of ours that it
// can reach, and both are taken off.
func TestInDialog_BetweenAddressFamilies_RFC5658_4(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.with(func() { w.proxy.opts().Flows = twoFamilies{w.proxy.opts().Flows} })
		p := w.newPhone("alice", udp("[2001:db8::77]:5060"), "")
		w.register(p)
		ok := w.call(p, "c1")
		var hosts []string
		for _, r := range ok.RecordRoutes() {
			hosts = append(hosts, r.URI.Host)
		}
		if d := cmp.Diff([]string{"[2001:db8::1]", "192.0.2.1"}, hosts); d != "" {
			t.Fatalf("Record-Route (-want +got):\n%s", d)
		}
		w.recv(caller, inDialogRequest("BYE", 2, ok, true, "sip:alice@[2001:db8::77]:5060"))
		bye := w.expect("BYE [2001:db8::77]:5060")[0]
		if n := len(bye.m.Routes()); n != 0 {
			t.Errorf("%d Route values left", n)
		}
		w.reply(bye, 200)
		w.expect("200 203.0.113.9:5060")
	})
}
