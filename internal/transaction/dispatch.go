package transaction

import (
	"context"
	"log/slog"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

// dispatch hands a message to its transaction, or to the user as a new one.
func (q *Queue) dispatch(it *item) {
	f, m := it.f, it.m
	switch {
	case !m.IsRequest():
		q.response(f, m)
	case m.Method() == "ACK":
		q.ack(f, m)
	case m.Method() == "CANCEL":
		q.cancel(f, m)
	default:
		q.request(f, m, it.doubted)
	}
}

// request handles every request but ACK and CANCEL.
func (q *Queue) request(f flow.Flow, m *sipmsg.Message, doubted bool) {
	l := q.layer
	if s := q.match(m); s != nil {
		q.repeated(s)
		return
	}
	switch {
	case l.refusesNew(m):
		l.metrics.refused(refusedStopping)
		l.Refuse(f, m, l.unavailable(m))
		return
	case l.full():
		l.metrics.refused(refusedFull)
		l.refuse(f, m, l.unavailable(m))
		return
	case doubted:
		l.turnAway(f, m)
		return
	}
	s := q.newServer(f, m)
	q.serving = s
	l.o.User.Request(s)
	s.await()
}

// repeated handles a retransmission of the request of s.
func (q *Queue) repeated(s *Server) {
	q.layer.metrics.absorbed.Inc()
	q.serving = s
	s.step(evRequest, nil)
}

// ack ends the INVITE transaction that it belongs to, or goes to the user.
func (q *Queue) ack(f flow.Flow, m *sipmsg.Message) {
	if s := q.match(m); s != nil {
		q.serving = s
		if s.state.on(evAck).do&doPass == 0 {
			s.step(evAck, nil)
			return
		}
	} else if m.ToTag() == q.layer.tag(m) {
		// The ACK to an answer that we gave without keeping the transaction.
		q.layer.metrics.absorbed.Inc()
		return
	}
	q.layer.o.User.Ack(q, f, m)
}

// cancel answers a CANCEL in a transaction of its own and tells the user, whose
// task it is to cancel the branches and to answer the INVITE (RFC 3261 §16.10).
func (q *Queue) cancel(f flow.Flow, m *sipmsg.Message) {
	if s := q.match(m); s != nil {
		q.repeated(s)
		return
	}
	target := q.matchCancelled(m)
	if target == nil {
		// RFC 3261 §9.2. Not kept: the next copy gets the same answer.
		q.refuse(f, m, sipmsg.Reply{Code: 481})
		return
	}
	// One for each transaction at most, so MaxTransactions bounds them too.
	s := q.newServer(f, m)
	q.serving = target
	// RFC 3261 §9.2: the To tag is that of the answer to the INVITE.
	target.tag = target.toTag()
	s.Reply(sipmsg.Reply{Code: 200, ToTag: target.tag})
	// RFC 3261 §9.2: CANCEL has no effect on an answered request, nor on another
	// method than INVITE.
	if target.invite() && !target.Done() {
		q.layer.o.User.Cancel(target, m)
	}
}

// response hands a response to its client transaction.
func (q *Queue) response(f flow.Flow, m *sipmsg.Message) {
	c := q.clients[clientKey{m.TopVia().Branch(), m.Method()}]
	if c == nil {
		// RFC 6026 §7.3: never forwarded.
		q.layer.metrics.dropped(dropStray)
		q.layer.o.User.Stray(f, m)
		return
	}
	q.serving = c.serving
	ev := responseEvent(m.Status())
	if ev == evTrying || ev == evProvisional {
		c.provisional = true
	}
	c.step(ev, m)
}

// refuse answers without keeping anything.
func (q *Queue) refuse(f flow.Flow, m *sipmsg.Message, r sipmsg.Reply) {
	if r.ToTag == "" {
		r.ToTag = q.layer.tag(m)
	}
	q.scratch = m.AppendReply(q.scratch[:0], r)
	q.layer.respond(f, m, q.scratch)
}

func (l *Layer) debug(msg string, attrs ...slog.Attr) {
	l.o.Logger.LogAttrs(context.Background(), slog.LevelDebug, msg, attrs...) //nolint:sloglint // Each caller has its own.
}
