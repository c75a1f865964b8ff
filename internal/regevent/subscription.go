package regevent

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
	"reveille/usrloc"
)

// maxNews is how many contacts may wait to be told before all are told instead, so
// that what waits is bounded. A user has fewer of them.
const maxNews = 256

// gather is how long a change waits for others: one REGISTER may change several
// contacts, and they are told together.
const gather = 50 * time.Millisecond

// A subscription is one subscriber and one user who is watched. It belongs to the
// queue q.
type subscription struct {
	n *Notifier
	q *transaction.Queue

	// aor is who is watched. user is who watches, empty if that is a peer.
	aor, user usrloc.AOR
	right     right
	// name and id are the Event.
	name, id string

	dialog dialog
	// local and remote are the values of From and To in what we send.
	local, remote string
	routes        []sipmsg.NameAddr
	target        sipmsg.URI
	seq           uint32 // of our last request
	remoteSeq     uint32 // of the last SUBSCRIBE
	// flow is that of the last SUBSCRIBE. If phone is not zero the subscriber is the
	// device with that binding of home, wherever it is.
	flow  flow.Flow
	home  usrloc.AOR
	phone usrloc.BindingID

	expires time.Time
	expiry  *transaction.Timer
	unwatch []func()
	// epoch tells changes of an old watch, which the new one knows, from later ones.
	epoch int

	contacts contacts
	// told is the state of the registration that was told last.
	told    string
	version uint32
	// full: the next document has all contacts. urgent: it is not delayed.
	full, urgent bool
	// asleep: the phone did not answer; nothing is sent until it registers.
	asleep  bool
	sending *transaction.Client // is waited for
	dialing bool
	last    time.Time // when the last NOTIFY was sent
	// notBefore is when the subscriber wants to hear of us again after an error.
	notBefore time.Time
	delay     *transaction.Timer
	over      bool
}

// sameSender reports whether a request comes from who began the subscription.
func (s *subscription) sameSender(from Sender, home usrloc.AOR) bool {
	switch {
	case s.right == peer:
		return from.Trusted
	case from.User != "":
		return from.User == s.user
	}
	return !from.Trusted && home == s.user
}

// prolong makes the subscription last for another lifetime, and looks at the
// bindings anew. On error it is as before.
func (s *subscription) prolong(now time.Time, lifetime time.Duration) error {
	until := now.Add(lifetime)
	epoch := s.epoch + 1
	var unwatch []func()
	watch := func(aor usrloc.AOR, changed func(usrloc.Change)) (usrloc.Record, error) {
		if lifetime == 0 {
			return s.n.o.Store.Get(context.Background(), aor)
		}
		in := &inbox{}
		deliver := func() {
			s.q.Post(func() {
				for _, c := range in.take() {
					if !s.over && s.epoch == epoch {
						changed(c)
					}
				}
			})
		}
		rec, cancel, err := s.n.o.Store.Watch(context.Background(), aor, until, func(c usrloc.Change) {
			in.add(c)
			if c.New != nil && c.Cause == usrloc.CauseRegister {
				// The phone is to hear that it is registered before it hears of what follows.
				s.q.Other(c.New.CallID).Post(deliver)
				return
			}
			deliver()
		})
		if err == nil {
			unwatch = append(unwatch, cancel)
		}
		return rec, err
	}
	rec, err := watch(s.aor, s.changed)
	if err == nil && !s.phone.IsZero() && s.home != s.aor {
		_, err = watch(s.home, s.moved)
	}
	if err != nil {
		cancelAll(unwatch)
		return err
	}
	cancelAll(s.unwatch)
	s.unwatch, s.epoch, s.expires = unwatch, epoch, until
	s.contacts.begin(rec, now)
	s.full, s.asleep = true, false
	s.expiry.Stop()
	s.expiry = nil
	if lifetime > 0 {
		s.expiry = s.q.After(lifetime, func() { s.end("timeout", 0) })
	}
	return nil
}

// An inbox keeps changes in their order on the way to a queue. It is safe for
// concurrent use.
type inbox struct {
	mu   sync.Mutex // guards list
	list []usrloc.Change
}

func (b *inbox) add(c usrloc.Change) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list = append(b.list, c)
}

func (b *inbox) take() []usrloc.Change {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.list
	b.list = nil
	return list
}

func cancelAll(cancels []func()) {
	for _, cancel := range cancels {
		cancel()
	}
}

// changed takes a change of the user who is watched.
func (s *subscription) changed(c usrloc.Change) {
	news := s.contacts.change(c, time.Now(), s.n.settings.Load().Refreshes)
	if s.home == s.aor {
		defer s.moved(c)
	}
	if len(s.contacts.order) > maxNews {
		s.forget()
	}
	if !news {
		return
	}
	if _, ok := s.way(); !ok && !s.listens() {
		// A phone that sleeps learns all when it is back.
		s.forget()
	} else if s.delay == nil {
		s.later(gather)
	}
}

// later has what is news by then sent after d, or when that is allowed.
func (s *subscription) later(d time.Duration) {
	s.delay = s.q.After(d, func() {
		s.delay = nil
		s.flush()
	})
}

// moved takes a change of the subscriber's own bindings: the phone may be back.
func (s *subscription) moved(c usrloc.Change) {
	if c.New == nil || c.New.ID != s.phone || c.Cause != usrloc.CauseRegister && c.Cause != usrloc.CauseOtherNode {
		return
	}
	s.asleep = false
	if s.full && s.delay == nil {
		s.later(gather)
	}
}

// answer sends the NOTIFY that a SUBSCRIBE asks for: the last one if it ended the
// subscription.
func (s *subscription) answer(last bool) {
	s.hush()
	if last {
		s.finish(finalState{reason: "timeout", body: true}, "unsubscribed")
		return
	}
	s.urgent = true
	s.flush()
}

// hush gives up the NOTIFY that is waited for: a later one says more.
func (s *subscription) hush() {
	if s.sending != nil {
		s.sending.Abandon()
		s.sending = nil
	}
}

// flush sends what the subscriber does not know yet, if it can be reached and the
// time has come.
func (s *subscription) flush() {
	switch {
	case s.over || s.sending != nil || s.dialing:
		return
	case s.asleep:
		s.forget()
		return
	case !s.full && len(s.contacts.news()) == 0:
		return
	}
	// RFC 3680 §4.10.
	next := s.last.Add(s.n.settings.Load().Interval)
	if next.Before(s.notBefore) {
		next = s.notBefore
	}
	if wait := time.Until(next); wait > 0 && !s.urgent {
		if s.delay == nil {
			s.later(wait)
		}
		return
	}
	s.reach(func(to flow.Flow) { s.notify(to, s.status()) })
}

// forget keeps no news: what is true when the next NOTIFY is sent is told then.
func (s *subscription) forget() {
	s.full = true
	s.contacts.told()
}

// end ends the subscription, for a reason of RFC 6665 §4.1.3, and tells the
// subscriber if it can be reached now.
func (s *subscription) end(reason string, retryAfter time.Duration) {
	s.hush()
	s.finish(finalState{reason: reason, retryAfter: retryAfter}, reason)
}

// leave is end for the time when the server stops: nobody waits for the answer.
func (s *subscription) leave() {
	s.hush()
	s.finish(finalState{reason: "probation", retryAfter: probation(), hasty: true}, "probation")
}

// remove forgets the subscription.
func (s *subscription) remove(why string) {
	if s.over {
		return
	}
	s.over = true
	cancelAll(s.unwatch)
	s.unwatch = nil
	s.expiry.Stop()
	s.delay.Stop()
	delete(s.n.lane(s.q).subscriptions, s.dialog)
	s.n.exit(s.user)
	s.n.metrics.ended.WithLabelValues(why).Inc()
	s.n.log.LogAttrs(context.Background(), slog.LevelDebug, "subscription ended",
		slog.String("aor", string(s.aor)), slog.String("call_id", s.dialog.callID), slog.String("reason", why))
}
