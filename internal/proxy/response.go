package proxy

import (
	"strconv"
	"time"

	"reveille/internal/event"
	"reveille/internal/sipmsg"
)

// reasonFor is the Reason (RFC 3326) of a CANCEL that we send because a branch
// ended with code. Phones take cause 200 for "answered elsewhere" and keep the
// call out of their missed calls.
func reasonFor(code int) sipmsg.HeaderField {
	if code == 200 {
		return sipmsg.HeaderField{Name: "Reason", Value: `SIP;cause=200;text="Call completed elsewhere"`}
	}
	return sipmsg.HeaderField{Name: "Reason", Value: "SIP;cause=" + strconv.Itoa(code)}
}

// upstream is a branch's answer as it goes to the caller: without our Via, and
// without push data that is nobody else's business.
// trusted says whether the device or next hop that sent it is believed.
func (f *fork) upstream(m *sipmsg.Message, trusted bool) *sipmsg.Edit {
	e := m.Edit()
	e.PopVia()
	concealPush(m, e, f.p.opts().PushParams)
	f.p.identify(m, e, claim{trusted: trusted}, f.claim.trusted || f.claim.asserted != "" && f.p.opts().Identity.TrustOutbound)
	if f.claim.from != "" {
		// The caller knows its own From.
		e.Remove(sipmsg.HdrFrom)
		e.Push("From", f.s.Message().From().String())
	}
	if f.s.Flow().Stream() {
		// RFC 3261 §18.3: what came in a datagram may have no Content-Length.
		e.EnsureContentLength()
	}
	return e
}

// relay passes a provisional answer on (RFC 3261 §16.7 step 5).
func (f *fork) relay(b *branch, m *sipmsg.Message) {
	f.emit(event.Call{Step: "ringing", AOR: string(f.aor), Binding: b.id(), PushID: b.wait.pushID, Status: m.Status(), Elapsed: time.Since(f.began)})
	if m.Status() >= 180 {
		f.ringback.end(f)
	}
	f.pass(b, m)
}

// success passes a 2xx on at once. Every 2xx to an INVITE goes upstream, also a
// second one from another branch: the caller must end that call itself (RFC 3261
// §13.2.2.4, §16.7 step 5).
func (f *fork) success(b *branch, m *sipmsg.Message) {
	f.withdraw()
	if f.closed && !f.invite() {
		return
	}
	first := !f.closed
	f.closed = true
	f.pass(b, m)
	b.keepMedia()
	if !first {
		return
	}
	f.p.metrics.answered(f.method, m.Status())
	f.emit(event.Call{Step: "answered", AOR: string(f.aor), Binding: b.id(), PushID: b.wait.pushID, Flow: b.target.flow, Status: m.Status(), Elapsed: time.Since(f.began)})
	// A MESSAGE goes on to the devices that still sleep: each should have it.
	if f.method != "MESSAGE" {
		f.over = true
		if f.leaveRinging() {
			f.stopWaiting(b)
			return
		}
		f.stopOthers(b, reasonFor(200))
		f.release()
	}
}

// sendFinal sends the best answer upstream.
func (f *fork) sendFinal(best final) {
	f.closed, f.over = true, true
	f.release()
	code := best.status(f.invite())
	f.p.metrics.answered(f.method, code)
	f.emitFound(event.Call{
		Step: "failed", AOR: string(f.aor), Flow: f.s.Flow(), Status: code, Reason: best.text(), Phone: best.message != nil && code == best.code, Elapsed: time.Since(f.began),
	})
	if best.message == nil || code != best.code {
		r := sipmsg.Reply{Code: code}
		if best.message == nil {
			r.Reason = best.reason
		}
		if f.inDialog && code == 500 {
			r.Headers = f.p.retryAfter()
		}
		f.reply(r)
		return
	}
	e := f.upstream(best.message, best.trusted)
	// RFC 3261 §16.7 step 7: the caller sees the challenges of all branches.
	if code == 401 || code == 407 {
		for _, other := range f.refusals {
			if other != best.message {
				addChallenges(e, other)
			}
		}
	}
	f.s.Respond(code, e.Bytes())
}

func addChallenges(e *sipmsg.Edit, m *sipmsg.Message) {
	for h := range m.Headers() {
		if h.ID == sipmsg.HdrWWWAuthenticate || h.ID == sipmsg.HdrProxyAuthenticate {
			e.Add(h.Name, h.Value)
		}
	}
}

// text is the final's phrase for logs.
func (f final) text() string {
	if f.message != nil {
		return f.message.Reason()
	}
	return f.reason
}
