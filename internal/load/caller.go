package load

import (
	"slices"
	"strconv"
	"strings"

	"reveille/internal/sipmsg"
)

// A call is what both sides of one know. Times are nanoseconds since the run
// began, 0 for what has not happened.
type call struct {
	number, phone uint32
	state         callState
	// asleep and dead are what the phone was when it was called.
	asleep, dead bool
	// invited is the INVITE; pushed the push; woke the REGISTER of the phone;
	// reached the INVITE at the phone; picked its 200; hung the BYE.
	invited, pushed, woke, reached, picked, hung int64

	// Of the caller: its line, how often its request was sent, and the dialog.
	line   uint16
	tries  uint8
	toTag  string
	target string
	route  []string

	// Of the phone: the INVITE, and the line where it came; the last answer, and as it
	// was sent; when the final one was first sent, and how often; whether the ACK came.
	invite     *sipmsg.Message
	at         uint16
	said       sipmsg.Reply
	answer     []byte
	ended      int64
	answerSent uint8
	acked      bool
}

// callState is where the caller is.
type callState uint8

const (
	calling    callState = iota // nothing was heard
	proceeding                  // a provisional answer came
	cancelling                  // CANCEL was sent
	talking                     // answered and acknowledged
	ending                      // BYE was sent
)

// startCalls starts the calls that the phase wants by now.
func (c *core) startCalls(now int64) {
	for range stepLimit {
		if c.ringing.over(now) || c.ringing.next() > now {
			return
		}
		i, ok := c.nextCallee()
		if !ok {
			c.ringing.retry = now + t1/100
			return
		}
		if c.ringing.pace.Rate > 0 {
			c.rec.saw(Pacing, now-c.ringing.due())
		}
		c.ringing.started++
		c.ringing.underWay++
		c.begin(i, now)
	}
}

// nextCallee returns the phone to call next. ok is false if a number of them are
// in calls.
func (c *core) nextCallee() (i uint32, ok bool) {
	part, sleepers := c.phase.Asleep, uint32(c.o.Sleepers)
	n := float64(c.ringing.started)
	if int((n+1)*part) > int(n*part) {
		for c.nextSleeper < sleepers {
			i = c.nextSleeper
			c.nextSleeper++
			// A push to refresh may have woken it.
			if c.phones[i].is(asleep) {
				return i, true
			}
		}
	}
	awake := uint32(c.o.Phones) - sleepers
	for range stepLimit {
		if awake == 0 {
			break
		}
		i = sleepers + c.rng.Uint32N(awake)
		if c.busy[i] == nil {
			return i, true
		}
	}
	return 0, false
}

// begin calls phone i.
func (c *core) begin(i uint32, now int64) {
	c.lastCall++
	p := &c.phones[i]
	k := &call{
		number: c.lastCall, phone: i, asleep: p.is(asleep), dead: p.is(dead), invited: now,
		line: c.o.firstCaller() + uint16(c.lastCall%callerLines),
	}
	c.calls[k.number], c.busy[i] = k, k
	n := &c.rec.present.Calls
	n.Started++
	n.MaxOpen = max(n.MaxOpen, len(c.calls))
	if k.asleep {
		c.held++
		n.MaxHeld = max(n.MaxHeld, c.held)
	}
	c.sendInvite(k, now)
	c.timers.add(deadline{at: now + int64(c.o.CallTimeout), id: k.number, kind: giveUp})
}

// ruri is the Request-URI of an INVITE.
func (c *core) ruri(k *call) string { return string(c.appendAOR(nil, k.phone)) }

func (c *core) sendInvite(k *call, now int64) {
	k.tries++
	b := c.appendCallHead(c.reset(), k, "INVITE", c.ruri(k), tag{c.run, branchInvite, k.number, 0}, 1, "", nil)
	c.send(k.line, c.appendOffer(b, "caller", k.line))
	c.timers.add(deadline{at: again(now, k.invited, k.tries, lifetime), id: k.number, kind: inviteAgain})
}

// callExpire is a deadline of a call.
func (c *core) callExpire(k *call, d deadline, now int64) {
	switch d.kind {
	case inviteAgain: // Timer A, and Timer B in the end.
		switch {
		case k.state != calling:
		case now-k.invited >= lifetime:
			c.lost(k, "invite", "no answer")
		default:
			c.rec.present.Calls.Retransmitted++
			c.sendInvite(k, now)
		}
	case giveUp:
		if k.state == calling || k.state == proceeding {
			c.cancel(k, now)
		}
	case forget:
		c.lost(k, "cancel", "no end")
	case ring:
		c.ring(k)
	case pickUp:
		c.pickUp(k, now)
	case answerAgain:
		c.answerAgain(k, now)
	case hangUp:
		switch {
		case k.state != talking:
		case k.acked:
			c.hangUp(k, now)
		case now-k.ended >= lifetime:
			c.lost(k, "ack", "not seen at the phone")
		default:
			// It may have been lost; the phone sends its 200 again.
			c.timers.add(deadline{at: now + t1/5, id: k.number, kind: hangUp})
		}
	case byeAgain: // Timer E, and Timer F in the end.
		if now-k.hung >= lifetime {
			c.lost(k, "bye", "no answer")
			return
		}
		c.rec.present.Calls.Retransmitted++
		c.sendBye(k, now)
	default: // The others are of phones.
	}
}

// callAnswer is an answer to a request of a caller.
func (c *core) callAnswer(t tag, b []byte, now int64) {
	status := c.scan.Status()
	cseq, _ := c.scan.Value(sipmsg.HdrCSeq)
	k := c.calls[t.id]
	if t.kind == branchBye {
		if k != nil && k.state == ending && status >= 200 {
			c.byeAnswer(k, status, now)
		}
		return
	}
	if !strings.HasSuffix(cseq, "INVITE") {
		return // The answer to a CANCEL says nothing about the call.
	}
	switch {
	case status >= 300:
		// RFC 3261 §17.1.1.3: each time it comes, also when the call is over.
		c.sendFailureAck(t.id)
		if k != nil && k.state < talking {
			c.refused(k, status)
		}
	case k == nil:
	case status >= 200:
		c.accepted(k, b, now)
	case k.state == calling:
		k.state = proceeding
		if c.stopped {
			c.cancel(k, now)
		}
	}
}

// accepted is a 2xx to the INVITE.
func (c *core) accepted(k *call, b []byte, now int64) {
	if k.state == talking || k.state == ending {
		c.sendAck(k) // RFC 3261 §13.2.2.4: for each 2xx that comes.
		return
	}
	m, err := sipmsg.Parse(b, c.o.Target)
	if err != nil || len(m.Contacts()) == 0 {
		c.lost(k, "invite", "200 without Contact")
		return
	}
	k.toTag, k.target = m.ToTag(), m.Contacts()[0].URI.String()
	for _, r := range m.RecordRoutes() {
		k.route = append(k.route, r.String())
	}
	slices.Reverse(k.route) // RFC 3261 §12.1.2.
	k.state = talking
	c.sendAck(k)
	c.rec.present.Calls.Answered++
	c.rec.row.Answered++
	total := now - k.invited
	c.rec.saw(InviteToAnswer, total)
	added := total - (k.picked - k.reached)
	if k.woke != 0 && k.pushed != 0 {
		added -= k.woke - k.pushed
	}
	c.rec.saw(Added, added)
	if c.stopped {
		c.hangUp(k, now)
		return
	}
	c.timers.add(deadline{at: now + int64(c.o.Hold.draw(c.rng)), id: k.number, kind: hangUp})
}

func (c *core) sendAck(k *call) {
	b := c.appendCallHead(c.reset(), k, "ACK", k.target, tag{c.run, branchAck, k.number, 0}, 1, k.toTag, k.route)
	c.send(k.line, appendEnd(b))
}

// sendFailureAck acknowledges the failure that was scanned, from which all of it
// can be read (RFC 3261 §17.1.1.3).
func (c *core) sendFailureAck(number uint32) {
	value := func(id sipmsg.HeaderID) string {
		v, _ := c.scan.Value(id)
		return v
	}
	to, err := sipmsg.ParseNameAddr(value(sipmsg.HdrTo))
	if err != nil {
		return
	}
	line := c.o.firstCaller() + uint16(number%callerLines)
	b := append(c.reset(), "ACK "+to.URI.String()+" SIP/2.0\r\n"...)
	b = c.appendVia(b, line, tag{c.run, branchInvite, number, 0})
	b = append(b, "From: "+value(sipmsg.HdrFrom)+"\r\nTo: "+value(sipmsg.HdrTo)+"\r\nCall-ID: "+value(sipmsg.HdrCallID)+"\r\nCSeq: 1 ACK\r\n"...)
	c.send(line, appendEnd(b))
}

// refused is a final answer to the INVITE that is none of 2xx.
func (c *core) refused(k *call, status int) {
	n := &c.rec.present.Calls
	switch {
	case k.state == cancelling && status == 487 && c.stopped:
		n.Cancelled++
		c.finish(k)
	case k.state == cancelling && status == 487:
		c.lost(k, "invite", "not answered in time")
	case k.dead && k.asleep && status == 480:
		n.Unreached++
		c.finish(k)
	default:
		c.lost(k, "invite", strconv.Itoa(status))
	}
}

// cancel takes the INVITE back (RFC 3261 §9.1).
func (c *core) cancel(k *call, now int64) {
	if k.state == proceeding {
		b := c.appendCallHead(c.reset(), k, "CANCEL", c.ruri(k), tag{c.run, branchInvite, k.number, 0}, 1, "", nil)
		c.send(k.line, appendEnd(b))
	}
	k.state = cancelling
	c.timers.add(deadline{at: now + lifetime, id: k.number, kind: forget})
}

// endCall ends a call because the run ends.
func (c *core) endCall(k *call, now int64) {
	switch k.state {
	case proceeding:
		c.cancel(k, now)
	case talking:
		c.hangUp(k, now)
	default: // What is not answered yet is cancelled then.
	}
}

func (c *core) hangUp(k *call, now int64) {
	k.state, k.hung, k.tries = ending, now, 0
	c.sendBye(k, now)
}

func (c *core) sendBye(k *call, now int64) {
	k.tries++
	b := c.appendCallHead(c.reset(), k, "BYE", k.target, tag{c.run, branchBye, k.number, 0}, 2, k.toTag, k.route)
	c.send(k.line, appendEnd(b))
	c.timers.add(deadline{at: again(now, k.hung, k.tries, t2), id: k.number, kind: byeAgain})
}

// byeAnswer is a final answer to the BYE.
func (c *core) byeAnswer(k *call, status int, now int64) {
	switch {
	case status >= 300:
		c.lost(k, "bye", strconv.Itoa(status))
	case !k.acked: // The run ends, and did not wait for the ACK.
		c.rec.present.Calls.Cancelled++
		c.finish(k)
	default:
		c.rec.saw(Bye, now-k.hung)
		c.rec.present.Calls.Completed++
		c.finish(k)
	}
}

// lost ends a call that did not go as it should.
func (c *core) lost(k *call, what, why string) {
	c.rec.present.Calls.Failed++
	c.rec.row.Failed++
	c.rec.failed(what, why)
	c.finish(k)
}

// finish forgets a call.
func (c *core) finish(k *call) {
	if k.asleep && k.reached == 0 {
		c.held--
	}
	delete(c.calls, k.number)
	delete(c.busy, k.phone)
	c.ringing.underWay--
}
