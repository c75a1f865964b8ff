package regevent

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/flow"
	"reveille/internal/domain"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// Ways says how messages get to those who subscribed; *proxy.Proxy implements it.
type Ways interface {
	// Phone returns the registered phone that sent m on a flow, and its user. user is
	// who sent it, empty if that is not known; then only the flow counts on which the
	// phone of the user in From registered. The zero BindingID: there is none.
	Phone(m *sipmsg.Message, user usrloc.AOR, from flow.Flow) (usrloc.AOR, usrloc.BindingID)
	// Way returns the flow to b's device. ok is false if it sleeps or there is none.
	Way(b *usrloc.Binding) (to flow.Flow, uri string, ok bool)
	// Connect finds or makes a flow to a URI (RFC 3263). done runs once, on any
	// goroutine.
	Connect(u sipmsg.URI, done func(flow.Flow, error))
	// Contact is our URI for the peer of a flow, Via our Via value.
	Contact(f flow.Flow) string
	Via(f flow.Flow, branch string) string
}

// Flows knows which flows live; *transport.Transport implements it.
type Flows interface {
	// Alive reports whether the peer was heard of lately, Open whether a connection
	// exists; that is true for UDP.
	Alive(f flow.Flow, now time.Time) bool
	Open(f flow.Flow) bool
	// IsOwn reports whether host and port are an address of ours.
	IsOwn(host string, port uint16, t flow.Transport) bool
}

// Store is the part of usrloc.Store that is read.
type Store interface {
	Get(ctx context.Context, aor usrloc.AOR) (usrloc.Record, error)
	Watch(ctx context.Context, aor usrloc.AOR, until time.Time, changed func(usrloc.Change)) (usrloc.Record, func(), error)
}

// Settings are what a reload may change.
type Settings struct {
	// Enabled: new subscriptions are taken. If not, those there are end.
	Enabled bool
	// Hosts are the domains of the users.
	Hosts *domain.Set
	// Known reports whether there is such a user.
	Known func(usrloc.AOR) bool
	// Watchers are users who may watch everybody; Trusted: trusted peers may.
	Watchers []usrloc.AOR
	Trusted  bool
	// Default, Min and Max bound the lifetime of a subscription. Min is at most an
	// hour.
	Default, Min, Max time.Duration
	// Interval is the least time between two notifications of one subscription, but
	// for those that a SUBSCRIBE asks for.
	Interval time.Duration
	// Refreshes: a refresh that changes nothing but times is told.
	Refreshes bool
	// MaxSubscriptions bounds all, MaxPerUser those that one user has.
	MaxSubscriptions, MaxPerUser int
	// RetryAfter is told to whom there is no room for.
	RetryAfter time.Duration
	// GRUU makes temporary GRUUs; nil: phones have no GRUUs.
	GRUU GRUU
	// PushParams are parameters of Contacts that are concealed besides those of RFC
	// 8599.
	PushParams []string
}

// Options are what a Notifier needs. Store, Ways and Flows are required.
type Options struct {
	Store    Store
	Ways     Ways
	Flows    Flows
	Settings Settings
	Logger   *slog.Logger
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer
}

func (s *Settings) validate() error {
	switch {
	case s.Hosts == nil || s.Known == nil:
		return errors.New("regevent: Hosts and Known are required")
	case s.Min <= 0 || s.Min > time.Hour || s.Default < s.Min || s.Max < s.Default:
		// RFC 6665 §4.2.1.1: nothing of an hour or more is too brief.
		return errors.New("regevent: 0 < Min <= Default <= Max and Min <= 1h do not hold")
	case s.MaxSubscriptions <= 0 || s.MaxPerUser <= 0:
		return errors.New("regevent: MaxSubscriptions and MaxPerUser are more than 0")
	}
	return nil
}
