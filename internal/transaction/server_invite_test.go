package transaction

import (
	"testing"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

func TestServerInvite_TryingAtOnce_RFC3261_17_2_1(t *testing.T) {
	for _, f := range []flow.Flow{udpCaller, tcpCaller} {
		t.Run(f.Transport.String(), func(t *testing.T) {
			bubble(t, Options{}, func(r *rig) {
				r.receive(f, rq{header: "Timestamp: 54"}.on(t, f))
				r.expect("0s request INVITE", "0s > 100")
				if tag := r.last().ToTag(); tag != "" {
					t.Errorf("To tag of the 100 = %q, want none", tag)
				}
				if got, _ := r.last().Header(sipmsg.HdrTimestamp); got != "54" {
					t.Errorf("Timestamp of the 100 = %q, want 54", got)
				}
			})
		})
	}
}

func TestServerInvite_NoTryingBehindAnAnswer_RFC3261_17_2_1(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.request = func(s *Server) { s.Reply(reply(404)) }
		r.receive(tcpCaller, rq{}.on(t, tcpCaller))
		r.expect("0s request INVITE", "0s > 404")
	})
}

func TestServerInvite_RetransmissionGetsLastProvisional_RFC3261_17_2_1(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		invite := rq{}.on(t, udpCaller)
		r.receive(udpCaller, invite)
		r.receive(udpCaller, invite)
		r.expect("0s request INVITE", "0s > 100", "0s > 100")
		r.on(r.server, func() { r.server.Reply(reply(180)); r.server.Reply(reply(183)) })
		r.advance(time.Second)
		r.receive(udpCaller, invite)
		r.expect("0s > 180", "0s > 183", "1s > 183")
	})
}

func TestServerInvite_TimerG_DoublesUpToT2_RFC3261_17_2_1(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.request = func(s *Server) { s.Reply(reply(486)) }
		invite := rq{}.on(t, udpCaller)
		r.receive(udpCaller, invite)
		r.advance(12 * time.Second)
		r.receive(udpCaller, invite) // answered as well
		r.expect("0s request INVITE", "0s > 486", "500ms > 486", "1.5s > 486", "3.5s > 486", "7.5s > 486", "11.5s > 486", "12s > 486")
		r.receive(udpCaller, rq{method: "ACK", toTag: "bob"}.on(t, udpCaller))
		// Confirmed: copies of INVITE and ACK are absorbed for T4.
		r.advance(4 * time.Second)
		r.receive(udpCaller, invite)
		r.receive(udpCaller, rq{method: "ACK", toTag: "bob"}.on(t, udpCaller))
		r.expect()
		if r.servers != 1 {
			t.Errorf("Request was called %d times, want 1", r.servers)
		}
		r.advance(time.Second)
		r.checkEmpty() // Timer I
	})
}

func TestServerInvite_TimerH_EndsWithoutACK_RFC3261_17_2_1(t *testing.T) {
	for _, f := range []flow.Flow{udpCaller, tcpCaller} {
		t.Run(f.Transport.String(), func(t *testing.T) {
			bubble(t, Options{}, func(r *rig) {
				ended := time.Duration(0)
				r.request = func(s *Server) {
					s.OnEnd(func() { ended = time.Since(r.start) })
					s.Reply(reply(486))
				}
				r.receive(f, rq{}.on(t, f))
				r.advance(time.Minute)
				if ended != 32*time.Second {
					t.Errorf("the transaction ended after %v, want 32s", ended)
				}
				r.checkEmpty()
			})
		})
	}
}

func TestServerInvite_StreamNeitherRepeatsNorLingers_RFC3261_17_2_1(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.receive(tcpCaller, rq{}.on(t, tcpCaller))
		r.on(r.server, func() { r.server.Reply(reply(486)) })
		r.advance(20 * time.Second)
		r.expect("0s request INVITE", "0s > 100", "0s > 486")
		r.receive(tcpCaller, rq{method: "ACK", toTag: "bob"}.on(t, tcpCaller))
		r.expect()
		r.checkEmpty() // Timer I is zero
	})
}

func TestServerInvite_AcceptedAbsorbsInviteAndPassesACK_RFC6026_7_1(t *testing.T) {
	for _, f := range []flow.Flow{udpCaller, tcpCaller} {
		t.Run(f.Transport.String(), func(t *testing.T) {
			bubble(t, Options{}, func(r *rig) {
				invite := rq{}.on(t, f)
				r.receive(f, invite)
				r.on(r.server, func() { r.server.Reply(reply(200)) })
				r.advance(time.Second)
				r.receive(f, invite)
				r.expect("0s request INVITE", "0s > 100", "0s > 200") // no answer to the copy
				// The phone repeats its 2xx, and another fork answers too.
				r.on(r.server, func() { r.server.Reply(reply(200)); r.server.Reply(sipmsg.Reply{Code: 200, ToTag: "fork"}) })
				// A late failure or provisional changes nothing any more.
				r.on(r.server, func() { r.server.Reply(reply(486)); r.server.Reply(reply(180)) })
				// An ACK with the INVITE's branch goes up, and so does one with its own.
				r.receive(f, rq{method: "ACK", toTag: "bob"}.on(t, f))
				r.receive(f, rq{method: "ACK", toTag: "bob", via: "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKack"}.on(t, f))
				r.expect("1s > 200", "1s > 200", "1s ack", "1s ack")
				r.advance(30 * time.Second)
				if n := r.layer.live[kindServerInvite].Load(); n != 1 {
					t.Errorf("after 31 s %d INVITEs are alive, want 1", n)
				}
				r.advance(time.Second)
				r.checkEmpty() // Timer L: 64*T1 after the first 2xx
			})
		})
	}
}

func TestServerInvite_LateResponsesAreDropped_RFC6026_8_3(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.receive(udpCaller, rq{}.on(t, udpCaller))
		r.on(r.server, func() { r.server.Reply(reply(200)) })
		r.advance(33 * time.Second)
		r.on(r.server, func() { r.server.Reply(reply(200)) })
		r.expect("0s request INVITE", "0s > 100", "0s > 200")
		r.checkEmpty()
	})
}

func TestServerInvite_FailedSendKeepsTheTransaction_RFC6026_8_8(t *testing.T) {
	for _, code := range []int{180, 200, 486} {
		t.Run(sipmsg.ReasonPhrase(code), func(t *testing.T) {
			bubble(t, Options{}, func(r *rig) {
				invite := rq{}.on(t, tcpCaller)
				r.receive(tcpCaller, invite)
				r.setDown(true)
				r.on(r.server, func() { r.server.Reply(reply(code)) })
				r.setDown(false)
				r.receive(tcpCaller, invite)
				if r.servers != 1 {
					t.Errorf("a retransmission came up as a new request")
				}
				r.on(r.server, func() { r.server.Reply(reply(487)) }) // ends it if code was 180
				r.advance(32 * time.Second)
				r.checkEmpty()
			})
		})
	}
}

func TestServerInvite_StrayACKBeforeTheAnswerIsDropped_RFC3261_17_2_1(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.receive(udpCaller, rq{}.on(t, udpCaller))
		r.receive(udpCaller, rq{method: "ACK", toTag: "bob"}.on(t, udpCaller))
		r.expect("0s request INVITE", "0s > 100")
		r.on(r.server, func() {
			if r.server.Done() {
				t.Error("Done() = true after an ACK, want false")
			}
		})
	})
}

func TestServerInvite_ParkedForeverNeedsNoTimer(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.receive(udpCaller, rq{}.on(t, udpCaller))
		r.on(r.server, func() {
			if n := len(r.server.q.timers.heap); n != 0 {
				t.Errorf("a waiting INVITE runs %d timers, want 0", n)
			}
		})
		r.advance(time.Hour)
		r.on(r.server, func() { r.server.Reply(reply(480)) })
		r.expect("0s request INVITE", "0s > 100", "1h0m0s > 480")
	})
}

func TestServer_ResponseDestination_RFC3261_18_2_2(t *testing.T) {
	tests := []struct {
		name string
		in   flow.Flow
		via  string
		want string
	}{
		{"stream", tcpCaller, "SIP/2.0/TCP 192.0.2.99:7000;branch=z9hG4bKa", "192.0.2.1:40000"},
		{"rport", udpCaller, "SIP/2.0/UDP 192.0.2.99:7000;rport;branch=z9hG4bKa", "192.0.2.1:5060"},
		{"rport with other case and a value", udpCaller, "SIP/2.0/UDP 192.0.2.99:7000;RPort=9;branch=z9hG4bKa", "192.0.2.1:5060"},
		{"port of sent-by", udpCaller, "SIP/2.0/UDP 192.0.2.99:7000;branch=z9hG4bKa", "192.0.2.1:7000"},
		{"no port", udpCaller, "SIP/2.0/UDP phone.invalid;branch=z9hG4bKa", "192.0.2.1:5060"},
		{"maddr is not honoured", udpCaller, "SIP/2.0/UDP h:7000;maddr=203.0.113.9;branch=z9hG4bKa", "192.0.2.1:7000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Options{}, func(r *rig) {
				in := tt.in
				r.receive(in, rq{via: tt.via}.on(t, in))
				want := in
				want.Remote = r.flows[0].Remote
				if got := r.flows[0]; got != want || got.Remote.String() != tt.want {
					t.Errorf("the 100 went to %v, want %s on the flow of the request", got, tt.want)
				}
			})
		})
	}
}
