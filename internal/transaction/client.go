package transaction

import (
	"fmt"
	"log/slog"
	"math"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

// A Client is a client transaction: a request that we sent, and the responses to
// it. Its methods must be called on its queue.
type Client struct {
	q    *Queue
	f    flow.Flow
	id   clientKey
	wire []byte          // the request as sent
	m    *sipmsg.Message // the same, once somebody has asked for it
	user ClientUser      // nil for a CANCEL of ours

	serving       *Server // in whose name the request was sent; nil if unknown
	cancelHeaders []sipmsg.HeaderField
	failure       error // what Failed will say
	next, prev    *Client

	repeat      timer         // Timer A or E
	life        timer         // Timer B, C, D, F, K, M, or the wait after CANCEL
	interval    time.Duration // of repeat
	ringLimit   time.Duration // when Timer C fires, on the queue's clock
	state       state
	provisional bool
	abandoned   bool
}

// NewClient sends a request on f and runs its client transaction. wire is the
// request with a Via of ours on top, whose branch must be new; it must not be
// changed afterwards. There is no transaction for an ACK.
//
// It must be called on the queue of the request's Call-ID. If the request could
// not be sent, the error wraps ErrTransport and u hears nothing.
func (q *Queue) NewClient(f flow.Flow, wire []byte, u ClientUser) (*Client, error) {
	l := q.layer
	if l.live[kindClientInvite].Load()+l.live[kindClientOther].Load() >= int64(l.o.MaxClients) {
		l.metrics.refused(refusedClients)
		return nil, ErrTooMany
	}
	return q.newClient(f, wire, u)
}

func (q *Queue) newClient(f flow.Flow, wire []byte, u ClientUser) (*Client, error) {
	method, branch, err := sipmsg.Outgoing(wire)
	if err != nil {
		return nil, fmt.Errorf("read the request to be sent: %w", err)
	}
	c := &Client{q: q, f: f, id: clientKey{branch, method}, wire: wire, user: u, serving: q.serving, failure: ErrTimeout, state: nicTrying}
	if _, taken := q.clients[c.id]; taken || method == "ACK" {
		return nil, fmt.Errorf("send %s with branch %q: no request, or its branch is not new", method, branch)
	}
	c.repeat = timer{owner: c, kind: timerRepeat}
	c.life = timer{owner: c, kind: timerLife}
	l := q.layer
	life := 64 * l.o.T1
	if c.invite() {
		c.state = ivcCalling
		c.ringLimit = q.now() + l.o.TimerC
		// RFC 3261 §16.8: without provisional response, Timer C is like Timer B.
		if l.o.TimerC < life {
			life, c.failure = l.o.TimerC, ErrTimerC
		}
	}
	q.clients[c.id] = c
	q.flows.add(c)
	l.live[c.kind()].Add(1)
	l.undecidedOf(method).Add(1)
	if err := l.o.Sender.Send(f, wire); err != nil {
		c.state = terminated
		c.decide()
		c.gone()
		return nil, c.transportError(err)
	}
	q.start(&c.life, life)
	if !f.Stream() {
		c.interval = l.o.T1
		q.start(&c.repeat, c.interval)
	}
	return c, nil
}

// Flow returns the flow on which the request was sent.
func (c *Client) Flow() flow.Flow { return c.f }

// Queue returns the queue on which everything about the request must be done.
func (c *Client) Queue() *Queue { return c.q }

// Message returns the request as it was sent.
func (c *Client) Message() *sipmsg.Message {
	if c.m == nil {
		// Most requests are answered and never looked at again. NewClient has seen that
		// there is enough of it, and a message with a defect has all its lines.
		c.m, _ = sipmsg.Parse(c.wire, c.f.Remote)
	}
	return c.m
}

// Branch returns the branch parameter of the request's top Via.
func (c *Client) Branch() string { return c.id.branch }

// Provisional reports whether a provisional response has come.
func (c *Client) Provisional() bool { return c.provisional }

// Done reports whether a final response has come or none will.
func (c *Client) Done() bool { return !c.state.undecided() }

// Cancel cancels an INVITE: at once if there was a provisional response, else
// when one comes (RFC 3261 §9.1). If no final response follows within 64*T1, the
// transaction fails with ErrTimeout. headers, such as Reason, go into the
// CANCEL. Cancel does nothing to a request that has its final response or is not
// an INVITE.
func (c *Client) Cancel(headers ...sipmsg.HeaderField) {
	if len(headers) != 0 {
		c.cancelHeaders = headers
	}
	c.step(evCancel, nil)
}

// Abandon gives the request up without telling the user any more about it: it
// is not sent again, it is cancelled as by Cancel, and its final response is
// acknowledged and ignored. Two things are still reported: a 2xx to an INVITE, for
// somebody has taken the call and only the caller can end it (RFC 3261 §16.7
// step 5), and a 6xx, for somebody does not want it anywhere.
func (c *Client) Abandon() {
	if !c.abandoned && c.state.undecided() {
		// Nobody waits for its answer any more, Stop neither.
		c.decide()
	}
	c.abandoned = true
	c.q.timers.stop(&c.repeat)
	c.step(evCancel, nil)
}

// Hush stops sending the request again. Whatever comes is told as before.
func (c *Client) Hush() { c.q.timers.stop(&c.repeat) }

func (c *Client) invite() bool { return c.id.method == "INVITE" }

// decide is called once, when nobody waits for an answer any more.
func (c *Client) decide() { c.q.layer.decide(c.q.layer.undecidedOf(c.id.method)) }

func (c *Client) kind() kind {
	if c.invite() {
		return kindClientInvite
	}
	return kindClientOther
}

// step feeds an event to the state machine and does what it says. m is the
// response of evTrying to evFailure. What the user is told comes last, for the
// user may call back.
func (c *Client) step(ev event, m *sipmsg.Message) {
	was := c.state
	st := was.on(ev)
	c.state = st.next
	if was.undecided() && !st.next.undecided() && !c.abandoned {
		c.decide()
	}
	if ev == evExpire {
		c.timedOut(was)
	}
	if st.do&doQuiet != 0 {
		c.q.timers.stop(&c.repeat)
	}
	if st.timer != keep {
		c.setLife(st.timer, ev)
	}
	if st.do&doAck != 0 {
		c.ack(m)
	}
	if st.do&doCancel != 0 {
		c.sendCancel()
	}
	if c.state == terminated && was != terminated {
		c.gone()
	}
	if st.do&doRepeat != 0 && !c.abandoned {
		c.backOff()
	}
	if st.do&doResend != 0 {
		c.resend()
	}
	if st.do&doPass != 0 && c.reports(ev, m) {
		c.user.Response(c, m)
	}
	if st.do&doFail != 0 && c.reports(ev, nil) {
		c.user.Failed(c, c.failure)
	}
}

// timedOut notes which timer ended the state was.
func (c *Client) timedOut(was state) {
	name := ""
	switch was {
	case ivcCalling, ivcGivenUp:
		name = "b"
	case ivcProceeding:
		name, c.failure = "c", ErrTimerC
	case ivcCancelled:
		name = "cancel"
	case nicTrying, nicProceeding:
		name = "f"
	default: // The transaction had its final response.
		return
	}
	c.q.layer.metrics.timeouts.WithLabelValues(name).Inc()
}

// reports says whether the user hears of an event, and of its response m.
func (c *Client) reports(ev event, m *sipmsg.Message) bool {
	switch {
	case c.user == nil:
		return false
	case !c.abandoned:
		return true
	}
	return c.invite() && (ev == evSuccess || ev == evFailure && m.Status() >= 600)
}

// setLife starts the timer that limits the new state, or ends it at once.
func (c *Client) setLife(t limit, ev event) {
	if t == limitC {
		// RFC 3261 §16.7 step 2: a 100 does not reset Timer C.
		if ev == evProvisional {
			c.ringLimit = c.q.now() + c.q.layer.o.TimerC
		}
		c.q.timers.set(&c.life, c.ringLimit)
		return
	}
	switch d := c.q.layer.limit(t, c.f.Stream()); {
	case d <= 0:
		c.state = terminated
	case c.state.undecided():
		c.q.start(&c.life, d)
	default:
		c.q.linger(&c.life, d)
	}
}

// backOff starts the retransmission timer with the next interval.
func (c *Client) backOff() {
	l := c.q.layer
	ceiling := l.o.T2 // RFC 3261 §17.1.2.2, Timer E: min(2*E, T2), errata 2769
	switch {
	case c.invite():
		ceiling = math.MaxInt64 // RFC 3261 §17.1.1.2, Timer A: always doubles
	case c.state == nicProceeding:
		c.interval = ceiling
	}
	c.interval = backOff(c.interval, l.o.T1, ceiling)
	c.q.start(&c.repeat, c.interval)
}

// resend sends the request once more.
func (c *Client) resend() {
	c.q.layer.metrics.retransmitted.Inc()
	if err := c.q.layer.o.Sender.Send(c.f, c.wire); err != nil {
		c.failure = c.transportError(err)
		c.step(evTransport, nil)
	}
}

// ack acknowledges a non-2xx final response. If that fails, the peer repeats its
// response and gets another ACK.
func (c *Client) ack(resp *sipmsg.Message) {
	c.q.scratch = c.Message().AppendACK(c.q.scratch[:0], resp)
	if err := c.q.layer.o.Sender.Send(c.f, c.q.scratch); err != nil {
		c.transportError(err) //nolint:errcheck // counted; see above
	}
}

// sendCancel sends the CANCEL, a transaction of its own on the same flow, whose
// responses matter to nobody. If it cannot be sent, the INVITE ends by its timer
// or with its connection.
func (c *Client) sendCancel() {
	if _, err := c.q.newClient(c.f, c.Message().AppendCancel(nil, c.cancelHeaders...), nil); err != nil {
		c.q.layer.debug("CANCEL not sent", slog.String("call_id", c.Message().CallID()), slog.Any("err", err))
	}
}

func (c *Client) transportError(err error) error {
	c.q.layer.metrics.sendErrors.Inc()
	return fmt.Errorf("%w: send %s on %s: %w", ErrTransport, c.id.method, c.f, err)
}

// expire implements expirer.
func (c *Client) expire(k timerKind) {
	c.q.serving = c.serving
	if k == timerRepeat {
		c.step(evRepeat, nil)
		return
	}
	c.step(evExpire, nil)
}

// gone forgets the transaction. It has just become terminated.
func (c *Client) gone() {
	q := c.q
	q.timers.stop(&c.repeat)
	q.timers.stop(&c.life)
	delete(q.clients, c.id)
	q.flows.remove(c)
	q.layer.live[c.kind()].Add(-1)
}

// flowClosed fails the transactions that waited for a response on f.
func (q *Queue) flowClosed(f flow.Flow) {
	// Listed first: a user that is told of a failure may start new requests.
	var affected []*Client
	for c := q.flows.head(f); c != nil; c = c.next {
		affected = append(affected, c)
	}
	for _, c := range affected {
		// A guard of its own for each: a panic must not spare the others.
		q.finish(&item{fn: func() {
			c.failure = fmt.Errorf("%w: %s closed", ErrTransport, f)
			c.step(evTransport, nil)
		}, serving: c.serving})
	}
}
