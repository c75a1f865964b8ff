package transaction

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

func TestClientOther_TimerEAndF_RFC3261_17_1_2_2(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.client(udpPhone, "MESSAGE")
		r.advance(time.Minute)
		r.expect("0s > MESSAGE", "500ms > MESSAGE", "1.5s > MESSAGE", "3.5s > MESSAGE", "7.5s > MESSAGE",
			"11.5s > MESSAGE", "15.5s > MESSAGE", "19.5s > MESSAGE", "23.5s > MESSAGE", "27.5s > MESSAGE",
			"31.5s > MESSAGE", "32s failed timeout")
		r.checkEmpty()
	})
}

// Erratum 2769: the interval is min(2*E, T2) also if T2 is no power of two of T1.
func TestClientOther_TimerECeiling_Errata2769(t *testing.T) {
	bubble(t, Options{T2: 3 * time.Second}, func(r *rig) {
		r.client(udpPhone, "MESSAGE")
		r.advance(10 * time.Second)
		r.expect("0s > MESSAGE", "500ms > MESSAGE", "1.5s > MESSAGE", "3.5s > MESSAGE", "6.5s > MESSAGE", "9.5s > MESSAGE")
	})
}

func TestClientOther_ProceedingRepeatsEveryT2_RFC3261_17_1_2_2(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		c := r.client(udpPhone, "MESSAGE")
		r.answer(c, 100)
		r.advance(10 * time.Second)
		r.expect("0s > MESSAGE", "0s response 100", "500ms > MESSAGE", "4.5s > MESSAGE", "8.5s > MESSAGE")
		r.advance(time.Minute)
		r.checkEmpty() // Timer F runs on
	})
}

func TestClientOther_TimerKAbsorbsCopies_RFC3261_17_1_2_2(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		c := r.client(udpPhone, "MESSAGE")
		r.answer(c, 200)
		r.advance(4 * time.Second)
		r.answer(c, 200)
		r.advance(time.Second)
		r.checkEmpty()
		r.answer(c, 200)
		r.expect("0s > MESSAGE", "0s response 200", "5s stray 200")
	})
}

func TestClientOther_Stream_RFC3261_17_1_2_2(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		c := r.client(tcpPhone, "MESSAGE")
		r.advance(20 * time.Second)
		r.answer(c, 200)
		r.expect("0s > MESSAGE", "20s response 200")
		r.checkEmpty()
	})
}

func TestClientOther_CancelDoesNothing_RFC3261_9_1(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		c := r.client(tcpPhone, "MESSAGE")
		r.answer(c, 100)
		r.on(c, func() { c.Cancel() })
		r.answer(c, 200)
		r.expect("0s > MESSAGE", "0s response 100", "0s response 200")
	})
}

func TestClient_FailedSend_RFC3261_17_1_4(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.setDown(true)
		q := r.layer.Queue("call")
		q.Post(func() {
			_, err := q.NewClient(udpPhone, []byte(rq{}.text()), r)
			if !errors.Is(err, ErrTransport) || !errors.Is(err, errDown) {
				t.Errorf("NewClient() error = %v, want ErrTransport with its cause", err)
			}
		})
		r.expect("0s lost INVITE") // the error says it all
		r.checkEmpty()
	})
}

func TestClient_FailedRetransmission_RFC3261_17_1_4(t *testing.T) {
	for _, method := range []string{"INVITE", "MESSAGE"} {
		t.Run(method, func(t *testing.T) {
			bubble(t, Options{}, func(r *rig) {
				r.client(udpPhone, method)
				r.setDown(true)
				r.advance(time.Second)
				r.expect("0s > "+method, "500ms lost "+method, "500ms failed transport")
				r.checkEmpty()
			})
		})
	}
}

func TestClient_BranchMustBeNew(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.client(tcpPhone, "INVITE")
		if c := r.client(tcpPhone, "INVITE"); c != nil {
			t.Error("NewClient with a branch in use succeeded")
		}
		if c := r.client(tcpPhone, "ACK"); c != nil {
			t.Error("NewClient with an ACK succeeded")
		}
		q := r.layer.Queue("call")
		q.Post(func() {
			if _, err := q.NewClient(tcpPhone, []byte("INVITE sip:bob@example.com SIP/2.0\r\n\r\n"), r); err == nil {
				t.Error("NewClient with a malformed request succeeded")
			}
		})
		r.expect("0s > INVITE", "0s not sent", "0s not sent")
	})
}

func TestClient_MatchesByBranchAndMethod_RFC3261_17_1_3(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		c := r.client(tcpPhone, "INVITE")
		wire := c.Message().AppendReply(nil, reply(200))
		r.receive(tcpPhone, r.parse(tcpPhone, bytes.ReplaceAll(wire, []byte("1 INVITE"), []byte("1 CANCEL"))))
		r.receive(tcpPhone, r.parse(tcpPhone, bytes.ReplaceAll(wire, []byte("ours"), []byte("other"))))
		r.receive(tcpPhone, r.parse(tcpPhone, bytes.ReplaceAll(wire, []byte(";branch=z9hG4bKours"), nil)))
		r.expect("0s > INVITE", "0s stray 200", "0s stray 200", "0s stray 200")
		// The flow does not matter: the phone may have moved.
		r.receive(udpPhone, r.parse(udpPhone, wire))
		r.expect("0s response 200")
	})
}

func TestFlowClosed_FailsWhatWaitsOnTheConnection(t *testing.T) {
	other := tcpPhone
	other.Conn = 3
	tests := []struct {
		name   string
		method string
		before func(r *rig, c *Client)
		want   string
	}{
		{"calling", "INVITE", func(r *rig, c *Client) {}, "0s failed transport"},
		{"ringing", "INVITE", func(r *rig, c *Client) { r.answer(c, 180) }, "0s failed transport"},
		{"cancelled", "INVITE", func(r *rig, c *Client) { r.answer(c, 180); r.on(c, func() { c.Cancel() }) }, "0s failed transport"},
		{"to be cancelled", "INVITE", func(r *rig, c *Client) { r.on(c, func() { c.Cancel() }) }, "0s failed transport"},
		{"abandoned", "INVITE", func(r *rig, c *Client) { r.on(c, c.Abandon) }, ""},
		{"accepted", "INVITE", func(r *rig, c *Client) { r.answer(c, 200) }, ""},
		{"trying", "MESSAGE", func(r *rig, c *Client) {}, "0s failed transport"},
		{"proceeding", "MESSAGE", func(r *rig, c *Client) { r.answer(c, 100) }, "0s failed transport"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Options{}, func(r *rig) {
				c := r.client(tcpPhone, tt.method)
				tt.before(r, c)
				r.forget()
				r.layer.FlowClosed(other)
				r.expect()
				r.layer.FlowClosed(tcpPhone)
				if tt.want == "" {
					r.expect()
				} else {
					r.expect(tt.want)
				}
				r.advance(time.Minute)
				r.expect()
				r.checkEmpty()
			})
		})
	}
}

func TestFlowClosed_UserMaySendAnew(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.client(tcpPhone, "INVITE")
		r.client(tcpPhone, "MESSAGE")
		r.client(tcpPhone, "INFO")
		retries := 0
		r.failed = func(c *Client, _ error) {
			retries++
			wire := bytes.ReplaceAll([]byte(c.Message().Raw()), []byte("ours"), []byte("second"))
			if _, err := c.Queue().NewClient(udpPhone, wire, r); err != nil {
				t.Errorf("NewClient() from Failed: %v", err)
			}
		}
		r.layer.FlowClosed(tcpPhone)
		r.expect("0s > INVITE", "0s > MESSAGE", "0s > INFO",
			"0s failed transport", "0s > INFO", "0s failed transport", "0s > MESSAGE", "0s failed transport", "0s > INVITE")
		if retries != 3 {
			t.Errorf("Failed was called %d times, want 3", retries)
		}
	})
}
