package load

import (
	"reveille/internal/sipmsg"
)

// request is a request at a phone.
func (c *core) request(line uint16, b []byte, now int64) {
	id, _ := c.scan.Value(sipmsg.HdrCallID)
	var k *call
	if t, ok := readTag(id); ok && t.run == c.run && t.kind == branchInvite {
		k = c.calls[t.id]
	}
	if k != nil && line != c.phones[k.phone].line {
		return // The phone has moved: its old socket is closed, but for others.
	}
	method := c.scan.Method()
	if method == "ACK" {
		if k != nil {
			k.acked = true
		}
		return
	}
	m, err := sipmsg.Parse(b, c.o.Target)
	if err != nil {
		c.rec.failed("receive", "no SIP request")
		return
	}
	switch {
	case method == "INVITE" && k != nil:
		c.invited(k, m, now)
	case method == "INVITE":
		// Of a call that its caller has given up.
		c.reply(line, m, sipmsg.Reply{Code: 486, ToTag: userAgent})
	case method == "CANCEL":
		c.reply(line, m, sipmsg.Reply{Code: 200, ToTag: userAgent})
		if k != nil {
			c.cancelled(k, now)
		}
	default:
		c.reply(line, m, sipmsg.Reply{Code: 200, ToTag: userAgent})
	}
}

// invited is an INVITE at a phone.
func (c *core) invited(k *call, m *sipmsg.Message, now int64) {
	switch {
	case k.invite != nil && k.invite.TopVia().Branch() == m.TopVia().Branch():
		if k.answer != nil { // RFC 3261 §17.2.1: a retransmission.
			c.sendAnswer(k)
		}
		return
	case k.answer != nil && k.at != c.phones[k.phone].line:
		// The phone moved before the server had its answer, so that the INVITE follows it.
		// It says the same there: a second 200 is to the caller one that was sent again.
		k.invite, k.at = m, c.phones[k.phone].line
		c.answerInvite(k, k.said)
		return
	case k.answer != nil:
		// RFC 3261 §8.2.2.2: a second way to the same phone. The server must not
		// let a device ring twice.
		c.rec.failed("invite", "twice at a phone")
		c.reply(c.phones[k.phone].line, m, sipmsg.Reply{Code: 482, ToTag: userAgent})
		return
	case k.invite != nil:
		// The phone moved before it had said anything, and the INVITE follows it.
		k.invite, k.at = m, c.phones[k.phone].line
		return
	}
	if i, ok := userOf(m.RequestURI().User); !ok || i != k.phone {
		c.rec.failed("invite", "at the wrong phone")
		c.reply(c.phones[k.phone].line, m, sipmsg.Reply{Code: 404, ToTag: userAgent})
		return
	}
	k.invite, k.at, k.reached = m, c.phones[k.phone].line, now
	if k.asleep {
		c.held--
	}
	if k.woke != 0 {
		c.rec.saw(RegisterToInvite, now-k.woke)
	}
	rings := now + int64(c.o.RingDelay.draw(c.rng))
	c.timers.add(deadline{at: rings, id: k.number, kind: ring})
	c.timers.add(deadline{at: rings + int64(c.o.AnswerDelay.draw(c.rng)), id: k.number, kind: pickUp})
}

// ring sends 180.
func (c *core) ring(k *call) {
	if k.answer == nil {
		c.answerInvite(k, sipmsg.Reply{Code: 180})
	}
}

// pickUp sends 200, and again until the ACK comes.
func (c *core) pickUp(k *call, now int64) {
	if k.answerSent > 0 {
		return // Cancelled before.
	}
	k.picked = now
	contact := "<sip:" + string(appendUser(nil, k.phone)) + "@" + c.wire.addr(c.phones[k.phone].line) + ">"
	c.answerInvite(k, sipmsg.Reply{
		Code: 200, ContentType: "application/sdp", Body: sdp,
		Headers: []sipmsg.HeaderField{{Name: "Contact", Value: contact}},
	})
	k.ended = now
	c.answered(k, now)
}

// cancelled answers the INVITE of a call that was taken back.
func (c *core) cancelled(k *call, now int64) {
	if k.invite == nil || k.answerSent > 0 {
		return
	}
	c.answerInvite(k, sipmsg.Reply{Code: 487})
	k.ended = now
	c.answered(k, now)
}

// answered notes that a final answer was sent, which is repeated until it is
// acknowledged (RFC 3261 §13.3.1.4, §17.2.1).
func (c *core) answered(k *call, now int64) {
	k.answerSent++
	c.timers.add(deadline{at: again(now, k.ended, k.answerSent, t2), id: k.number, kind: answerAgain})
}

func (c *core) answerAgain(k *call, now int64) {
	// Without an ACK the call counts as failed when it ends.
	if k.acked || now-k.ended >= lifetime {
		return
	}
	c.rec.present.Calls.Retransmitted++
	c.sendAnswer(k)
	c.answered(k, now)
}

func (c *core) answerInvite(k *call, r sipmsg.Reply) {
	r.ToTag = userAgent
	k.said = r
	k.answer = k.invite.AppendReply(k.answer[:0], r)
	c.sendAnswer(k)
}

// sendAnswer sends the last answer to the INVITE, from where the phone is now.
func (c *core) sendAnswer(k *call) {
	c.send(c.phones[k.phone].line, append(c.reset(), k.answer...))
}

// reply answers a request for which nothing is kept.
func (c *core) reply(line uint16, m *sipmsg.Message, r sipmsg.Reply) {
	c.send(line, m.AppendReply(c.reset(), r))
}
