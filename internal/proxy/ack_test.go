package proxy

import (
	"testing"
	"time"

	"reveille/flow"
)

// TestAck_FollowsItsINVITE_RFC3263_4: of several servers behind the name of a peer, the
// one that accepted a re-INVITE gets the ACK for that, although others come first.
func TestAck_FollowsItsINVITE_RFC3263_4(t *testing.T) {
	names := dnsNames{"pbx.example": hopsTo(flow.TCP, "pbx.example", gwA, gwB)}
	inWorld(t, Options{Resolver: names}, func(w *world) {
		bob := w.newPhone("bob", udp("203.0.113.9:5060"), "")
		w.register(bob)
		pbx := tcp("198.51.100.81:40000", 1)
		ok := w.callFrom(pbx, bob, "sip:alice@pbx.example;transport=tcp")
		w.recv(pbx, inDialogRequest("ACK", 1, ok, true, "sip:bob@203.0.113.9:5060"))
		w.expect("ACK 203.0.113.9:5060")
		w.breaks(pbx)
		w.recv(bob.flow, inDialogRequest("INVITE", 2, ok, false, "sip:alice@pbx.example;transport=tcp"))
		w.after(100 * time.Millisecond)
		w.reply(w.expect("INVITE " + gwA)[0], 503, "Retry-After: 1")
		w.after(time.Millisecond)
		w.reply(w.expect("ACK "+gwA, "INVITE "+gwB)[1], 200)
		w.expect("200 203.0.113.9:5060")
		// Hop A is back, and would be the first again.
		w.after(2 * time.Second)
		w.take()
		w.recv(bob.flow, inDialogRequest("ACK", 2, ok, false, "sip:alice@pbx.example;transport=tcp"))
		w.after(200 * time.Millisecond)
		w.expect("ACK " + gwB)
	})
}

// TestAck_NextHop_RFC3263_4_3: an ACK whose first hop takes no connection goes to the
// next.
func TestAck_NextHop_RFC3263_4_3(t *testing.T) {
	names := dnsNames{"pbx.example": append(hopsTo(flow.TCP, "pbx.example", gwA), hopsTo(flow.TLS, "pbx.example", gwB)...)}
	inWorld(t, Options{Resolver: names}, func(w *world) {
		bob := w.newPhone("bob", udp("203.0.113.9:5060"), "")
		w.register(bob)
		pbx := tcp("198.51.100.81:40000", 1)
		ok := w.callFrom(pbx, bob, "sip:alice@pbx.example")
		w.breaks(pbx)
		w.noTCP = errSlow
		w.recv(bob.flow, inDialogRequest("ACK", 1, ok, false, "sip:alice@pbx.example"))
		w.after(200 * time.Millisecond)
		w.expect("ACK " + gwB)
	})
}
