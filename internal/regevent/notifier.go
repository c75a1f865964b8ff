package regevent

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"reveille/internal/transaction"
	"reveille/usrloc"
)

// A Notifier serves SUBSCRIBEs and sends NOTIFYs. Its exported methods are safe for
// concurrent use unless they say otherwise.
type Notifier struct {
	o        Options
	settings atomic.Pointer[Settings] // replaced whole by Reload
	metrics  *metrics
	log      *slog.Logger
	stopping atomic.Bool
	// lanes holds one *lane for each queue; only that queue uses it.
	lanes sync.Map

	mu    sync.Mutex // guards the rest
	total int
	users map[usrloc.AOR]int // subscriptions by who has them
}

// A lane holds the subscriptions of one queue. It needs no lock.
type lane struct {
	subscriptions map[dialog]*subscription
}

// A dialog tells a subscription: there is one in each dialog.
type dialog struct{ callID, local, remote string }

// New returns a Notifier, or an error that names what is missing.
func New(o Options) (*Notifier, error) {
	if o.Store == nil || o.Ways == nil || o.Flows == nil {
		return nil, errors.New("regevent: Store, Ways and Flows are required")
	}
	if err := o.Settings.validate(); err != nil {
		return nil, err
	}
	n := &Notifier{o: o, log: o.Logger, users: map[usrloc.AOR]int{}}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	n.settings.Store(&o.Settings)
	n.metrics = newMetrics(o.Registerer, n)
	return n, nil
}

// Reload replaces the Settings. Subscriptions that are not allowed any more end. On
// error nothing has changed.
func (n *Notifier) Reload(s Settings) error {
	if err := s.validate(); err != nil {
		return err
	}
	n.settings.Store(&s)
	n.each(func(l *lane) {
		for _, sub := range l.subscriptions {
			if !s.Enabled || sub.right != self && !s.watches(sub.user, sub.right) {
				// RFC 6665 §4.1.3: the policy has changed, and asking again does not help.
				sub.end("rejected", 0)
			}
		}
	})
	return nil
}

// Stop takes no subscription any more and tells all subscribers to come back later:
// when it returns the last NOTIFYs are on their way, or ctx has ended.
func (n *Notifier) Stop(ctx context.Context) {
	n.stopping.Store(true)
	left := n.each(func(l *lane) {
		for _, sub := range l.subscriptions {
			sub.leave()
		}
	})
	for _, done := range left {
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
	}
}

// each runs fn for every lane, on its queue; the channels are closed when it has.
func (n *Notifier) each(fn func(*lane)) (ran []chan struct{}) {
	n.lanes.Range(func(q, l any) bool {
		done := make(chan struct{})
		ran = append(ran, done)
		q.(*transaction.Queue).Post(func() {
			defer close(done)
			fn(l.(*lane))
		})
		return true
	})
	return ran
}

func (n *Notifier) lane(q *transaction.Queue) *lane {
	if l, ok := n.lanes.Load(q); ok {
		return l.(*lane)
	}
	l, _ := n.lanes.LoadOrStore(q, &lane{subscriptions: map[dialog]*subscription{}})
	return l.(*lane)
}

// Subscriptions returns how many there are.
func (n *Notifier) Subscriptions() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.total
}

// enter counts a subscription of a user; peers are not users. It reports false if
// there is no room.
func (n *Notifier) enter(user usrloc.AOR) bool {
	s := n.settings.Load()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.total >= s.MaxSubscriptions || user != "" && n.users[user] >= s.MaxPerUser {
		return false
	}
	n.total++
	if user != "" {
		n.users[user]++
	}
	return true
}

func (n *Notifier) exit(user usrloc.AOR) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.total--
	if user == "" {
		return
	}
	if n.users[user]--; n.users[user] == 0 {
		delete(n.users, user)
	}
}
