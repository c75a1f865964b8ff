package proxy

import (
	"testing"
	"time"

	"reveille/flow"
)

// TestInvite_ContactAddedByHand: an operator says where the device is, and it is
// called there for as long as the call lasts.
func TestInvite_ContactAddedByHand_RFC3261_16_6(t *testing.T) {
	for _, tt := range []struct {
		name, contact string
		path          []string
		secure        bool
		want          string // where the INVITE goes; empty: nowhere
		transport     flow.Transport
	}{
		{name: "by UDP", contact: "sip:desk@198.51.100.1:5070", want: "198.51.100.1:5070", transport: flow.UDP},
		{name: "by TCP", contact: "sip:desk@198.51.100.1;transport=tcp", want: "198.51.100.1:5060", transport: flow.TCP},
		{name: "a name", contact: "sip:desk@gw.example", want: gwA, transport: flow.UDP},
		{name: "through an edge_RFC3327_5_2", contact: "sip:desk@10.0.0.7", path: []string{"<sip:198.51.100.1:5090;transport=tcp;lr>"}, want: "198.51.100.1:5090", transport: flow.TCP},
		{name: "through an edge with a name", contact: "sip:desk@10.0.0.7", path: []string{"<sip:gw.example;lr>"}, want: gwA, transport: flow.UDP},
		{name: "a name that is none", contact: "sip:desk@none.example"},
		{name: "a browser", contact: "sip:desk@198.51.100.1;transport=ws"},
		{name: "ourselves", contact: "sip:desk@192.0.2.1:5060"},
		{name: "sips over TLS_RFC3261_26_2_2", contact: "sips:desk@198.51.100.1:5071", secure: true, want: "198.51.100.1:5071", transport: flow.TLS},
		{name: "sips and no TLS_RFC3261_26_2_2", contact: "sip:desk@198.51.100.1:5071", secure: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Resolver: dnsNames{"gw.example": hopsTo(flow.UDP, "gw.example", gwA)}}
			inWorld(t, o, func(w *world) {
				p := w.newPhone("alice", flow.Flow{}, "")
				p.uri, p.path, p.callID, p.instance = tt.contact, tt.path, "", ""
				w.register(p)
				uri := "sip:alice@example.com"
				if tt.secure {
					uri = "sips:alice@example.com"
				}
				w.recv(caller, request("INVITE", uri, "c1"))
				w.after(100 * time.Millisecond)
				if tt.want == "" {
					w.expect("480 203.0.113.9:5060")
					return
				}
				out := w.expect("INVITE " + tt.want)[0]
				if out.flow.Transport != tt.transport || out.m.RequestURI().String() != tt.contact {
					t.Errorf("INVITE %s by %s, want %s by %s", out.m.RequestURI(), out.flow.Transport, tt.contact, tt.transport)
				}
				if routes := out.m.Routes(); len(routes) != len(tt.path) {
					t.Errorf("%d Routes, want %d", len(routes), len(tt.path))
				}
				if tt.secure {
					return
				}
				w.reply(out, 200, "Contact: <"+tt.contact+">")
				answer := w.expect("200 203.0.113.9:5060")[0].m
				w.recv(caller, inDialogRequest("BYE", 2, answer, true, tt.contact))
				w.after(100 * time.Millisecond)
				w.reply(w.expect("BYE " + tt.want)[0], 200)
				w.expect("200 203.0.113.9:5060")
			})
		})
	}
}

// A phone that registered is never sent to where it only says it is.
func TestInvite_RegisteredWithoutAFlowIsNotDialled(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", flow.Flow{}, "")
		p.uri = "sip:alice@198.51.100.1:5070;transport=tcp"
		w.register(p)
		w.breaks(p.flow)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.expect("480 203.0.113.9:5060")
	})
}
