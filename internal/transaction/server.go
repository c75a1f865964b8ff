package transaction

import (
	"log/slog"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

// A Server is a server transaction: one request and the answers to it. Its
// methods must be called on its queue, except the function that Suspend returns.
type Server struct {
	q     *Queue
	m     *sipmsg.Message
	f     flow.Flow
	tag   string  // To tag of the 200 to a CANCEL, "" if there was none
	last  []byte  // the last response sent; nil: none, or only the 100 of the layer
	chain *Server // the next one with the same key
	onEnd func()

	repeat   timer         // Timer G, or the delay before a 100 to non-INVITE
	life     timer         // Timer H, I, J, L, or the client's F
	interval time.Duration // of repeat
	state    state
	trying   bool // the layer has sent a 100 to the INVITE
	once     bool // a failure is sent once, and again only when the request comes again
}

// newServer creates the transaction of a new request.
func (q *Queue) newServer(f flow.Flow, m *sipmsg.Message) *Server {
	s := &Server{q: q, m: m, f: f, state: nisTrying}
	if m.Method() == "INVITE" {
		s.state = ivsProceeding
	}
	s.repeat = timer{owner: s, kind: timerRepeat}
	s.life = timer{owner: s, kind: timerLife}
	q.link(s)
	q.layer.live[s.kind()].Add(1)
	q.layer.known.add(q.layer.hash(m.CallID()), 1)
	q.layer.undecidedOf(m.Method()).Add(1)
	return s
}

// Message returns the request.
func (s *Server) Message() *sipmsg.Message { return s.m }

// Flow returns the flow on which the request arrived.
func (s *Server) Flow() flow.Flow { return s.f }

// Queue returns the queue on which everything about the request must be done.
func (s *Server) Queue() *Queue { return s.q }

// Done reports whether a final response was given, or no longer may be.
func (s *Server) Done() bool { return !s.state.undecided() }

func (s *Server) invite() bool { return s.m.Method() == "INVITE" }

// decide is called once, when it is known that the request will be answered no more.
func (s *Server) decide() { s.q.layer.decide(s.q.layer.undecidedOf(s.m.Method())) }

func (s *Server) kind() kind {
	if s.invite() {
		return kindServerInvite
	}
	return kindServerOther
}

// Respond sends a response and keeps it for retransmissions of the request.
// wire must not be changed afterwards. After a final response only a 2xx to an
// INVITE that has been accepted is sent; everything else is discarded.
//
// To a request that is no INVITE a 100 goes out only when RFC 4320 §4.1 allows
// it, other provisional responses never. A 408 ends such a request without a
// response.
func (s *Server) Respond(code int, wire []byte) {
	if s.state.over() {
		// RFC 4320 §4.2, RFC 6026 §8.3: too late.
		s.q.layer.metrics.dropped(dropLateResponse)
		return
	}
	if !s.invite() {
		switch {
		case code > 100 && code < 200, code == 100 && !s.f.Stream():
			// RFC 4320 §4.1. The 100 of a datagram flow is sent by expire.
			s.q.layer.metrics.dropped(dropForbidden)
			return
		case code == 408:
			// RFC 4320 §4.2: the client knows about the time-out already.
			s.q.layer.metrics.dropped(dropForbidden)
			wire = nil
		}
	}
	s.step(responseEvent(code), wire)
}

// Reply responds with an answer of our own. If r needs a To tag and has none, it
// gets one that stays the same for this request.
func (s *Server) Reply(r sipmsg.Reply) {
	switch {
	case r.ToTag != "":
	case s.tag != "":
		// RFC 3261 §9.2: the answers to an INVITE and to its CANCEL have one tag.
		r.ToTag = s.tag
	default:
		r.ToTag = s.q.layer.tag(s.m)
	}
	s.Respond(r.Code, s.m.AppendReply(nil, r))
}

// Refuse replies without keeping the transaction, so that a peer we do not know
// costs no memory: a copy of the request comes as a new one, to be refused anew
// with the same answer. For an INVITE this is only right before anything else
// was sent; later, Refuse is Reply. Behind a 100 it is a Reply without Timer G:
// eleven copies of an answer would be worth while to somebody who sends INVITEs
// in the name of others.
func (s *Server) Refuse(r sipmsg.Reply) {
	if s.Done() || s.last != nil || s.state == nisProceeding || s.trying {
		s.once = s.last == nil
		s.Reply(r)
		return
	}
	s.q.refuse(s.f, s.m, r)
	s.end()
}

// OnEnd has fn called on the queue when the transaction is gone, or does nothing any
// more but absorb copies of a request that nobody waits for. Several functions are
// called in the order in which they were given.
func (s *Server) OnEnd(fn func()) {
	if s.state.over() {
		s.q.later = append(s.q.later, fn)
		return
	}
	if before := s.onEnd; before != nil {
		s.onEnd = func() {
			defer fn() // also if before panics
			before()
		}
		return
	}
	s.onEnd = fn
}

// Post is Queue.Post for work on behalf of this request: if fn panics, the
// request is answered 500. It may be called from any goroutine.
func (s *Server) Post(fn func()) { s.q.push(item{fn: fn, serving: s}) }

// Suspend holds back further messages of the request's flow and Call-ID until
// resume is called, which may be done from any goroutine and counts once. Then
// fn (which may be nil) runs on the queue, before the messages that were held.
// resume is nil if too many keys are suspended already.
func (s *Server) Suspend() (resume func(fn func())) {
	if !s.q.maySuspend() {
		return nil
	}
	return s.suspend()
}

// suspend begins a suspension of s's flow and Call-ID and returns the function
// that ends it.
func (s *Server) suspend() func(fn func()) {
	q, key, slot := s.q, holdKey{s.f, s.m.CallID()}, s.q.layer.slot(s.m)
	h := q.suspend(key, slot)
	var resumed atomic.Bool
	return func(fn func()) {
		if resumed.Swap(true) {
			return
		}
		if fn == nil {
			fn = func() {}
		}
		// Two items: the release must happen even if fn panics.
		q.push(item{fn: fn, serving: s}, item{fn: func() { q.release(key, h, slot) }})
	}
}

// step feeds an event to the state machine and does what it says. wire is the
// response of evTrying to evFailure.
func (s *Server) step(ev event, wire []byte) {
	was := s.state
	st := was.on(ev)
	s.state = st.next
	if was.undecided() && !st.next.undecided() {
		s.decide()
	}
	if st.do&doSend != 0 {
		s.last = wire
		s.send(wire)
	}
	if st.do&doResend != 0 {
		s.resend()
	}
	if st.do&doRepeat != 0 && !s.f.Stream() && !s.once {
		// RFC 3261 §17.2.1, Timer G: T1, then min(2*G, T2).
		s.interval = backOff(s.interval, s.q.layer.o.T1, s.q.layer.o.T2)
		s.q.start(&s.repeat, s.interval)
	}
	if st.do&doQuiet != 0 {
		s.q.timers.stop(&s.repeat)
	}
	if st.timer != keep {
		if d := s.q.layer.limit(st.timer, s.f.Stream()); d > 0 {
			s.q.linger(&s.life, d)
		} else {
			s.state = terminated
		}
	}
	switch {
	case s.state == terminated && was != terminated:
		s.gone()
	case s.state.over() && !was.over():
		s.ended()
	}
}

// end terminates the transaction without an event.
func (s *Server) end() {
	if s.state.undecided() {
		s.decide()
	}
	s.state = terminated
	s.gone()
}

// gone forgets the transaction. It has just become terminated.
func (s *Server) gone() {
	s.q.timers.stop(&s.repeat)
	s.q.timers.stop(&s.life)
	s.q.unlink(s)
	s.q.layer.live[s.kind()].Add(-1)
	s.q.layer.known.add(s.q.layer.hash(s.m.CallID()), -1)
	s.ended()
}

// ended tells the user that no answer will be heard any more.
func (s *Server) ended() {
	s.last = nil
	if s.onEnd != nil {
		s.q.later = append(s.q.later, s.onEnd)
		s.onEnd = nil
	}
}

// await is called when the user has seen the request. It does what is due if the
// user has not answered.
func (s *Server) await() {
	l := s.q.layer
	switch {
	case s.state == ivsProceeding && s.last == nil && s.asking():
		// RFC 3261 §17.2.1 allows 200 ms if the answer will come within that. Who
		// sends is being looked up, and a stranger gets one answer, not two.
		s.q.start(&s.repeat, tryingDelay)
	case s.state == ivsProceeding && s.last == nil:
		// RFC 3261 §17.2.1: a 100 at once. It is not kept but made again.
		s.trying = true
		s.resend()
	case s.state == nisTrying:
		s.q.start(&s.repeat, untilT2(l.o.T1, l.o.T2))
		s.q.start(&s.life, 64*l.o.T1)
	case s.state == nisProceeding:
		s.q.start(&s.life, 64*l.o.T1)
	}
}

// tryingDelay is how long the answer to an INVITE may take before there must be a
// 100 (RFC 3261 §17.2.1).
const tryingDelay = 200 * time.Millisecond

// asking reports whether the request came as a datagram and its key is suspended:
// the user is finding out something before it does anything.
func (s *Server) asking() bool {
	return !s.f.Stream() && s.q.held[holdKey{s.f, s.m.CallID()}] != nil
}

// expire implements expirer.
func (s *Server) expire(k timerKind) {
	s.q.serving = s
	switch {
	case k == timerLife:
		s.step(evExpire, nil)
	case s.state == ivsProceeding || s.state == ivsAccepted:
		// The 100 that was put off, unless something else was sent meanwhile.
		if s.last == nil {
			s.trying = true
			s.resend()
		}
	case s.state == nisTrying:
		s.step(evRepeat, s.m.AppendReply(nil, sipmsg.Reply{Code: 100}))
	default:
		s.q.layer.metrics.retransmitted.Inc()
		s.step(evRepeat, nil)
	}
}

// resend sends the last response once more.
func (s *Server) resend() {
	if s.last != nil {
		s.send(s.last)
	} else if s.trying {
		s.q.scratch = s.m.AppendReply(s.q.scratch[:0], sipmsg.Reply{Code: 100})
		s.send(s.q.scratch)
	}
}

// send puts a response on the wire. A failure changes nothing (RFC 6026 §8.8).
func (s *Server) send(wire []byte) {
	if wire != nil {
		s.q.layer.respond(s.f, s.m, wire)
	}
}

// respond sends a response to the request m, which arrived on f.
func (l *Layer) respond(f flow.Flow, m *sipmsg.Message, wire []byte) {
	via := m.TopVia()
	if err := l.o.Sender.Send(ResponseFlow(f, &via), wire); err != nil {
		l.metrics.sendErrors.Inc()
		l.debug("response not sent", slog.String("call_id", m.CallID()),
			slog.String("method", m.Method()), slog.Any("err", err))
	}
}

// toTag returns the To tag of the response that was sent last, or the one that
// our own answers get.
func (s *Server) toTag() string {
	if tag := s.m.ToTag(); tag != "" {
		return tag
	}
	if s.last != nil {
		if r, err := sipmsg.Parse(s.last, s.m.Source()); err == nil && r.ToTag() != "" {
			return r.ToTag()
		}
	}
	return s.q.layer.tag(s.m)
}

// ResponseFlow returns where the response to a request goes that arrived on f
// with the top Via.
func ResponseFlow(f flow.Flow, via *sipmsg.Via) flow.Flow {
	// RFC 3261 §18.2.2: streams answer on their connection.
	if f.Stream() {
		return f
	}
	// RFC 3581 §4: with rport, back to the port it came from.
	if _, ok := via.RPort(); ok {
		return f
	}
	// RFC 3261 §18.2.2: else to the port of sent-by, or 5060. maddr is not
	// honoured: it would let a stranger aim our answers at others.
	port := uint16(5060)
	if n, err := strconv.ParseUint(via.Port, 10, 16); err == nil && n != 0 {
		port = uint16(n)
	}
	f.Remote = netip.AddrPortFrom(f.Remote.Addr(), port)
	return f
}

// responseEvent is the event of a response by its status.
func responseEvent(code int) event {
	switch {
	case code == 100:
		return evTrying
	case code < 200:
		return evProvisional
	case code < 300:
		return evSuccess
	default:
		return evFailure
	}
}
