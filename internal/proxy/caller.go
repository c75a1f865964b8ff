package proxy

import (
	"context"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// registeredAt reports whether user has a device at the address that from comes
// from.
func (p *Proxy) registeredAt(user usrloc.AOR, from flow.Flow) (bool, error) {
	rec, err := p.opts().Store.Get(context.Background(), user)
	if err != nil {
		return false, err
	}
	now := time.Now()
	for i := range rec.Bindings {
		b := &rec.Bindings[i]
		if !b.Expired(now) && (b.Flow == from || b.Flow.Remote.Addr().Unmap() == from.Remote.Addr().Unmap()) {
			return true, nil
		}
	}
	return false, nil
}

// registeredCaller refuses a request of a sender who is not registered at the
// address it comes from, if that is asked for. Nil: it may pass.
func (p *Proxy) registeredCaller(m *sipmsg.Message, from flow.Flow, user usrloc.AOR, trusted bool) *sipmsg.Reply {
	if !p.opts().RegisteredCallers || trusted {
		return nil
	}
	if user == "" {
		user, _ = p.aorOf(m.From().URI)
	}
	switch ok, err := p.registeredAt(user, from); {
	case err != nil:
		p.opts().Logger.Warn("look up a caller", "aor", string(user), "err", err)
		return &sipmsg.Reply{Code: 503, Headers: p.retryAfter()}
	case !ok:
		return &sipmsg.Reply{Code: 403, Reason: "Register First"}
	}
	return nil
}

// foreignGRUU reports whether the Contact of a request is a GRUU of another user
// than its authenticated sender: requests in the dialog would reach that user's
// phone. RFC 5627 §6.2 recommends 403.
func (p *Proxy) foreignGRUU(m *sipmsg.Message, a Admission) bool {
	contacts := m.Contacts()
	if a.User == "" || len(contacts) != 1 {
		return false
	}
	if !p.namesGRUU(contacts[0].URI) {
		return false
	}
	g := p.gruuOf(contacts[0].URI)
	return g.aor != "" && g.aor != a.User && (a.May == nil || !a.May(g.aor))
}
