package proxy

import (
	"errors"
	"testing"
	"time"

	"reveille/flow"
	"reveille/usrloc"
)

func TestListens(t *testing.T) {
	gone := tcp("198.51.100.1:40000", 1)
	tls := gone
	tls.Transport = flow.TLS
	tests := []struct {
		name string
		b    usrloc.Binding
		want string
	}{
		{"its own port", usrloc.Binding{Contact: "sip:a@198.51.100.1:5070;transport=tcp", Flow: gone}, "198.51.100.1:5070"},
		{"the default port", usrloc.Binding{Contact: "sip:a@198.51.100.1;transport=TCP", Flow: gone}, "198.51.100.1:5060"},
		{"TLS by the scheme_RFC3261_26_2_2", usrloc.Binding{Contact: "sips:a@198.51.100.1", Flow: tls}, "198.51.100.1:5061"},
		{"TLS by the parameter", usrloc.Binding{Contact: "sip:a@198.51.100.1:5071;transport=tls", Flow: tls}, "198.51.100.1:5071"},
		{"no downgrade from TLS", usrloc.Binding{Contact: "sip:a@198.51.100.1:5071;transport=tcp", Flow: tls}, ""},
		{"UDP, says the Contact", usrloc.Binding{Contact: "sip:a@198.51.100.1:5070", Flow: gone}, ""},
		{"behind a NAT", usrloc.Binding{Contact: "sip:a@10.0.0.7:5070;transport=tcp", Flow: gone}, ""},
		{"a name", usrloc.Binding{Contact: "sip:a@phone.example:5070;transport=tcp", Flow: gone}, ""},
		{"outbound_RFC5626_7", usrloc.Binding{Contact: "sip:a@198.51.100.1:5070;transport=tcp", RegID: 1, Flow: gone}, ""},
		{"a browser", usrloc.Binding{Contact: "sip:a@198.51.100.1:5070;transport=ws", Flow: wss("198.51.100.1:40000", 1)}, ""},
		{"a phone that sleeps", usrloc.Binding{Contact: "sip:a@198.51.100.1:5070;transport=tcp", Push: usrloc.Push{Provider: "fcm"}, Flow: gone}, ""},
		{"through an edge_RFC3327_5_2", usrloc.Binding{Contact: "sip:a@10.0.0.7:5070", Path: []string{"<sip:198.51.100.1:5090;transport=tcp;lr>"}, Flow: gone}, "198.51.100.1:5090"},
		{"outbound through an edge", usrloc.Binding{Contact: "sip:a@10.0.0.7:5070", RegID: 1, Path: []string{"<sip:198.51.100.1:5090;transport=tcp;lr;ob>"}, Flow: gone}, "198.51.100.1:5090"},
		{"through an edge elsewhere", usrloc.Binding{Contact: "sip:a@198.51.100.1:5070;transport=tcp", Path: []string{"<sip:203.0.113.77;transport=tcp;lr>"}, Flow: gone}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, ok := listens(&tt.b)
			if got := h.addr.String(); ok != (tt.want != "") || ok && got != tt.want {
				t.Errorf("listens = %s %v, want %q", got, ok, tt.want)
			}
		})
	}
}

func TestContactFlow_ThroughAnEdge_RFC3327_5_2(t *testing.T) {
	b := usrloc.Binding{Contact: "sip:a@10.0.0.7:5060", Path: []string{"<sip:198.51.100.1:5090;lr>"}, Flow: udp("198.51.100.1:40000")}
	if got := contactFlow(&b).Remote.String(); got != "198.51.100.1:5090" {
		t.Errorf("contactFlow = %s, want the port that the edge names", got)
	}
}

func TestInvite_PhoneWithoutConnectionIsDialled(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", tcp("198.51.100.1:40000", 1), "")
		p.uri = "sip:alice@198.51.100.1:5070;transport=tcp"
		w.register(p)
		w.breaks(p.flow)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.1:5070")[0]
		if out.flow.Transport != flow.TCP {
			t.Errorf("dialled by %s, want TCP", out.flow.Transport)
		}
		w.reply(out, 200, "Contact: <sip:alice@198.51.100.1:5070;transport=tcp>")
		answer := w.expect("200 203.0.113.9:5060")[0].m
		// Inside the dialog, too.
		w.recv(caller, inDialogRequest("BYE", 2, answer, true, "sip:alice@198.51.100.1:5070;transport=tcp"))
		w.reply(w.expect("BYE 198.51.100.1:5070")[0], 200)
		w.expect("200 203.0.113.9:5060")
		w.with(func() { w.unreachable = errors.New("connection refused") })
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c2"))
		w.expect("480 203.0.113.9:5060")
	})
}

// RFC 5626 §7: another flow of the phone is tried only if the first one failed as
// a flow; what the phone itself said stands.
func TestInvite_NextFlowOfTheInstance_RFC5626_7(t *testing.T) {
	tests := []struct {
		name   string
		before int // the provisional answer
		status int
		want   string // what follows
	}{
		{"Flow Failed", 100, 430, "INVITE 198.51.100.1:5060"},
		{"Request Timeout", 100, 408, "INVITE 198.51.100.1:5060"},
		{"Busy", 100, 486, "486 203.0.113.9:5060"},
		{"Not Found", 100, 404, "404 203.0.113.9:5060"},
		{"Nobody Picked Up", 180, 408, "408 203.0.113.9:5060"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				first := w.newPhone("alice", udp("198.51.100.1:5060"), "")
				second := w.newPhone("alice", udp("198.51.100.2:5060"), "")
				second.instance, first.regID, second.regID = first.instance, 2, 1
				w.register(first)
				time.Sleep(time.Second)
				w.register(second)
				w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
				out := w.expect("INVITE 198.51.100.2:5060")[0]
				w.reply(out, tt.before)
				w.take()
				w.reply(out, tt.status)
				if next := w.expect("ACK 198.51.100.2:5060", tt.want)[1]; next.m.IsRequest() {
					w.reply(next, 200)
					w.expect("200 203.0.113.9:5060")
				}
			})
		})
	}
}

func TestInvite_NextFlowWhenTheConnectionBreaks_RFC5626_7(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		first := w.newPhone("alice", tcp("198.51.100.1:40000", 1), "")
		second := w.newPhone("alice", tcp("198.51.100.1:40001", 2), "")
		second.instance, first.regID, second.regID = first.instance, 1, 2
		w.register(first)
		time.Sleep(time.Second)
		w.register(second)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.expect("INVITE 198.51.100.1:40001")
		w.breaks(second.flow)
		w.reply(w.expect("INVITE 198.51.100.1:40000")[0], 200)
		w.expect("200 203.0.113.9:5060")
	})
}

// The phone moved twice while the request was out: only where it is now counts.
func TestInvite_NextFlowIsWhereThePhoneIsNow_RFC5626_7(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		w.reply(out, 183)
		w.expect("183 203.0.113.9:5060")
		for _, addr := range []string{"198.51.100.1:6001", "198.51.100.1:6002"} {
			p.flow = udp(addr)
			w.register(p)
		}
		w.expect()
		w.reply(out, 430)
		out = w.expect("ACK 198.51.100.1:5060", "INVITE 198.51.100.1:6002")[1]
		// It fails there, too, and is gone.
		w.unregister(p)
		w.reply(out, 430)
		// RFC 5626 §11.5: the caller is told that the phone is not there.
		w.expect("ACK 198.51.100.1:6002", "480 203.0.113.9:5060")
	})
}
