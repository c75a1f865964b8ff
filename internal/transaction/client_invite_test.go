package transaction

import (
	"testing"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

func TestClientInvite_TimerAAndB_RFC3261_17_1_1_2(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.client(udpPhone, "INVITE")
		r.advance(time.Minute)
		// Timer A doubles without a ceiling.
		r.expect("0s > INVITE", "500ms > INVITE", "1.5s > INVITE", "3.5s > INVITE", "7.5s > INVITE",
			"15.5s > INVITE", "31.5s > INVITE", "32s failed timeout")
		r.checkEmpty()
	})
}

func TestClientInvite_StreamSendsOnce_RFC3261_17_1_1_2(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		c := r.client(tcpPhone, "INVITE")
		r.advance(time.Minute)
		r.expect("0s > INVITE", "32s failed timeout")
		if !c.Done() {
			t.Error("Done() = false after the failure, want true")
		}
		r.checkEmpty()
	})
}

func TestClientInvite_ProvisionalEndsTimerAAndB_RFC3261_17_1_1_2(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		c := r.client(udpPhone, "INVITE")
		r.advance(time.Second)
		r.on(c, func() {
			if c.Provisional() {
				t.Error("Provisional() = true before any response, want false")
			}
		})
		r.answer(c, 100)
		r.advance(time.Minute)
		r.answer(c, 180)
		r.answer(c, 180)
		r.expect("0s > INVITE", "500ms > INVITE", "1s response 100", "1m1s response 180", "1m1s response 180")
		r.on(c, func() {
			if !c.Provisional() || c.Done() {
				t.Errorf("Provisional(), Done() = %v, %v, want true, false", c.Provisional(), c.Done())
			}
		})
	})
}

func TestClientInvite_EachFailureCopyIsAcknowledgedAtOnce_RFC3261_17_1_1_2(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		c := r.client(udpPhone, "INVITE")
		r.answer(c, 486)
		r.advance(500 * time.Millisecond)
		r.answer(c, 486)
		r.answer(c, 180) // ignored
		r.advance(31 * time.Second)
		r.answer(c, 486)
		r.expect("0s > INVITE", "0s > ACK", "0s response 486", "500ms > ACK", "31.5s > ACK")
		ack, sent := r.last(), c.Message()
		if ack.ToTag() != "phone" || ack.TopVia().Branch() != sent.TopVia().Branch() || ack.CSeq().Seq != sent.CSeq().Seq {
			t.Errorf("ACK does not follow RFC 3261 §17.1.1.3:\n%s", ack.Raw())
		}
		if got := r.flows[len(r.flows)-1]; got != udpPhone {
			t.Errorf("the ACK went to %v, want %v", got, udpPhone)
		}
		r.advance(time.Second)
		r.checkEmpty() // Timer D
	})
}

func TestClientInvite_TimerDIsAtLeast32s_RFC3261_17_1_1_2(t *testing.T) {
	bubble(t, Options{T1: 50 * time.Millisecond}, func(r *rig) {
		c := r.client(udpPhone, "INVITE")
		r.answer(c, 486)
		r.advance(31 * time.Second)
		r.answer(c, 486)
		r.expect("0s > INVITE", "0s > ACK", "0s response 486", "31s > ACK")
		r.advance(2 * time.Second)
		r.checkEmpty()
	})
}

func TestClientInvite_StreamForgetsAFailureAtOnce_RFC3261_17_1_1_2(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		c := r.client(tcpPhone, "INVITE")
		r.answer(c, 180)
		r.answer(c, 486)
		r.expect("0s > INVITE", "0s response 180", "0s > ACK", "0s response 486")
		r.checkEmpty()
	})
}

func TestClientInvite_Every2xxGoesUp_RFC6026_7_2(t *testing.T) {
	for _, f := range []flow.Flow{udpPhone, tcpPhone} {
		t.Run(f.Transport.String(), func(t *testing.T) {
			bubble(t, Options{}, func(r *rig) {
				c := r.client(f, "INVITE")
				r.answer(c, 180)
				r.answer(c, 200)
				r.advance(time.Second)
				r.answer(c, 200) // a copy, or another fork
				r.answer(c, 180) // late: ignored
				r.answer(c, 486) // late: ignored
				r.advance(30 * time.Second)
				r.answer(c, 200)
				r.advance(time.Second)
				r.checkEmpty() // Timer M: 64*T1 after the first
				r.answer(c, 200)
				r.expect("0s > INVITE", "0s response 180", "0s response 200", "1s response 200", "31s response 200", "32s stray 200")
			})
		})
	}
}

func TestClientInvite_TimerCWithProvisionalCancels_RFC3261_16_8(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		c := r.client(tcpPhone, "INVITE")
		r.answer(c, 100)
		r.advance(181 * time.Second)
		cancel := r.last()
		r.expect("0s > INVITE", "0s response 100", "3m1s > CANCEL")
		r.receive(tcpPhone, r.parse(tcpPhone, cancel.AppendReply(nil, reply(200))))
		r.advance(time.Minute)
		r.expect("3m33s failed timer C") // 64*T1 later
		r.checkEmpty()
	})
}

func TestClientInvite_TimerCIsResetBy101To199Only_RFC3261_16_7(t *testing.T) {
	tests := []struct {
		name string
		code int
		want []string
	}{
		{"100 does not", 100, []string{"3m1s > CANCEL", "3m33s failed timer C"}},
		{"180 does", 180, []string{"5m21s > CANCEL"}},
		{"199 does", 199, []string{"5m21s > CANCEL"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Options{}, func(r *rig) {
				c := r.client(tcpPhone, "INVITE")
				r.advance(20 * time.Second)
				r.answer(c, 100)
				r.advance(120 * time.Second)
				r.answer(c, tt.code)
				r.forget()
				r.advance(182 * time.Second)
				r.expect(tt.want...)
			})
		})
	}
}

func TestClientInvite_TimerCWithoutProvisionalIsATimeout_RFC3261_16_8(t *testing.T) {
	bubble(t, Options{TimerC: 10 * time.Second}, func(r *rig) {
		r.client(tcpPhone, "INVITE")
		r.advance(time.Minute)
		r.expect("0s > INVITE", "10s failed timer C")
		r.checkEmpty()
	})
}

func TestClientInvite_487AfterTimerCIsAnOrdinaryAnswer(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		c := r.client(tcpPhone, "INVITE")
		r.answer(c, 180)
		r.advance(181 * time.Second)
		r.answer(c, 487)
		r.advance(time.Minute)
		r.expect("0s > INVITE", "0s response 180", "3m1s > CANCEL", "3m1s > ACK", "3m1s response 487")
		r.checkEmpty()
	})
}

func TestClientCancel_WaitsForAProvisional_RFC3261_9_1(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		c := r.client(udpPhone, "INVITE")
		r.on(c, func() { c.Cancel(sipmsg.HeaderField{Name: "Reason", Value: "SIP;cause=200"}) })
		r.advance(time.Second)
		r.answer(c, 100)
		r.expect("0s > INVITE", "500ms > INVITE", "1s > CANCEL", "1s response 100")
		cancel := r.last()
		if got, _ := cancel.Header(sipmsg.HdrReason); got != "SIP;cause=200" {
			t.Errorf("Reason of the CANCEL = %q", got)
		}
		if cancel.TopVia().Branch() != c.Branch() {
			t.Errorf("branch of the CANCEL = %q, want %q", cancel.TopVia().Branch(), c.Branch())
		}
		// The CANCEL is a transaction of its own.
		r.advance(time.Second)
		r.expect("1.5s > CANCEL")
		r.receive(udpPhone, r.parse(udpPhone, cancel.AppendReply(nil, reply(200))))
		r.answer(c, 487)
		r.expect("2s > ACK", "2s response 487")
		r.advance(40 * time.Second)
		r.expect()
		r.checkEmpty()
	})
}

func TestClientCancel_AtOnceAfterAProvisional_RFC3261_9_1(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		c := r.client(tcpPhone, "INVITE")
		r.answer(c, 180)
		r.on(c, func() { c.Cancel(); c.Cancel() })
		r.expect("0s > INVITE", "0s response 180", "0s > CANCEL")
	})
}

func TestClientCancel_PeerNeverEndsTheInvite_RFC3261_9_1(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		c := r.client(tcpPhone, "INVITE")
		r.answer(c, 180)
		r.on(c, func() { c.Cancel() })
		r.receive(tcpPhone, r.parse(tcpPhone, r.last().AppendReply(nil, reply(200))))
		r.answer(c, 180) // does not prolong the wait
		r.advance(time.Minute)
		r.expect("0s > INVITE", "0s response 180", "0s > CANCEL", "0s response 180", "32s failed timeout")
		r.checkEmpty()
	})
}

func TestClientCancel_CrossesA200_RFC3261_9_1(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		c := r.client(tcpPhone, "INVITE")
		r.answer(c, 180)
		r.on(c, func() { c.Cancel() })
		cancel := r.last()
		r.answer(c, 200)
		r.receive(tcpPhone, r.parse(tcpPhone, cancel.AppendReply(nil, reply(200))))
		r.answer(c, 200)
		r.expect("0s > INVITE", "0s response 180", "0s > CANCEL", "0s response 200", "0s response 200")
		r.advance(32 * time.Second)
		r.checkEmpty()
	})
}

func TestClientCancel_FinalBeforeAnyProvisionalNeedsNone_RFC3261_9_1(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		c := r.client(tcpPhone, "INVITE")
		r.on(c, func() { c.Cancel() })
		r.answer(c, 486)
		r.on(c, func() { c.Cancel() })
		r.expect("0s > INVITE", "0s > ACK", "0s response 486")
		r.checkEmpty()
	})
}

func TestClientCancel_NeverAnswered(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		c := r.client(tcpPhone, "INVITE")
		r.on(c, func() { c.Cancel() })
		r.advance(time.Minute)
		r.expect("0s > INVITE", "32s failed timeout") // Timer B goes on
		r.checkEmpty()
	})
}

func TestClientAbandon_SilentButPolite(t *testing.T) {
	tests := []struct {
		name string
		then func(r *rig, c *Client)
		want []string
	}{
		{"no response", func(r *rig, c *Client) {}, nil},
		{"provisional is cancelled", func(r *rig, c *Client) { r.answer(c, 180) }, []string{"600ms > CANCEL"}},
		{"final is acknowledged", func(r *rig, c *Client) { r.answer(c, 482) }, []string{"600ms > ACK"}},
		{"cancelled, then 487", func(r *rig, c *Client) { r.answer(c, 180); r.answer(c, 487) }, []string{"600ms > CANCEL", "600ms > ACK"}},
		{"2xx is reported", func(r *rig, c *Client) { r.answer(c, 200) }, []string{"600ms response 200"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Options{}, func(r *rig) {
				c := r.client(udpPhone, "INVITE")
				r.advance(600 * time.Millisecond)
				r.on(c, c.Abandon)
				r.expect("0s > INVITE", "500ms > INVITE")
				tt.then(r, c)
				r.expect(tt.want...)
				r.answerCancel()
				r.advance(70 * time.Second)
				r.expect() // no retransmission, no Failed
				r.checkEmpty()
			})
		})
	}
}

func TestClientAbandon_AfterAProvisionalCancelsAtOnce(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		c := r.client(tcpPhone, "INVITE")
		r.answer(c, 180)
		r.on(c, c.Abandon)
		r.answer(c, 487)
		r.expect("0s > INVITE", "0s response 180", "0s > CANCEL", "0s > ACK")
	})
}

func TestClientAbandon_NonInvite(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		c := r.client(udpPhone, "MESSAGE")
		r.on(c, c.Abandon)
		r.advance(time.Second)
		r.answer(c, 200)
		r.advance(time.Minute)
		r.expect("0s > MESSAGE")
		r.checkEmpty()
	})
}

// answerCancel answers the last message that was sent, if it is a CANCEL.
func (r *rig) answerCancel() {
	for _, m := range r.wires {
		if m.Method() == "CANCEL" && m.IsRequest() {
			r.receive(udpPhone, r.parse(udpPhone, m.AppendReply(nil, reply(200))))
		}
	}
}
