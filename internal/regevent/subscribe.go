package regevent

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
	"reveille/usrloc"
)

// Package is the name of the event package (RFC 3680 §4.1).
const Package = "reg"

// A Sender is who sent a SUBSCRIBE, as far as was found out.
type Sender struct {
	// Refusal is the answer if nothing is to be done for the sender: a challenge.
	Refusal *sipmsg.Reply
	// User is who authenticated, empty if nobody did. May reports whether that user
	// may act under another AOR; nil: under none.
	User usrloc.AOR
	May  func(usrloc.AOR) bool
	// Trusted: the sender is a configured peer.
	Trusted bool
}

// A right is why somebody may watch a user.
type right uint8

const (
	none    right = iota
	self          // it is the user
	watcher       // the operator lists the watcher
	peer          // a trusted peer
)

// Takes reports whether a SUBSCRIBE is for the Notifier: to the registration of a
// user of ours, or in a dialog that it began. All else is for a proxy.
func (n *Notifier) Takes(m *sipmsg.Message) bool {
	s := n.settings.Load()
	if m.Method() != "SUBSCRIBE" || !s.Enabled {
		return false
	}
	if name, _ := event(m); name != Package {
		return false
	}
	for _, r := range m.Routes() {
		if !n.ours(s, r.URI) {
			return false
		}
	}
	u := m.RequestURI()
	if m.ToTag() != "" {
		// Our Contact is our address.
		return u.IsSIP() && u.User == "" && n.ours(s, u)
	}
	_, device := u.Param("gr")
	return u.IsSIP() && u.User != "" && s.Hosts.Serves(u.Host) && !device
}

func (n *Notifier) ours(s *Settings, u sipmsg.URI) bool {
	return s.Hosts.Serves(u.Host) || n.o.Flows.IsOwn(u.Host, u.PortNum(), 0)
}

// event reads the Event header field: the package, and its id as it was written
// (RFC 6665 §4.5.2), "" if there is none. name is empty unless there is exactly one.
func event(m *sipmsg.Message) (name, id string) {
	value, found := "", 0
	for v := range m.Values(sipmsg.HdrEvent) {
		value = v
		found++
	}
	if found != 1 {
		return "", ""
	}
	name, params, _ := strings.Cut(value, ";")
	for p, v := range sipmsg.Params(";" + params).All() {
		if strings.EqualFold(p, "id") {
			id = v
		}
	}
	return strings.TrimSpace(name), id
}

// Serve answers a SUBSCRIBE that Takes took, on its queue.
func (n *Notifier) Serve(s *transaction.Server, from Sender) {
	if s.Done() {
		return
	}
	if from.Refusal != nil {
		s.Refuse(*from.Refusal)
		return
	}
	m := s.Message()
	if required := slices.Collect(m.Tokens(sipmsg.HdrRequire)); len(required) > 0 {
		n.refuse(s, sipmsg.Reply{Code: 420, Headers: []sipmsg.HeaderField{{Name: "Unsupported", Value: strings.Join(required, ", ")}}})
		return
	}
	if c := m.Contacts(); len(c) != 1 || !c[0].URI.IsSIP() {
		n.refuse(s, sipmsg.Reply{Code: 400, Reason: "One Contact Needed"})
		return
	}
	if m.ToTag() != "" {
		n.refresh(s, from)
		return
	}
	n.subscribe(s, from)
}

// subscribe begins a subscription.
func (n *Notifier) subscribe(s *transaction.Server, from Sender) {
	m, set := s.Message(), n.settings.Load()
	if !set.Enabled {
		// It was reloaded while the sender was looked up.
		n.refuse(s, sipmsg.Reply{Code: 489})
		return
	}
	aor, _, err := set.Hosts.AOR(m.RequestURI())
	if err != nil {
		n.refuse(s, sipmsg.Reply{Code: 404})
		return
	}
	sub := &subscription{n: n, q: s.Queue(), aor: aor, user: from.User}
	sub.home, sub.phone = n.o.Ways.Phone(m, from.User, s.Flow())
	if sub.right = set.rightOf(aor, from, sub.home); sub.right == none {
		// RFC 6665 §6.2: the answer is the same whether there is such a user or not.
		n.refuse(s, sipmsg.Reply{Code: 403})
		return
	}
	if sub.right == self && sub.user == "" {
		sub.user = aor
	}
	if !set.Known(aor) && sub.right != self {
		n.refuse(s, sipmsg.Reply{Code: 404})
		return
	}
	lifetime, refusal := set.lifetime(m)
	if refusal == nil && !accepts(m) {
		refusal = &sipmsg.Reply{Code: 406, Headers: []sipmsg.HeaderField{{Name: "Accept", Value: contentType}}}
	}
	if refusal != nil {
		n.refuse(s, *refusal)
		return
	}
	if n.stopping.Load() || !n.enter(sub.user) {
		n.metrics.requests.WithLabelValues("full").Inc()
		s.Reply(sipmsg.Reply{Code: 480, Reason: "Too Many Subscriptions", Headers: set.retryAfter()})
		return
	}
	sub.dialog = dialog{callID: m.CallID(), local: rand.Text()[:10], remote: m.FromTag()}
	sub.name, sub.id = event(m)
	sub.local, sub.remote = m.To().String()+";tag="+sub.dialog.local, m.From().String()
	// RFC 3261 §12.1.1: in this order.
	sub.routes = slices.Clone(m.RecordRoutes())
	n.lane(sub.q).subscriptions[sub.dialog] = sub
	what := "created"
	if lifetime == 0 {
		what = "fetched"
	}
	if n.accept(s, sub, lifetime, what) && lifetime > 0 {
		n.log.LogAttrs(context.Background(), slog.LevelInfo, "subscription",
			slog.String("aor", string(aor)), slog.String("user", string(sub.user)), slog.String("call_id", sub.dialog.callID))
	}
}

// refresh prolongs a subscription or ends it (RFC 6665 §4.2.1.4).
func (n *Notifier) refresh(s *transaction.Server, from Sender) {
	m, set := s.Message(), n.settings.Load()
	sub := n.lane(s.Queue()).subscriptions[dialog{m.CallID(), m.ToTag(), m.FromTag()}]
	if _, id := event(m); sub == nil || id != sub.id {
		// Also after a restart of ours: the subscriber subscribes anew.
		n.refuse(s, sipmsg.Reply{Code: 481})
		return
	}
	home, phone := n.o.Ways.Phone(m, from.User, s.Flow())
	if !sub.sameSender(from, home) {
		// Whoever knows the dialog is not therefore who began it.
		n.refuse(s, sipmsg.Reply{Code: 403})
		return
	}
	if m.CSeq().Seq <= sub.remoteSeq {
		// RFC 3261 §12.2.2.
		n.refuse(s, sipmsg.Reply{Code: 500, Reason: "CSeq Out Of Order"})
		return
	}
	lifetime, refusal := set.lifetime(m)
	if refusal != nil {
		n.refuse(s, *refusal)
		return
	}
	if !phone.IsZero() {
		sub.home, sub.phone = home, phone
	}
	what := "refreshed"
	if lifetime == 0 {
		what = "ended"
	}
	n.accept(s, sub, lifetime, what)
}

// accept answers 200 and sends the NOTIFY that belongs to it. It reports false if
// the location service cannot say what is registered.
func (n *Notifier) accept(s *transaction.Server, sub *subscription, lifetime time.Duration, what string) bool {
	m := s.Message()
	if err := sub.prolong(time.Now(), lifetime); err != nil {
		n.log.LogAttrs(context.Background(), slog.LevelWarn, "subscribe", slog.String("aor", string(sub.aor)), slog.Any("err", err))
		if what == "created" || what == "fetched" {
			sub.remove("failed")
		}
		// It ends neither dialog nor subscription (RFC 5057 §5.1).
		n.refuse(s, sipmsg.Reply{Code: 500, Headers: n.settings.Load().retryAfter()})
		return false
	}
	sub.remoteSeq, sub.flow = m.CSeq().Seq, s.Flow()
	sub.target = m.Contacts()[0].URI
	n.metrics.requests.WithLabelValues(what).Inc()
	s.Reply(sipmsg.Reply{Code: 200, ToTag: sub.dialog.local, Headers: []sipmsg.HeaderField{
		{Name: "Contact", Value: "<" + n.o.Ways.Contact(s.Flow()) + ">"},
		{Name: "Expires", Value: strconv.Itoa(int(lifetime / time.Second))},
		{Name: "Allow-Events", Value: Package},
	}})
	// RFC 6665 §4.2.2: at once, whatever was sent lately.
	sub.answer(lifetime == 0)
	return true
}

func (n *Notifier) refuse(s *transaction.Server, r sipmsg.Reply) {
	n.metrics.requests.WithLabelValues("refused").Inc()
	s.Refuse(r)
}

// rightOf says why a sender, whose phone is registered for home, may watch aor.
func (s *Settings) rightOf(aor usrloc.AOR, from Sender, home usrloc.AOR) right {
	switch {
	case from.Trusted:
		if s.Trusted {
			return peer
		}
	case from.User == aor && aor != "", from.May != nil && from.User != "" && from.May(aor):
		// RFC 3680 §4.6: users may watch themselves.
		return self
	case from.User != "":
		if s.watches(from.User, watcher) {
			return watcher
		}
	case home == aor:
		// Nobody authenticates here, but it came on the very flow of the user's phone.
		return self
	}
	return none
}

// watches reports whether a right other than to watch oneself still stands.
func (s *Settings) watches(user usrloc.AOR, r right) bool {
	return r == peer && s.Trusted || r == watcher && slices.Contains(s.Watchers, user)
}

// lifetime is how long a subscription lasts from now on; 0 ends it.
func (s *Settings) lifetime(m *sipmsg.Message) (time.Duration, *sipmsg.Reply) {
	value, has := m.Expires()
	if !has {
		// RFC 3680 §4.4.
		return s.Default, nil
	}
	wish, ok := sipmsg.ParseDeltaSeconds(strings.TrimSpace(value))
	if !ok {
		return 0, &sipmsg.Reply{Code: 400, Reason: "Malformed Expires"}
	}
	lifetime := time.Duration(wish) * time.Second
	if 0 < lifetime && lifetime < s.Min {
		// RFC 6665 §4.2.1.1: the Min is not more than an hour.
		return 0, &sipmsg.Reply{Code: 423, Headers: []sipmsg.HeaderField{{Name: "Min-Expires", Value: strconv.Itoa(int(s.Min / time.Second))}}}
	}
	return min(lifetime, s.Max), nil
}

func (s *Settings) retryAfter() []sipmsg.HeaderField {
	return []sipmsg.HeaderField{{Name: "Retry-After", Value: strconv.Itoa(max(1, int(s.RetryAfter/time.Second)))}}
}

// accepts reports whether the subscriber can read our documents. RFC 3680 §4.5: it
// can if it says nothing.
func accepts(m *sipmsg.Message) bool {
	if !m.Has(sipmsg.HdrAccept) {
		return true
	}
	for v := range m.Values(sipmsg.HdrAccept) {
		kind, _, _ := strings.Cut(v, ";")
		switch kind = strings.TrimSpace(kind); {
		case strings.EqualFold(kind, contentType), strings.EqualFold(kind, "application/*"), kind == "*/*":
			return true
		}
	}
	return false
}
