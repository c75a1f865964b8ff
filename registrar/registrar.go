package registrar

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/usrloc"
)

// Options are what a Registrar needs.
type Options struct {
	// Store keeps the bindings. Required.
	Store usrloc.Store
	// Policy is what may be decided; SetPolicy changes it.
	Policy Policy
	// Tokens knows who else has a push token: an authenticated user who registers
	// with it takes it from them, but for addresses that the user may register, too.
	// Nil: a token may have several users.
	Tokens usrloc.TokenIndex
	// StoreTimeout bounds the wait for the Store; 0 means 5 s.
	StoreTimeout time.Duration
	// Hold is called when a binding that no push wakes was registered or refreshed
	// on a connection: without that nobody reaches the phone, so it should live as
	// long as the binding. It is called with the zero time when the binding goes by
	// that connection no more. It must not block; nil: nobody is told.
	Hold func(f flow.Flow, binding usrloc.BindingID, until time.Time)
	// Sink takes the events; nil drops them.
	Sink event.Sink
	// Logger takes what is no event; nil drops it.
	Logger *slog.Logger
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
}

// A Registrar answers REGISTER requests. It is safe for concurrent use.
type Registrar struct {
	store   usrloc.Store
	tokens  usrloc.TokenIndex // nil: nobody asks
	policy  atomic.Pointer[rules]
	timeout time.Duration
	hold    func(flow.Flow, usrloc.BindingID, time.Time)
	sink    event.Sink
	log     *slog.Logger
	metrics *metrics
	random  io.Reader
	lines   sync.Pool // of *[]byte, for AppendOK
	// Samples of the events of accepted REGISTERs; see event.Heard. All but that
	// of a refresh are as loud as updated.
	refreshed, updated event.Event
}

// rules are a Policy with what is worked out once.
type rules struct {
	Policy
	// users and others are the policy under each Rule.
	users  map[usrloc.AOR]*Policy
	others []ruling
	// since is when they came into force, in Unix milliseconds: what was
	// accepted at this time or later was accepted by them. caps holds what they
	// announce for the push services seen.
	since atomic.Int64
	caps  capCache
}

// New returns a Registrar. The error names everything that is wrong with the
// policy.
func New(o Options) (*Registrar, error) {
	if o.Store == nil {
		return nil, errors.New("registrar: no store")
	}
	r := &Registrar{
		store: o.Store, tokens: o.Tokens, timeout: o.StoreTimeout, hold: o.Hold, sink: o.Sink, log: o.Logger,
		metrics: newMetrics(o.Registerer), random: rand.Reader,
		refreshed: event.Registration{Action: actionRefreshed}, updated: event.Registration{Action: usrloc.Updated.String()},
	}
	r.lines.New = func() any { return new([]byte) }
	if r.hold == nil {
		r.hold = func(flow.Flow, usrloc.BindingID, time.Time) {}
	}
	if r.timeout <= 0 {
		r.timeout = 5 * time.Second
	}
	if r.sink == nil {
		r.sink = event.Discard{}
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if err := r.SetPolicy(o.Policy); err != nil {
		return nil, fmt.Errorf("new registrar: %w", err)
	}
	return r, nil
}

// SetPolicy replaces the policy for the REGISTERs to come. A policy with errors
// changes nothing.
func (r *Registrar) SetPolicy(p Policy) error {
	if err := p.Validate(); err != nil {
		return err
	}
	var err error
	if p.domains, err = p.domainSet(); err != nil {
		return err
	}
	if p.mapper, err = newMapper(p.Push.Mappings); err != nil {
		return err
	}
	next := &rules{Policy: p}
	next.users, next.others = rulings(&next.Policy)
	next.since.Store(math.MaxInt64)
	r.policy.Store(next)
	// Whoever read the clock before this may have read the policy before the
	// last one was replaced.
	next.since.Store(time.Now().UnixMilli() + 1)
	return nil
}

// Policy returns the policy now in force, for AppendOK. It must not be changed.
func (r *Registrar) Policy() *Policy { return &r.policy.Load().Policy }
