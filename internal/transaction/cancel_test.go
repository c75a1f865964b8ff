package transaction

import (
	"testing"
	"time"

	"reveille/internal/sipmsg"
)

func TestCancel_IsATransactionOfItsOwn_RFC3261_16_10(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.receive(udpCaller, rq{}.on(t, udpCaller))
		cancel := rq{method: "CANCEL"}.on(t, udpCaller)
		r.receive(udpCaller, cancel)
		r.receive(udpCaller, cancel) // absorbed: the user hears of it once
		// The INVITE waits for its branches.
		r.expect("0s request INVITE", "0s > 100", "0s > 200 CANCEL", "0s cancel INVITE", "0s > 200 CANCEL")
		tag := r.last().ToTag()
		r.advance(time.Second)
		r.on(r.server, func() { r.server.Reply(sipmsg.Reply{Code: 487}) })
		if got := r.last().ToTag(); got != tag || tag == "" {
			t.Errorf("To tag of the 487 = %q, want that of the 200 to CANCEL, %q (RFC 3261 §9.2)", got, tag)
		}
		r.receive(udpCaller, rq{method: "ACK", toTag: tag}.on(t, udpCaller))
		r.advance(40 * time.Second)
		r.checkEmpty()
	})
}

func TestCancel_TakesTheTagOfTheRelayedResponse_RFC3261_9_2(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.receive(tcpCaller, rq{}.on(t, tcpCaller))
		r.on(r.server, func() { r.server.Reply(reply(180)) }) // tag bob
		r.receive(tcpCaller, rq{method: "CANCEL"}.on(t, tcpCaller))
		if got := r.last().ToTag(); got != "bob" {
			t.Errorf("To tag of the 200 to CANCEL = %q, want bob", got)
		}
		r.on(r.server, func() { r.server.Reply(sipmsg.Reply{Code: 487}) })
		if got := r.last().ToTag(); got != "bob" {
			t.Errorf("To tag of the 487 = %q, want bob, as the 200 to CANCEL has it", got)
		}
	})
}

func TestCancel_InADialogKeepsItsTag_RFC3261_9_2(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.receive(tcpCaller, rq{toTag: "dialog"}.on(t, tcpCaller))
		r.receive(tcpCaller, rq{toTag: "dialog", method: "CANCEL"}.on(t, tcpCaller))
		if got := r.last().ToTag(); got != "dialog" {
			t.Errorf("To tag of the 200 to CANCEL = %q, want dialog", got)
		}
		r.on(r.server, func() { r.server.Reply(sipmsg.Reply{Code: 487}) })
		if got := r.last().To().String(); got != "<sip:bob@example.com>;tag=dialog" {
			t.Errorf("To of the 487 = %s, want its one tag, dialog", got)
		}
	})
}

func TestCancel_WithoutMatchGets481AndCostsNothing_RFC3261_9_2(t *testing.T) {
	tests := []struct {
		name   string
		cancel rq
	}{
		{"other branch", rq{via: "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKother"}},
		{"other sent-by host", rq{via: "SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKcaller"}},
		{"other sent-by port", rq{via: "SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bKcaller"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Options{}, func(r *rig) {
				r.receive(udpCaller, rq{}.on(t, udpCaller))
				tt.cancel.method = "CANCEL"
				cancel := tt.cancel.on(t, udpCaller)
				r.receive(udpCaller, cancel)
				tag := r.last().ToTag()
				r.receive(udpCaller, cancel)
				r.expect("0s request INVITE", "0s > 100", "0s > 481 CANCEL", "0s > 481 CANCEL")
				if got := r.last().ToTag(); got != tag || tag == "" {
					t.Errorf("To tags of two copies of the answer = %q, %q, want one tag", tag, got)
				}
				if n := r.layer.live[kindServerOther].Load(); n != 0 {
					t.Errorf("%d transactions were kept, want 0", n)
				}
			})
		})
	}
}

func TestCancel_OfAnAnsweredRequestHasNoEffect_RFC3261_9_2(t *testing.T) {
	for _, code := range []int{200, 486} {
		t.Run(sipmsg.ReasonPhrase(code), func(t *testing.T) {
			bubble(t, Options{}, func(r *rig) {
				r.request = func(s *Server) { s.Reply(reply(code)) }
				r.receive(tcpCaller, rq{}.on(t, tcpCaller))
				r.forget()
				r.receive(tcpCaller, rq{method: "CANCEL"}.on(t, tcpCaller))
				r.expect("0s > 200 CANCEL")
			})
		})
	}
}

func TestCancel_OfAnotherMethodHasNoEffect_RFC3261_9_2(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.receive(udpCaller, rq{method: "MESSAGE"}.on(t, udpCaller))
		r.receive(udpCaller, rq{method: "CANCEL"}.on(t, udpCaller))
		r.expect("0s request MESSAGE", "0s > 200 CANCEL")
		r.on(r.server, func() { r.server.Reply(reply(200)) })
		r.expect("0s > 200")
		r.advance(time.Minute)
		r.checkEmpty()
	})
}

// A CANCEL that crosses the 200 of the phone must not destroy the call.
func TestCancel_CrossesA200_RFC3261_16_10(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.receive(tcpCaller, rq{}.on(t, tcpCaller))
		r.request = nil
		phone := r.client(tcpPhone, "INVITE")
		r.response = func(_ *Client, m *sipmsg.Message) { r.server.Reply(reply(m.Status())) }
		r.cancel = func(*Server, *sipmsg.Message) { phone.Cancel() }
		r.answer(phone, 180)
		r.receive(tcpCaller, rq{method: "CANCEL"}.on(t, tcpCaller))
		r.answer(phone, 200)
		r.expect("0s request INVITE", "0s > 100", "0s > INVITE", "0s response 180", "0s > 180",
			"0s > 200 CANCEL", "0s cancel INVITE", "0s > CANCEL", "0s response 200", "0s > 200")
		r.receive(tcpCaller, rq{method: "ACK", toTag: "bob", via: "SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKack"}.on(t, tcpCaller))
		r.expect("0s ack")
		r.advance(time.Minute)
		r.checkEmpty()
	})
}

func TestMatch_RFC2543_RFC3261_17_2_3(t *testing.T) {
	const via = "SIP/2.0/UDP 192.0.2.1:5060"
	base := rq{via: via, seq: 7}
	tests := []struct {
		name string
		next rq
		same bool
	}{
		{"copy", base, true},
		{"other Request-URI", rq{via: via, seq: 7, uri: "sip:carol@example.com"}, false},
		{"other CSeq", rq{via: via, seq: 8}, false},
		{"other From tag", rq{via: via, seq: 7, fromTag: "mallory"}, false},
		{"other To tag", rq{via: via, seq: 7, toTag: "dialog"}, false},
		{"other method", rq{via: via, seq: 7, method: "MESSAGE"}, false},
		{"other Via", rq{via: via + ";x", seq: 7}, false},
		{"other Call-ID", rq{via: via, seq: 7, callID: "other"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Options{}, func(r *rig) {
				r.receive(udpCaller, base.on(t, udpCaller))
				r.receive(udpCaller, tt.next.on(t, udpCaller))
				if got := r.servers == 1; got != tt.same {
					t.Errorf("a copy = %v, want %v", got, tt.same)
				}
			})
		})
	}
}

func TestMatch_RFC2543_ACKAndCANCEL_RFC3261_17_2_3(t *testing.T) {
	for _, via := range []string{
		"SIP/2.0/UDP 192.0.2.1:5060",
		"SIP/2.0/UDP 192.0.2.1:5060;branch=1",
		"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK", // the cookie alone, RFC 4475 §3.2.1
	} {
		t.Run(via, func(t *testing.T) {
			bubble(t, Options{}, func(r *rig) {
				r.receive(udpCaller, rq{via: via, seq: 6, callID: "call"}.on(t, udpCaller))
				r.receive(udpCaller, rq{via: via, seq: 7}.on(t, udpCaller))
				r.cancel = func(s *Server, _ *sipmsg.Message) { s.Reply(reply(487)) }
				r.receive(udpCaller, rq{via: via, seq: 7, method: "CANCEL"}.on(t, udpCaller))
				r.expect("0s request INVITE", "0s > 100", "0s request INVITE", "0s > 100", "0s > 200 CANCEL", "0s cancel INVITE", "0s > 487")
				if seq := r.last().CSeq().Seq; seq != 7 {
					t.Errorf("INVITE %d was answered 487, want 7", seq)
				}
				// The To tag tells the ACK to a 2xx from the ACK to our 487.
				r.receive(udpCaller, rq{via: via, seq: 7, method: "ACK", toTag: "phone"}.on(t, udpCaller))
				r.expect("0s ack")
				r.receive(udpCaller, rq{via: via, seq: 7, method: "ACK", toTag: "bob"}.on(t, udpCaller))
				r.advance(10 * time.Second)
				r.expect() // Timer G ended
				r.receive(udpCaller, rq{via: via, seq: 6, method: "CANCEL"}.on(t, udpCaller))
				r.expect("10s > 200 CANCEL", "10s cancel INVITE", "10s > 487")
				if seq := r.last().CSeq().Seq; seq != 6 {
					t.Errorf("INVITE %d was answered 487, want 6", seq)
				}
			})
		})
	}
}

func TestMatch_SentByAndBranchTogether_RFC3261_17_2_3(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.receive(udpCaller, rq{via: "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKsame"}.on(t, udpCaller))
		r.receive(udpCaller, rq{via: "SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKsame"}.on(t, udpCaller))
		r.receive(udpCaller, rq{via: "SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKsame", method: "MESSAGE"}.on(t, udpCaller))
		r.receive(udpCaller, rq{via: "SIP/2.0/UDP 192.0.2.2;BRANCH=z9hG4bKsame", method: "MESSAGE"}.on(t, udpCaller))
		if r.servers != 3 {
			t.Errorf("Request was called %d times, want 3", r.servers)
		}
		r.advance(time.Minute)
		r.on(r.server, func() {
			for _, q := range r.layer.queues {
				if n := len(q.servers); n > 2 {
					t.Errorf("%d keys, want at most the two of the INVITEs", n)
				}
			}
		})
	})
}
