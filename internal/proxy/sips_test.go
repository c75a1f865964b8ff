package proxy

import (
	"net/netip"
	"strings"
	"testing"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

func tls(addr string, n uint64) flow.Flow {
	return flow.Flow{Listener: "main-tls", Transport: flow.TLS, Remote: netip.MustParseAddrPort(addr), Conn: n, Incarnation: 1}
}

var edge = []string{"<sip:198.51.100.1:5061;transport=tls;lr>"}

func TestSIPS_SecureFlowsAlone_RFC3261_26_2_2(t *testing.T) {
	tests := []struct {
		name     string
		flow     flow.Flow
		provider string
		uri      string
		path     []string
		want     string
	}{
		{"a phone on UDP", udp("198.51.100.1:5060"), "", "", nil, "480 203.0.113.9:5060"},
		{"on TCP", tcp("198.51.100.1:5060", 1), "", "", nil, "480 203.0.113.9:5060"},
		{"that sleeps", tcp("198.51.100.1:5060", 1), "fcm", "", nil, "480 203.0.113.9:5060"},
		{"on TLS", tls("198.51.100.1:5061", 1), "", "", nil, "INVITE 198.51.100.1:5061"},
		{"a browser", wss("198.51.100.1:443", 1), "", "", nil, "INVITE 198.51.100.1:443"},
		{"behind an edge, to which it has no TLS", tls("198.51.100.1:5061", 1), "", "sip:alice@10.0.0.7", edge, "480 203.0.113.9:5060"},
		{"behind an edge, by TLS", tls("198.51.100.1:5061", 1), "", "sips:alice@10.0.0.7", edge, "INVITE 198.51.100.1:5061"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				p := w.newPhone("alice", tt.flow, tt.provider)
				p.path, p.uri = tt.path, tt.uri
				w.register(p)
				w.recv(caller, request("INVITE", "sips:alice@example.com", "c1"))
				out := w.expect(tt.want)[0]
				w.pushCount(0)
				if out.m.IsRequest() {
					w.reply(out, 486)
				}
			})
		})
	}
}

// A phone that wakes where nothing is secure does not get what may not go there.
func TestSIPS_PhoneThatComesBackInTheOpen_RFC3261_26_2_2(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", tls("198.51.100.1:5061", 1), "fcm")
		w.register(p)
		w.sleeps(p)
		w.recv(caller, request("INVITE", "sips:alice@example.com", "c1"))
		w.pushCount(1)
		w.expect()
		p.flow = tcp("198.51.100.7:5060", 2)
		w.register(p)
		w.expect("480 203.0.113.9:5060")
	})
}

func TestSIPS_Routes_RFC3261_26_2_2(t *testing.T) {
	for transport, want := range map[string]string{"tcp": "480 203.0.113.9:5060", "tls": "INVITE 203.0.113.80:5061"} {
		t.Run(transport, func(t *testing.T) {
			inWorld(t, Options{Routes: []Route{{Name: "trunk", Domain: "*", To: to("sip:203.0.113.80:5061;transport=" + transport)}}}, func(w *world) {
				w.admit = func(*sipmsg.Message) Admission { return Admission{Trusted: true} }
				w.recv(caller, request("INVITE", "sips:carol@example.org", "c1"))
				if out := w.expect(want)[0]; out.m.IsRequest() {
					w.reply(out, 486)
				}
			})
		})
	}
}

// RFC 3261 §16.6 step 4: who is next sends the later requests as securely.
func TestSIPS_RecordRoute_RFC3261_16_6_4(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", tls("198.51.100.1:5061", 1), ""))
		bob := tls("203.0.113.9:5061", 2)
		w.recv(bob, request("INVITE", "sips:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.1:5061")[0]
		rr := out.m.RecordRoutes()
		if len(rr) != 1 || !rr[0].URI.IsSIPS() {
			t.Fatalf("Record-Route %v, want one sips URI", rr)
		}
		w.reply(out, 200, "Contact: <sips:alice@198.51.100.1:5061>")
		answer := w.expect("200 203.0.113.9:5061")[0].m
		// The token in it is ours all the same.
		bye := strings.ReplaceAll(inDialogRequest("BYE", 2, answer, true, "sips:alice@198.51.100.1:5061"), "SIP/2.0/UDP", "SIP/2.0/TLS")
		w.recv(bob, bye)
		w.reply(w.expect("BYE 198.51.100.1:5061")[0], 200)
		w.expect("200 203.0.113.9:5061")
	})
}
