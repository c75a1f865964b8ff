package mailbox

import (
	"context"
	"log/slog"
	"time"

	"reveille/internal/event"
	"reveille/usrloc"
)

// This file is the one goroutine that writes the journal. What came while it wrote is
// one transaction.

const (
	// sweepEvery is how often messages are looked for that are of no more use.
	sweepEvery = time.Minute
	// watchFor is how long a watch of a user's registrations lasts. It is renewed in
	// time, and bounds what a lost one costs.
	watchFor = 6 * time.Hour
	// maxFailures is how often a phone may say of a message that it cannot take it now.
	// Without it one at which an app breaks down would hold up all behind it.
	maxFailures = 10
)

// An order is one thing for the clerk to do: add a message, remove one that was
// withdrawn, or see to one that was carried.
type order struct {
	add  *Message
	kept func(Ticket, error)

	place     place
	withdrawn bool
	outcome   Outcome
}

func (b *Box) run() {
	defer close(b.gone)
	defer func() {
		if err := b.journal.close(); err != nil {
			b.log.Error("close the file of messages that wait", "err", err)
		}
	}()
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	b.sweep(time.Now())
	for {
		b.work()
		select {
		case <-b.wake:
		case now := <-sweep.C:
			b.sweep(now)
		case <-b.quit:
			b.work()
			return
		}
	}
}

// work does what there is to do.
func (b *Box) work() {
	for {
		b.mu.Lock()
		orders := b.orders
		b.orders = nil
		b.mu.Unlock()
		b.handle(orders)
		if !b.carry() && len(orders) == 0 {
			return
		}
	}
}

// handle carries out orders.
func (b *Box) handle(orders []order) {
	var coming []order
	for _, o := range orders {
		switch {
		case o.add != nil:
			coming = append(coming, o)
		case o.withdrawn:
			if _, ok := b.remove(o.place); ok {
				b.metrics.messages.WithLabelValues("withdrawn").Inc()
			}
		default:
			b.carried(o.place, o.outcome)
		}
	}
	b.write(coming)
}

// write puts messages on disk, and takes from it what is owed.
func (b *Box) write(coming []order) {
	if len(coming) == 0 && len(b.owed) == 0 {
		return
	}
	add := make([]*Message, len(coming))
	for i := range coming {
		add[i] = coming[i].add
	}
	places, err := b.journal.write(b.owed, add)
	b.wrote(err)
	if err == nil {
		b.owed = nil
	}
	// What cannot be removed comes once more after a restart, at worst.
	for i, o := range coming {
		m := o.add
		e := entry{kept: m.Kept, until: m.Until, size: len(m.Request)}
		if err == nil {
			e.key = places[i].key
		}
		b.mu.Lock()
		b.book.settle(m.AOR, e, err == nil)
		waits := b.book.users[m.AOR].waits()
		b.mu.Unlock()
		if err != nil {
			b.metrics.declined(err)
			b.drop(m.AOR)
			o.kept(Ticket{}, err)
			continue
		}
		b.watch(m.AOR, time.Now())
		b.metrics.messages.WithLabelValues("kept").Inc()
		b.tell("kept", m, 0, 0, waits)
		o.kept(Ticket{places[i]}, nil)
	}
}

// wrote tells, once, that the journal cannot be written, and that it can again.
func (b *Box) wrote(err error) {
	switch {
	case err != nil && !b.full:
		b.log.Error("messages for phones that sleep cannot be kept, and are refused", "err", err)
	case err == nil && b.full:
		b.log.Info("messages for phones that sleep are kept again")
	}
	b.full = err != nil
}

// carry has messages carried, as many as may be. It reports whether there was one that
// could not even be read.
func (b *Box) carry() (again bool) {
	for {
		b.mu.Lock()
		c := b.carrier
		if c == nil {
			b.mu.Unlock()
			return again
		}
		aor, u, ok := b.book.next(b.opts.Deliveries)
		if !ok {
			b.mu.Unlock()
			return again
		}
		e := u.entries[0]
		b.mu.Unlock()
		p := place{aor, e.key}
		if !e.until.After(time.Now()) {
			b.expire(aor, time.Now())
			b.over(aor)
			continue
		}
		m, err := b.journal.read(p)
		if err != nil {
			b.log.Error("read a message that waits", slog.String("aor", string(aor)), slog.Any("err", err))
			b.remove(p)
			b.over(aor)
			again = true
			continue
		}
		c.Carry(m, func(o Outcome) { b.give(order{place: p, outcome: o}) })
	}
}

// over ends a turn of a user, and begins the next if messages are left.
func (b *Box) over(aor usrloc.AOR) {
	b.mu.Lock()
	b.book.left(aor)
	b.book.call(aor)
	b.mu.Unlock()
	b.drop(aor)
}

// carried sees to a message that was carried.
func (b *Box) carried(p place, o Outcome) {
	b.metrics.attempts.WithLabelValues(o.Result.String()).Inc()
	now := time.Now()
	if o.Result == Later {
		b.mu.Lock()
		u := b.book.users[p.aor]
		b.book.left(p.aor)
		if i := u.find(p.key); i >= 0 && o.Status/100 == 5 {
			u.entries[i].failures++
			if u.entries[i].failures >= maxFailures {
				o.Result = Refused
			}
		}
		if u.seen > max(o.Version, u.began) || o.Result == Refused {
			// A phone has registered since, or the next message may fare better.
			b.book.call(p.aor)
		}
		b.mu.Unlock()
	}
	if o.Result != Later {
		b.finish(p, o, now)
	}
	b.drop(p.aor)
}

// finish takes out a message that was delivered or refused.
func (b *Box) finish(p place, o Outcome, now time.Time) {
	m, err := b.journal.read(p)
	e, ok := b.remove(p)
	b.mu.Lock()
	if u := b.book.users[p.aor]; u.state == leaving {
		b.book.left(p.aor)
		b.book.call(p.aor)
	}
	waits := b.book.users[p.aor].waits()
	b.mu.Unlock()
	if !ok || err != nil {
		// It was withdrawn meanwhile, or has expired.
		return
	}
	b.metrics.messages.WithLabelValues(o.Result.String()).Inc()
	b.tell(o.Result.String(), &m, o.Status, now.Sub(e.kept), waits)
}

// remove takes a message out of the book, and soon from the disk.
func (b *Box) remove(p place) (e entry, ok bool) {
	b.mu.Lock()
	e, ok = b.book.remove(p.aor, p.key)
	b.mu.Unlock()
	if ok {
		b.owed = append(b.owed, p)
	}
	return e, ok
}

// drop forgets a user for whom nothing waits.
func (b *Box) drop(aor usrloc.AOR) {
	b.mu.Lock()
	unwatch := b.book.forget(aor)
	b.mu.Unlock()
	if unwatch != nil {
		unwatch()
	}
}

// expire takes out what is of no more use, of a user.
func (b *Box) expire(aor usrloc.AOR, now time.Time) {
	b.mu.Lock()
	gone := b.book.expire(aor, now)
	waits := b.book.users[aor].waits()
	b.mu.Unlock()
	for _, e := range gone {
		p := place{aor, e.key}
		m, err := b.journal.read(p)
		if err != nil {
			m = Message{AOR: aor, Kept: e.kept, Until: e.until}
		}
		b.owed = append(b.owed, p)
		b.metrics.messages.WithLabelValues("expired").Inc()
		b.tell("expired", &m, 0, now.Sub(e.kept), waits)
	}
}

// sweep takes out what is of no more use, and sees to the watches.
func (b *Box) sweep(now time.Time) {
	b.mu.Lock()
	all := make([]usrloc.AOR, 0, len(b.book.users))
	for aor := range b.book.users {
		all = append(all, aor)
	}
	b.mu.Unlock()
	for _, aor := range all {
		b.expire(aor, now)
		if b.watch(aor, now) {
			// Registrations may have been missed.
			b.mu.Lock()
			b.book.call(aor)
			b.mu.Unlock()
		}
		b.drop(aor)
	}
	b.write(nil)
}

// watch follows the registrations of a user for whom something waits, unless it does
// already for a while to come. It reports whether nobody followed them until now.
func (b *Box) watch(aor usrloc.AOR, now time.Time) (anew bool) {
	b.mu.Lock()
	u := b.book.users[aor]
	old := u.unwatch
	if !u.watched.After(now) {
		anew = true // It has ended by itself, or there was none.
	}
	enough := u.waits() == 0 || u.watched.Sub(now) > watchFor/2
	b.mu.Unlock()
	if enough {
		return false
	}
	until := now.Add(watchFor)
	_, cancel, err := b.opts.Store.Watch(context.Background(), aor, until, b.changed)
	if err != nil {
		// The next sweep tries again.
		b.metrics.unwatched.Inc()
		b.log.Debug("watch for registrations of a user for whom messages wait", slog.String("aor", string(aor)), slog.Any("err", err))
		return false
	}
	b.mu.Lock()
	u.unwatch, u.watched = cancel, until
	b.mu.Unlock()
	if old != nil {
		old()
	}
	return anew
}

// changed is told of the registrations of users for whom something waits.
func (b *Box) changed(c usrloc.Change) {
	if c.New == nil || c.Cause != usrloc.CauseRegister && c.Cause != usrloc.CauseOtherNode {
		return
	}
	b.mu.Lock()
	carrier := b.carrier
	b.mu.Unlock()
	if carrier != nil {
		// A phone should hear that it is registered before it hears what waited for that.
		carrier.Behind(c.New.CallID, func() { b.registered(c.AOR, c.Version) })
	}
}

// tell emits an event.
func (b *Box) tell(step string, m *Message, status int, waited time.Duration, waits int) {
	b.opts.Sink.Emit(event.Message{
		Step: step, CallID: event.Text(m.CallID), From: event.Text(m.From), To: event.Text(m.To), AOR: string(m.AOR), Size: len(m.Request),
		Kept: m.Kept, Until: m.Until, Status: status, Waited: waited, StillWaiting: waits,
	})
}
