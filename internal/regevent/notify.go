package regevent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
)

// A finalState is what the last NOTIFY of a subscription says.
type finalState struct {
	reason     string
	retryAfter time.Duration
	// body: it has a document.
	body bool
	// hasty: it is sent once, and nobody waits for the answer.
	hasty bool
}

// probation is how long subscribers stay away from a server that stops: not all come
// back at once.
func probation() time.Duration { return time.Duration(10+mrand.IntN(20)) * time.Second }

// status is the Subscription-State of a subscription that goes on (RFC 6665 §4.2.2).
func (s *subscription) status() string {
	// What has begun of a second counts: just now the 200 said as much.
	return "active;expires=" + strconv.FormatUint(seconds(time.Until(s.expires)+time.Second-1), 10)
}

// reach calls fn with the flow to the subscriber. If there is none now, a phone is
// waited for, and any other subscriber is given up.
func (s *subscription) reach(fn func(to flow.Flow)) {
	if to, ok := s.way(); ok {
		fn(to)
		return
	}
	if !s.listens() {
		// A phone that sleeps is told when it is back.
		s.forget()
		return
	}
	s.dialing = true
	s.n.o.Ways.Connect(s.next(), func(to flow.Flow, err error) {
		s.q.Post(func() {
			s.dialing = false
			switch {
			case s.over:
			case err != nil:
				s.Failed(nil, err)
			default:
				fn(to)
			}
		})
	})
}

// way returns the flow on which the subscriber is reached now without a new
// connection.
func (s *subscription) way() (to flow.Flow, ok bool) {
	if !s.phone.IsZero() {
		rec, err := s.n.o.Store.Get(context.Background(), s.home)
		if err != nil {
			return flow.Flow{}, false
		}
		if b := rec.Find(s.phone); b != nil && !b.Expired(time.Now()) {
			to, _, ok = s.n.o.Ways.Way(b)
			return to, ok
		}
	}
	if s.right == peer {
		// It listens at its Contact; a datagram's source may be any port of it.
		return s.flow, s.flow.Stream() && s.n.o.Flows.Open(s.flow)
	}
	return s.flow, s.n.o.Flows.Alive(s.flow, time.Now())
}

// listens reports whether the subscriber is one to whom we connect. Others have no
// address but a flow: who may subscribe does not make us connect anywhere.
func (s *subscription) listens() bool {
	return s.right == peer || s.right == watcher && s.phone.IsZero()
}

// next is where a request in the dialog goes (RFC 3261 §12.2.1.1).
func (s *subscription) next() sipmsg.URI {
	if len(s.routes) > 0 {
		return s.routes[0].URI
	}
	return s.target
}

// notify sends what the subscriber does not know yet.
func (s *subscription) notify(to flow.Flow, status string) {
	body, err := s.document()
	if err != nil {
		s.n.log.LogAttrs(context.Background(), slog.LevelError, "write a reginfo document", slog.String("aor", string(s.aor)), slog.Any("err", err))
		s.remove("failed")
		return
	}
	s.urgent, s.last = false, time.Now()
	client, err := s.q.NewClient(to, s.request(to, status, body), s)
	if err != nil {
		s.Failed(nil, err)
		return
	}
	s.sending = client
}

// document writes what is new, or all, and notes that it is told.
func (s *subscription) document() (string, error) {
	set := s.n.settings.Load()
	d := document{
		aor: s.aor, version: s.version, full: s.full, contacts: s.contacts.news(), now: time.Now(),
		gruu: set.GRUU, own: s.right == self, secrets: set.PushParams,
	}
	switch {
	case s.contacts.active():
		d.state = stateActive
	case s.told == stateActive:
		d.state = stateTerminated
	default:
		// RFC 3680 §4.7.1: what has ended is as if it had never been.
		d.state = stateInit
	}
	if s.full {
		d.contacts = s.contacts.all()
	}
	text, err := d.marshal()
	s.version++
	s.told, s.full = d.state, false
	s.contacts.told()
	return text, err
}

// finish sends the last NOTIFY, if that can be done now, and forgets the
// subscription for a reason that is counted.
func (s *subscription) finish(last finalState, why string) {
	if s.over {
		return
	}
	status := "terminated;reason=" + last.reason
	if last.retryAfter > 0 {
		status += ";retry-after=" + strconv.FormatUint(seconds(last.retryAfter), 10)
	}
	body := ""
	if last.body {
		s.full = true
		var err error
		if body, err = s.document(); err != nil {
			body = ""
		}
	}
	send := func(to flow.Flow) {
		// Whatever becomes of it, there is no subscription any more.
		client, err := s.q.NewClient(to, s.request(to, status, body), counted{s.n.metrics})
		if err == nil && last.hasty {
			client.Abandon()
		}
	}
	to, ok := s.way()
	switch {
	case ok:
		send(to)
	case !last.hasty && s.listens():
		s.n.o.Ways.Connect(s.next(), func(to flow.Flow, err error) {
			if err == nil {
				s.q.Post(func() { send(to) })
			}
		})
	}
	s.remove(why)
}

// request is the next NOTIFY of the dialog. body is a document or empty.
func (s *subscription) request(to flow.Flow, status, body string) []byte {
	s.seq++
	target := requestURI(s.target, s.n.settings.Load().PushParams)
	var routes []string
	for _, r := range s.routes {
		routes = append(routes, r.String())
	}
	if len(s.routes) > 0 {
		if _, loose := s.routes[0].URI.Param("lr"); !loose {
			// RFC 3261 §12.2.1.1: a strict router wants to see itself.
			routes = append(routes[1:], "<"+target+">")
			target = s.routes[0].URI.String()
		}
	}
	b := fmt.Appendf(nil, "NOTIFY %s SIP/2.0\r\nVia: %s\r\nMax-Forwards: 70\r\n", target, s.n.o.Ways.Via(to, "z9hG4bK"+rand.Text()))
	for _, r := range routes {
		b = fmt.Appendf(b, "Route: %s\r\n", r)
	}
	b = fmt.Appendf(b, "From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d NOTIFY\r\nContact: <%s>\r\nEvent: %s",
		s.local, s.remote, s.dialog.callID, s.seq, s.n.o.Ways.Contact(to), s.name)
	if s.id != "" {
		// RFC 6665 §4.5.2: as in the SUBSCRIBE.
		b = fmt.Appendf(b, ";id=%s", s.id)
	}
	b = fmt.Appendf(b, "\r\nSubscription-State: %s\r\n", status)
	if body != "" {
		b = append(b, "Content-Type: "+contentType+"\r\n"...)
	}
	return fmt.Appendf(b, "Content-Length: %d\r\n\r\n%s", len(body), body)
}

// requestURI is a Contact as a Request-URI (RFC 3261 §19.1.5).
func requestURI(u sipmsg.URI, secrets []string) string {
	s := u.WithoutPush(append(slices.Clip(secrets), "method"))
	s, _, _ = strings.Cut(s, "?")
	return s
}

// Response implements transaction.ClientUser.
func (s *subscription) Response(c *transaction.Client, m *sipmsg.Message) {
	code := m.Status()
	if code < 200 || c != s.sending {
		return
	}
	s.sending = nil
	s.n.metrics.class(code)
	switch {
	case code < 300:
		s.flush()
		return
	case ends(code):
		s.remove("failed")
		return
	}
	// Whether it was read is not known: the next one says all.
	s.full = true
	if wait, _ := m.RetryAfter(); wait > 0 {
		s.notBefore = time.Now().Add(min(wait, maxRetryAfter))
		s.flush()
	}
}

// maxRetryAfter bounds how long a subscriber may have its news kept back.
const maxRetryAfter = time.Hour

// ends reports whether an answer to a NOTIFY ends the subscription (RFC 6665 §4.2.2,
// RFC 5057 §5).
func ends(code int) bool {
	switch code {
	case 404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604:
		return true
	}
	return false
}

// Failed implements transaction.ClientUser.
func (s *subscription) Failed(c *transaction.Client, err error) {
	if s.over || c != s.sending {
		return
	}
	s.sending = nil
	result := "failed"
	if errors.Is(err, transaction.ErrTimeout) {
		result = "timeout"
	}
	s.n.metrics.notifications.WithLabelValues(result).Inc()
	switch {
	case errors.Is(err, transaction.ErrTooMany):
		// That says nothing of the subscriber.
		s.full = true
	case !s.phone.IsZero() && s.registered():
		// RFC 6665 §4.2.2 would have it removed, as one who is gone for good. A phone
		// that sleeps is not; when it is back, it registers first.
		s.asleep = true
		s.forget()
	default:
		s.remove("failed")
	}
}

// registered reports whether the subscriber's phone still is.
func (s *subscription) registered() bool {
	rec, err := s.n.o.Store.Get(context.Background(), s.home)
	if err != nil {
		return true
	}
	b := rec.Find(s.phone)
	return b != nil && !b.Expired(time.Now())
}

// counted is the ClientUser of a NOTIFY whose answer changes nothing.
type counted struct{ m *metrics }

// Response implements transaction.ClientUser.
func (c counted) Response(_ *transaction.Client, m *sipmsg.Message) {
	if m.Status() >= 200 {
		c.m.class(m.Status())
	}
}

// Failed implements transaction.ClientUser.
func (c counted) Failed(*transaction.Client, error) {
	c.m.notifications.WithLabelValues("failed").Inc()
}
