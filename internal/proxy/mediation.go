package proxy

import (
	"log/slog"
	"net/netip"
	"slices"

	"reveille/flow"
	"reveille/internal/rtpengine"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
)

// This file takes the SDP of requests, their answers and ACKs through the engine of the
// call, in order.

// A mediation is what becomes of the media in one request and its answers. It lives on
// the queue of the call.
type mediation struct {
	p *Proxy
	q *transaction.Queue
	// call is replaced, never changed: tokens hold it.
	call *mediaCall
	// holds: the line of the call is kept for it.
	holds bool
	// m is the request.
	m *sipmsg.Message
	// begins: it is for the INVITE that begins the dialog, so that the call at the engine
	// ends with it if it fails.
	begins bool
	// offers: the request carries the offer; otherwise the answer to it may.
	offers bool
	// sender and receiver are the names of the profiles of those sides of the request.
	sender, receiver string
	// attempts counts those to send the request, of which the last one counts.
	attempts int
	// sent is the SDP that leaves, for the profile sentFor, which need not be that of
	// receiver any more; "" is that of the request.
	sent, sentFor string
	// open: an engine may know the call. taken: somebody has answered it. closed: it was
	// ended there.
	open, taken, closed bool
	// answers are those that were changed: a 2xx comes again, and often with what was in
	// the 18x before it.
	answers []mediaAnswer
	// clients are those of the branch.
	clients []*transaction.Client
}

// A mediaAnswer is SDP of an answer that was changed: whose, from what, to what.
type mediaAnswer struct{ tag, received, sent string }

// maxAnswers bounds them. More phones behind one branch ask the engine again.
const maxAnswers = 8

// mediate takes the request by way of an engine, if its media need one, and through the
// line of its call; it goes on in send. It reports false if the request may leave as it
// is.
func (b *branch) mediate(to flow.Flow) bool {
	f := b.fork
	if !b.mediated(to) {
		return false
	}
	med := b.media
	med.attempts++
	attempt := med.attempts
	b.state = mediating
	// Given up meanwhile, or the phone has registered on another flow.
	outdated := func() bool { return b.state != mediating || b.media != med || med.attempts != attempt }
	queued := med.line().enter(func(next func()) {
		if outdated() {
			next()
			return
		}
		med.request(func(err error) {
			defer next()
			if outdated() {
				return
			}
			b.state = idle
			switch {
			case err == nil:
				b.send(to)
			case f.p.opts().Media.Pass:
				med.sent = ""
				if med.begins {
					b.dropMedia()
				}
				b.send(to)
			default:
				b.finish(b.failure(503, "No Media Engine"))
			}
			f.conclude()
		})
	})
	if !queued {
		f.p.metrics.media.WithLabelValues("full").Inc()
		b.finish(b.failure(503, "Media Of The Call Are Busy"))
	}
	return true
}

// mediated reports whether the media of the request go through an engine if it leaves on
// a flow. If so, b.media says how.
func (b *branch) mediated(to flow.Flow) bool {
	f := b.fork
	o := &f.p.opts().Media
	if o.Engines == nil && b.media == nil {
		return false
	}
	t, m := f.passage.token, f.s.Message()
	sdp, readable := sdpOf(m)
	switch {
	case f.inDialog && (t == nil || t.media == nil) || !f.inDialog && !f.invite():
		return false
	case f.inDialog:
		if b.media == nil {
			b.media = &mediation{p: f.p, q: f.s.Queue(), m: m, call: t.media, offers: sdp != ""}
			b.media.sender, b.media.receiver = t.mediaSides(m)
			b.media.hold()
		}
		return true
	}
	sender, receiver := f.mediaProfile(), b.mediaProfile(to)
	if !readable || !o.applies(sender, receiver) {
		if b.media != nil {
			// The phone has come back as one of another kind.
			b.dropMedia()
		}
		return false
	}
	if b.media == nil {
		b.media = &mediation{p: f.p, q: f.s.Queue(), m: m, call: newMediaCall(), begins: true, offers: sdp != ""}
		b.media.hold()
	}
	b.media.sender, b.media.receiver = sender, receiver
	return true
}

// request has the SDP of the request changed. then runs once, inline or later on the
// queue; med.sent is what leaves.
func (med *mediation) request(then func(error)) {
	sdp, _ := sdpOf(med.m)
	if med.begins && med.call.engine.IsValid() && med.call.callee != med.receiver {
		// The phone has come back as one of another kind.
		med.call = &mediaCall{id: med.call.id, engine: med.call.engine, caller: med.sender, callee: med.receiver}
	}
	switch {
	case med.begins && !med.call.engine.IsValid():
		med.begin(sdp, nil, then)
	case sdp == "" || !exchanges(med.m.Method()):
		then(nil)
	case med.sentFor == med.receiver:
		// It leaves once more, such as on another flow of the phone.
		then(nil)
	default:
		c := med.command(rtpengine.Offer, sdp, med.m.FromTag(), med.m.ToTag(), med.sender, med.receiver)
		if line := med.line(); med.m.Method() == "PRACK" && line.owed {
			// RFC 6337 §2.1: the reliable 18x had the offer.
			med.offers, line.owed = false, false
			c = med.command(rtpengine.Answer, sdp, med.m.ToTag(), med.m.FromTag(), med.sender, med.receiver)
		}
		receiver := med.receiver
		med.ask(c, func(out string, err error) {
			if err == nil {
				med.sent, med.sentFor = out, receiver
			}
			then(err)
		})
	}
}

// exchanges reports whether the SDP in requests of a method is an offer or an answer.
func exchanges(method string) bool {
	switch method {
	case "INVITE", "UPDATE", "PRACK", "ACK":
		return true
	}
	return false
}

// begin chooses the engine of the call and makes it the offer, if there is one yet.
func (med *mediation) begin(sdp string, tried []netip.AddrPort, then func(error)) {
	o := &med.p.opts().Media
	if o.Engines == nil {
		then(errNoEngine)
		return
	}
	engine, ok := o.Engines.Pick(tried)
	if !ok {
		med.p.metrics.media.WithLabelValues("no_engine").Inc()
		then(errNoEngine)
		return
	}
	med.call = &mediaCall{id: med.call.id, engine: engine, caller: med.sender, callee: med.receiver}
	if sdp == "" {
		then(nil)
		return
	}
	receiver := med.receiver
	med.ask(med.command(rtpengine.Offer, sdp, med.m.FromTag(), "", med.sender, receiver), func(out string, err error) {
		if err != nil {
			// Another one may take it.
			med.call = &mediaCall{id: med.call.id}
			med.begin(sdp, append(tried, engine), then)
			return
		}
		med.sent, med.sentFor = out, receiver
		then(nil)
	})
}

// response has the SDP of an answer to the request changed, behind what was said about
// the call before. send gets it, "" for that of m, and does not run if the answer is
// dropped because too much waits: a 2xx and a reliable 18x come again.
func (med *mediation) response(m *sipmsg.Message, send func(sdp string)) {
	queued := med.line().enter(func(next func()) {
		sdp, _ := sdpOf(m)
		i := slices.IndexFunc(med.answers, func(a mediaAnswer) bool { return a.tag == m.ToTag() && a.received == sdp })
		switch {
		case sdp == "" || med.closed || !exchanges(med.m.Method()) || m.Status() > 299:
			send("")
			next()
			return
		case i >= 0:
			send(med.answers[i].sent)
			next()
			return
		}
		c := med.command(rtpengine.Answer, sdp, med.m.FromTag(), m.ToTag(), med.receiver, med.sender)
		if !med.offers {
			if med.m.Method() != "INVITE" {
				// There was no offer that it could answer.
				send("")
				next()
				return
			}
			// RFC 3261 §13.2.1: the answer comes in the ACK, or in the PRACK before it.
			c = med.command(rtpengine.Offer, sdp, m.ToTag(), med.m.FromTag(), med.receiver, med.sender)
			med.line().owed = true
		}
		med.ask(c, func(out string, err error) {
			defer next()
			if err != nil {
				// The other side has said its word already; so it passes.
				send("")
				return
			}
			if len(med.answers) < maxAnswers {
				med.answers = append(med.answers, mediaAnswer{m.ToTag(), sdp, out})
			}
			send(out)
		})
	})
	if !queued {
		med.p.metrics.media.WithLabelValues("full").Inc()
	}
}

// pass sends an answer of a branch upstream.
func (f *fork) pass(b *branch, m *sipmsg.Message) {
	e := f.upstream(m, b.trusted())
	if b.media == nil {
		f.s.Respond(m.Status(), e.Bytes())
		return
	}
	b.media.response(m, func(sdp string) {
		if sdp != "" {
			e.SetBody(sdp)
		}
		f.s.Respond(m.Status(), e.Bytes())
	})
}

// command is one about the SDP that goes from one side to the other.
func (med *mediation) command(v rtpengine.Verb, sdp, offerer, answerer, from, to string) rtpengine.Command {
	o := &med.p.opts().Media
	return rtpengine.Command{
		Verb: v, Call: med.call.name(med.m.CallID()), SDP: sdp, Offerer: offerer, Answerer: answerer,
		Sender: o.profile(from), Receiver: o.profile(to),
	}
}

// ask has the call's engine do something. then runs later on the queue.
func (med *mediation) ask(c rtpengine.Command, then func(sdp string, err error)) {
	med.open = true
	med.p.askEngine(med.q, med.call.engine, med.m.CallID(), c, then)
}

// askEngine sends a command to an engine and counts what comes of it.
func (p *Proxy) askEngine(q *transaction.Queue, engine netip.AddrPort, callID string, c rtpengine.Command, then func(sdp string, err error)) {
	engines := p.opts().Media.Engines
	if engines == nil {
		// The configuration has no engines any more.
		q.Post(func() { then("", errNoEngine) })
		return
	}
	engines.Do(engine, c, func(sdp string, err error) {
		result := "changed"
		switch {
		case err != nil:
			// That an engine is away is logged once, by those who know.
			p.opts().Logger.Debug("media", slog.String("call_id", callID), slog.String("command", string(c.Verb)), slog.Any("err", err))
			result = "failed"
		case c.Verb == rtpengine.Delete:
			result = "ended"
		}
		p.metrics.media.WithLabelValues(result).Inc()
		q.Post(func() { then(sdp, err) })
	})
}

// ackMedia has the SDP of an ACK changed, which is the answer to the offer in a 2xx (RFC
// 3261 §13.2.1), and sends it, "" for that of the ACK, behind what was said before.
func (p *Proxy) ackMedia(q *transaction.Queue, m *sipmsg.Message, g passage, send func(sdp string)) {
	if g.token == nil || g.token.media == nil || p.opts().Media.Engines == nil {
		send("")
		return
	}
	med := &mediation{p: p, q: q, m: m, call: g.token.media}
	med.sender, med.receiver = g.token.mediaSides(m)
	line := med.line()
	queued := line.enter(func(next func()) {
		sdp, _ := sdpOf(m)
		if sdp == "" {
			send("")
			next()
			return
		}
		line.owed = false
		med.ask(med.command(rtpengine.Answer, sdp, m.ToTag(), m.FromTag(), med.sender, med.receiver), func(out string, _ error) {
			defer next()
			send(out)
		})
	})
	if !queued {
		p.metrics.discarded.WithLabelValues("ack_media").Inc()
	}
}
