package proxy

import (
	"errors"
	"time"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
	"reveille/usrloc"
)

// branchState is where a branch stands.
type branchState uint8

const (
	idle      branchState = iota
	parked                // waits in the bucket for its device to wake (RFC 8599 §5.2)
	mediating             // a media engine is asked before the request leaves
	calling               // sent; no provisional answer yet
	answered              // a provisional answer came: the device may be ringing
	ended                 // has its final
)

// A branch is one device's, or next hop's, part of a fork. A device never has
// two branches that may ring: of the two client transactions after a move to
// another flow one counts, and the other is cancelled.
type branch struct {
	fork   *fork
	target target
	state  branchState
	// lost: the connection broke under the request and the device was woken
	// instead. That happens once.
	lost bool
	// rang: the device itself was heard of, not only a proxy next to it.
	rang bool
	// rungOut: it rang for too long and was told to stop, for others to be tried.
	rungOut bool
	// overdue: it has rung for its time, and is to stop as soon as that serves others.
	overdue bool
	// datagram: the next hop takes no connection, so that it gets large requests by UDP.
	datagram bool
	// slept: it was waited for in vain.
	slept  bool
	client *transaction.Client
	past   *past
	// breadth is the Max-Breadth with which the request leaves; held is what attempts
	// have that are given up and may go on all the same.
	breadth, held int
	wait          wait
	ring          *transaction.Timer
	// sentAt is when the request left.
	sentAt time.Time
	// silence runs while a next hop has not answered and there is another one.
	silence *transaction.Timer
	// diversion says that the branch is that of a fallback; nil: it is not.
	diversion *diversion
	// farewell is what follows a call that ended before the device woke; nil: nothing.
	farewell *farewell
	// media is what becomes of the media; nil: they pass as they are.
	media *mediation
}

func (b *branch) ended() bool { return b.state == ended }

// start takes the first step.
func (b *branch) start() {
	switch b.target.reach {
	case forward:
		b.forward(b.target.flow)
	case race:
		// Its second step follows when the request has left.
		b.forward(b.target.flow)
	case dial:
		b.connect()
	case park:
		b.park()
	case unreachable:
		b.finish(b.fork.unavailable("Device Unreachable"))
	}
}

// connect sends the request as soon as there is a connection to the target.
func (b *branch) connect() {
	f, w := b.fork, b.target.way
	h := w.hop
	if h == (hop{}) {
		b.find()
		return
	}
	if f.barred(h.transport) {
		b.fail(f.unavailable("Not Reachable Over TLS"))
		return
	}
	q := f.s.Queue()
	f.p.opts().Flows.ConnectTo(h.transport, h.name, h.addr, func(to flow.Flow, err error) {
		q.Post(func() {
			switch {
			case b.state != idle || b.target.way != w || w.hop != h:
				// Given up meanwhile, or the phone has registered.
			case err != nil:
				f.p.opts().Logger.Info("connect", "remote", h.addr.String(), "err", err)
				b.blame(nil)
				b.fail(b.failure(503, "Not Reachable"))
			default:
				b.forward(to)
			}
			f.conclude()
		})
	})
}

// forward sends the request on a flow.
func (b *branch) forward(to flow.Flow) {
	f := b.fork
	if f.barred(to.Transport) {
		// RFC 3261 §26.2.2: a sips URI means TLS all the way.
		b.fail(f.unavailable("Not Reachable Over TLS"))
		return
	}
	if !b.mediate(to) {
		b.send(to)
	}
}

// send is the rest of forward, behind what a media engine was asked.
func (b *branch) send(to flow.Flow) {
	f := b.fork
	m := f.s.Message()
	out := b.outgoing(to)
	if !f.inDialog {
		if recordRouted(f.method) && (b.media != nil || f.staysInPath(b.target.binding)) {
			t := token{
				dialog: dialogID(m.CallID(), m.FromTag()), caller: leg{binding: f.caller, flow: f.s.Flow()},
				callee: leg{binding: b.target.binding.ID, flow: to},
			}
			if b.media != nil {
				t.media = b.media.call
			}
			out.token = t.seal(f.p.opts().Keys)
		}
	}
	if b.media != nil {
		out.body = b.media.sent
	}
	wire := f.p.build(m, out, newBranch(loopHash(m)))
	if b.enlarge(len(wire), to) {
		return
	}
	b.client = nil
	client, err := f.s.Queue().NewClient(to, wire, b)
	if err != nil {
		b.Failed(nil, err)
		return
	}
	b.client, b.state, b.sentAt = client, calling, time.Now()
	if b.media != nil {
		b.media.clients = append(b.media.clients, client)
	}
	b.awaitSign()
	if b.target.reach == race {
		b.wait.delay = f.s.Queue().After(b.raceDelay(), b.overtake)
	}
	step := "forwarded"
	if b.wait.released {
		step, b.wait.released = "released", false
	}
	f.emit(event.Call{Step: step, AOR: string(b.user()), Binding: b.id(), PushID: b.wait.pushID, Flow: to, Elapsed: time.Since(f.began)})
}

// outgoing is how the request leaves on a flow, but for a Record-Route.
func (b *branch) outgoing(to flow.Flow) outgoing {
	f := b.fork
	b.target.flow = to
	out := outgoing{
		uri: b.target.uri, passage: f.passage, breadth: b.breadth, realm: f.realm, claim: f.claim, trusted: b.told(), pushID: b.wait.pushID, diversion: b.diversion, in: f.s.Flow(), out: to,
	}
	// In a dialog the route set goes before what the phone registered (RFC 3327 §5.2
	// speaks of requests to the AOR), unless the dialog knows it by its GRUU alone.
	if !f.inDialog || f.gruu {
		out.path = pathFor(b.target.binding, f.passage)
	}
	return out
}

// recordRouted reports whether requests of a method begin a dialog whose later
// requests must find their way through us.
func recordRouted(method string) bool {
	return method == "INVITE" || method == "REFER" || method == "SUBSCRIBE" || method == "NOTIFY"
}

// pathFor is the Path that goes into a request to the Contact of b.
func pathFor(b *usrloc.Binding, g passage) []string {
	if g.foreign {
		// RFC 5627 §6.1: the Path would lead where the Route comes from.
		return nil
	}
	return b.Path
}

// trusted reports whether the device or next hop is a peer that is believed.
func (b *branch) trusted() bool { return b.target.trusted || b.fork.p.trusts(b.target.flow) }

// told reports whether the device or next hop may know who sent the request.
func (b *branch) told() bool {
	return b.trusted() || b.target.aor != "" && b.fork.p.opts().Identity.TrustOutbound
}

// user is whose device the branch is for.
func (b *branch) user() usrloc.AOR {
	if b.target.aor != "" {
		return b.target.aor
	}
	return b.fork.aor
}

func (b *branch) id() string {
	if b.target.binding.ID.IsZero() {
		return ""
	}
	return b.target.binding.ID.String()
}

// is reports whether n is a binding of the branch's device. A phone that comes
// back under another binding, such as its other reg-id (RFC 5626 §7) or one made
// after it had been removed, is still the same phone.
func (b *branch) is(n *usrloc.Binding) bool { return sameDevice(b.target.binding, n) }

// gone is called when the branch's binding was removed or has expired.
func (b *branch) gone() {
	b.target.tried = &b.target.binding.Flow
	// RFC 8599 §5.5: it will not come any more.
	if b.state == parked {
		b.unpark("binding_gone")
		b.fail(b.fork.unavailable("Registration Ended"))
	}
}

// registered is called when the branch's device has registered as n.
func (b *branch) registered(n *usrloc.Binding) {
	switch {
	case b.state != parked && b.fork.mailed():
		// It gets the message there from the mailbox.
	case b.state == parked:
		b.become(n)
		b.wake(contactFlow(n))
	case b.state == idle || b.state == mediating:
		// The connection to where it was, which is being made, is not waited for.
		b.become(n)
		b.forward(contactFlow(n))
	case b.state != calling || contactFlow(n) == b.target.flow:
		// It rings, is done, or gets the request where it was sent to.
	case b.target.reach == race && b.widen():
		// The phone came back elsewhere and has not been heard of on the old
		// flow: the request follows it, once.
		b.leave()
		b.unpark("")
		b.countWake()
		b.target.reach = forward
		b.become(n)
		b.forward(contactFlow(n))
	}
	// Else the request is out; the new flow is for when the old one fails.
}

// become takes over what the device registered last. In a dialog the remote
// target stays what the dialog says (RFC 3261 §12.2.1.1), but for a GRUU (RFC 5627
// §6.1).
func (b *branch) become(n *usrloc.Binding) {
	b.target.binding, b.target.tried, b.target.spare = n, &n.Flow, without(b.target.spare, n.ID)
	if !b.fork.inDialog || b.fork.gruu {
		b.target.uri = requestURI(n.Contact, b.fork.p.opts().PushParams)
	}
}

// overtake is the race policy's second step: no provisional answer came on the
// live flow, so the phone may be asleep behind it.
func (b *branch) overtake() {
	if b.state == calling && !b.fork.over {
		f := b.fork
		b.waitUntil(time.Now().Add(f.waitFor(b.target.binding)))
		f.tale.asleep = true
		f.emitFound(event.Call{
			Step: "silent", AOR: string(b.user()), Binding: b.id(), Flow: b.target.flow, Sleeper: b.sleeper(), Elapsed: time.Since(f.began),
		})
		b.push()
	}
}

// stop gives up a branch that is no longer wanted. headers go into the CANCEL.
func (b *branch) stop(headers ...sipmsg.HeaderField) {
	switch {
	case b.state == ended:
	case b.state == idle || b.state == parked || b.state == mediating:
		b.unpark("cancelled")
		b.finish(final{code: 487})
	case b.fork.invite():
		b.unpark("")
		b.forget()
		b.client.Cancel(headers...)
	default:
		// RFC 3261 §9.1: only an INVITE can be cancelled; nobody waits for the
		// answer to this one any more.
		b.client.Abandon()
		b.finish(final{code: 487})
	}
	if b.fork.over {
		b.fork.part(b)
	}
}

// finish ends the branch. The caller concludes the fork.
func (b *branch) finish(end final) {
	if b.state == ended {
		return
	}
	b.unpark("")
	b.forget()
	b.ring.Stop()
	b.silence.Stop()
	b.state = ended
	b.narrow()
	b.endMedia(false)
	if b.rungOut && end.code == 487 {
		end = b.fork.unavailable("No Answer")
	}
	b.tellEnd(end)
	b.fork.finished(b, end)
}

// Response implements transaction.ClientUser.
func (b *branch) Response(c *transaction.Client, m *sipmsg.Message) {
	f, code := b.fork, m.Status()
	// RFC 3261 §16.7 step 3: without a Via below ours it is for nobody upstream.
	usable := len(m.Vias()) > 1
	if b.past != nil && c == b.past.client {
		b.recall(m, usable)
		return
	}
	if c != b.client || b.state == ended {
		b.late(c, m, usable)
		return
	}
	if code == 503 {
		b.blame(m)
	} else {
		b.praise()
	}
	switch {
	case code < 200:
		if b.state == calling {
			// The device is awake: no second branch, no push for it any more.
			b.state = answered
			b.unpark("")
		}
		if code > 100 {
			b.rang = true
			b.forget()
			f.rings()
		}
		b.limitRing()
		// RFC 3261 §16.7 step 4: 100 ends here; RFC 4320 §4.1: nothing
		// provisional goes upstream for other methods.
		if code > 100 && usable && f.invite() && !f.closed {
			f.relay(b, m)
		}
		return
	case !usable:
		b.finish(f.ownFinal(502, "Answer Without Via"))
	case code < 300:
		b.unpark("")
		b.ring.Stop()
		b.state = ended
		b.narrow()
		b.reached(c)
		f.success(b, m)
		b.forget()
	case b.returns(code):
		b.goBack()
		return
	case code == 503 && b.advance():
		// RFC 3263 §4.3: it speaks of that server, and there is another one.
	case code == 430:
		// RFC 5626 §11.5: it is for us to find another flow; callers never see it.
		b.fail(f.unavailable("Flow Failed"))
	case code == 408 && !b.rang:
		// RFC 5626 §7, RFC 5627 §6.1: this speaks of the flow, too. Every other final,
		// and that of a device that rang, speaks of the device.
		b.fail(final{code: code, message: m, trusted: b.trusted()})
	default:
		b.finish(final{code: code, message: m, trusted: b.trusted()})
	}
	f.conclude()
}

// late takes an answer of an abandoned client, or one after the final. Only a
// 2xx to an INVITE counts: somebody has taken the call, and only the caller can
// end it (RFC 3261 §16.7 step 5). The device's second attempt, if there is one,
// must not go on ringing. And a 6xx: somebody does not want it.
func (b *branch) late(c *transaction.Client, m *sipmsg.Message, usable bool) {
	f := b.fork
	if m.Status() >= 600 && usable {
		b.declineLate(m)
		return
	}
	if m.Status()/100 != 2 || !f.invite() || !usable {
		return
	}
	b.reached(c)
	f.success(b, m)
	if c != b.client {
		b.stop(reasonFor(200))
	}
	f.conclude()
}

// Failed implements transaction.ClientUser.
func (b *branch) Failed(c *transaction.Client, err error) {
	if b.past != nil && c == b.past.client {
		b.past = nil
		return
	}
	if c != b.client || b.state == ended {
		return
	}
	if b.state != answered && b.returns(408) {
		b.goBack()
		return
	}
	f := b.fork
	broken := errors.Is(err, transaction.ErrTransport)
	if b.state != answered && (broken || errors.Is(err, transaction.ErrTimeout)) {
		b.blame(nil)
	}
	switch {
	case broken && b.again():
	case broken:
		// RFC 3261 §16.9: as if the branch had answered 503.
		b.lose(b.failure(503, "Device Connection Lost"))
	case f.invite():
		b.lose(b.failure(408, "No Answer From Device"))
	default:
		// RFC 4320 §4.2: the sender's timer has fired too. The transaction layer
		// ends the request without an answer.
		b.finish(final{code: 408, reason: "No Answer From Device"})
	}
	f.conclude()
}
