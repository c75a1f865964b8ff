package phone

import (
	"time"

	"github.com/emiago/sipgo/sip"
)

// request takes what sipgo received. sipgo answers a CANCEL that matches by
// itself, and calls this on a goroutine of its own.
func (l *line) request(req *sip.Request, tx *sip.ServerTx) {
	select {
	case <-l.done:
		return
	default:
	}
	toTag := ""
	if to := req.To(); to != nil {
		toTag, _ = to.Params.Get("tag")
	}
	if toTag != "" {
		l.inDialog(req, tx, toTag)
		return
	}
	switch req.Method {
	case sip.INVITE:
		l.ring(req, tx)
	case sip.MESSAGE:
		l.p.tell(Event{Kind: Messaged, CallID: req.CallID().Value(), Body: string(req.Body())})
		l.respond(req, tx, 200, "OK")
	case sip.OPTIONS:
		l.respond(req, tx, 200, "OK")
	case sip.ACK:
	case sip.CANCEL, sip.BYE:
		l.respond(req, tx, 481, "Call/Transaction Does Not Exist")
	default:
		l.respond(req, tx, 405, "Method Not Allowed")
	}
}

// respond answers with no more than a status. Nothing can be done if that does
// not work: the other side will try again.
func (l *line) respond(req *sip.Request, tx *sip.ServerTx, code int, reason string) {
	_ = tx.Respond(sip.NewResponseFromRequest(req, code, reason, nil))
}

func (l *line) inDialog(req *sip.Request, tx *sip.ServerTx, toTag string) {
	p := l.p
	p.mu.Lock()
	c := p.calls[callKey{req.CallID().Value(), toTag}]
	p.mu.Unlock()
	switch {
	case req.Method == sip.ACK:
		if c != nil {
			c.confirmOnce.Do(func() {
				<-c.answered
				p.tell(Event{Kind: Confirmed, CallID: c.key.callID})
				close(c.confirmed)
			})
		}
	case c == nil:
		l.respond(req, tx, 481, "Call/Transaction Does Not Exist")
	case req.Method == sip.BYE:
		l.respond(req, tx, 200, "OK")
		c.end()
	case req.Method == sip.INVITE:
		_ = tx.Respond(l.answer(req, ""))
	default:
		l.respond(req, tx, 200, "OK")
	}
}

// ring lets the phone ring and answers.
func (l *line) ring(req *sip.Request, tx *sip.ServerTx) {
	p, callID, tag := l.p, req.CallID().Value(), randomToken()
	p.tell(Event{Kind: Invited, CallID: callID, Body: string(req.Body())})
	cancelled := make(chan struct{})
	// The callback runs under a lock of sipgo's.
	if !tx.OnCancel(func(*sip.Request) { close(cancelled) }) {
		p.tell(Event{Kind: Cancelled, CallID: callID})
		return
	}
	_ = tx.Respond(tagged(sip.NewResponseFromRequest(req, 180, "Ringing", nil), tag))
	timer := time.NewTimer(p.o.Ring)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-cancelled:
		p.tell(Event{Kind: Cancelled, CallID: callID})
		return
	case <-l.done:
		return
	}
	if code := p.o.Reject; code != 0 {
		_ = tx.Respond(tagged(sip.NewResponseFromRequest(req, code, "Declined", nil), tag))
		p.tell(Event{Kind: Declined, CallID: callID, Status: code})
		return
	}
	ok := l.answer(req, tag)
	c := p.newCall(req, ok, false)
	if err := tx.Respond(ok); err != nil {
		// A CANCEL was faster.
		c.drop()
		close(c.answered)
		p.tell(Event{Kind: Cancelled, CallID: callID})
		return
	}
	p.tell(Event{Kind: Answered, CallID: callID, Status: 200})
	close(c.answered)
	// RFC 3261 §13.3.1.4: the 200 is repeated until the ACK comes, on any
	// transport.
	if retransmit(func() { _ = tx.Respond(ok) }, c.confirmed, c.ended, l.done) {
		p.tell(Event{Kind: Unanswered, CallID: callID})
		c.drop()
	}
}

// answer is the 200 to an INVITE. Without a tag of ours it has one already.
func (l *line) answer(req *sip.Request, tag string) *sip.Response {
	ok := sip.NewResponseFromRequest(req, 200, "OK", []byte(l.p.o.SDP))
	if tag != "" {
		tagged(ok, tag)
	}
	ok.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	ok.AppendHeader(sip.NewHeader("Contact", l.p.dialogContact(l)))
	return ok
}

// tagged gives a response our tag: sipgo draws another one for each.
func tagged(res *sip.Response, tag string) *sip.Response {
	to := res.To()
	to.Params.Remove("tag")
	to.Params.Add("tag", tag)
	return res
}

// drop forgets a call that never came about.
func (c *Call) drop() {
	c.p.mu.Lock()
	delete(c.p.calls, c.key)
	c.p.mu.Unlock()
}
