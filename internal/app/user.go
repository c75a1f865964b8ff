package app

import (
	"time"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
	"reveille/registrar"
)

// retryAfter is what phones are told in seconds when too many requests wait to be
// authenticated.
const retryAfter = "10"

// user is the transaction user of the server: it tells what is for the registrar
// from what is for the proxy, which know nothing of each other.
type user struct {
	app     *App
	metrics *metrics
}

// Request implements transaction.User.
func (u *user) Request(s *transaction.Server) {
	m := s.Message()
	if !u.app.gate.permits(s.Flow()) {
		r := forbidden()
		u.app.proxy.Refused(m, s.Flow(), r, event.RuleSource, "")
		s.Refuse(*r)
		return
	}
	if u.subscribes(s) {
		return
	}
	if m.Method() != "REGISTER" || !u.forUs(s) {
		// RFC 3261 §10.3 step 1: a REGISTER for another domain is relayed, if
		// its sender may.
		u.app.proxy.Request(s)
		return
	}
	asked := transaction.Await(s,
		func(answer func(permit)) { u.app.gate.register(m, s.Flow(), answer) },
		func(p permit) {
			if p.refusal != nil {
				s.Refuse(*p.refusal)
				return
			}
			if aor, err := u.app.gate.aorOf(m.To().URI); err == nil && !u.app.registers(s.Flow(), aor, time.Now()) {
				s.Refuse(tooFast(m))
				return
			}
			u.app.registrar.ServeUser(s, p.user)
		})
	if !asked {
		s.Refuse(sipmsg.Reply{Code: 503, Headers: []sipmsg.HeaderField{{Name: "Retry-After", Value: retryAfter}}})
	}
}

// forUs reports whether a REGISTER is for a domain of ours, or for our address.
func (u *user) forUs(s *transaction.Server) bool {
	uri := s.Message().RequestURI()
	return u.app.gate.Served(&uri) && (len(s.Message().Routes()) == 0 || u.ownRoutes(s))
}

// ownRoutes reports whether every Route value is ours: phones with us as their
// outbound proxy put us there.
func (u *user) ownRoutes(s *transaction.Server) bool {
	for _, r := range s.Message().Routes() {
		if !u.app.gate.served(r.URI.Host) && !u.app.transport.IsOwn(r.URI.Host, r.URI.PortNum(), 0) {
			return false
		}
	}
	return true
}

// Ack implements transaction.User.
func (u *user) Ack(q *transaction.Queue, f flow.Flow, m *sipmsg.Message) {
	if u.app.gate.permits(f) {
		u.app.proxy.Ack(q, f, m)
	}
}

// Cancel implements transaction.User.
func (u *user) Cancel(invite *transaction.Server, cancel *sipmsg.Message) {
	u.app.proxy.Cancel(invite, cancel)
}

// Stray implements transaction.User: RFC 6026 §8.9 has such responses dropped.
func (u *user) Stray(flow.Flow, *sipmsg.Message) {
	u.metrics.discarded.WithLabelValues("stray_response").Inc()
}

// A permit is the Gate's answer to a REGISTER: a refusal, or what its sender may.
type permit struct {
	refusal *sipmsg.Reply
	user    registrar.User
}
