package resolve

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"reveille/flow"
)

// Options configure a Resolver. Exchanger is required.
type Options struct {
	Exchanger Exchanger
	// Supports reports whether a transport can be sent by; nil: all can. It is asked
	// from many goroutines.
	Supports func(flow.Transport) bool
	// Timeout ends a look-up before its next question, and bounds each; default 5 s.
	Timeout time.Duration
	// MaxPending bounds the look-ups that wait for servers; default 1000.
	MaxPending int
	// MaxEntries bounds the answers that are kept; default 10,000.
	MaxEntries int
	// Random returns a number in [0, n); nil: by chance.
	Random func(n int) int
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer
}

var (
	// ErrBusy says that as many look-ups as there may be wait for the servers.
	ErrBusy = errors.New("too many look-ups wait for the DNS")
	// ErrStopped says that the Resolver has been stopped.
	ErrStopped = errors.New("the resolver has stopped")
)

// errMiss is what the cache says of what it does not know.
var errMiss = errors.New("not in the cache")

// A Resolver looks targets up. It is safe for concurrent use.
type Resolver struct {
	o       Options
	cache   *cache
	metrics *metrics

	ctx     context.Context // ends with Stop
	cancel  context.CancelFunc
	running sync.WaitGroup // look-ups and the questions that they ask
	mu      sync.Mutex     // guards stopped and pending
	stopped bool
	pending int
}

// New returns a Resolver. It asks nothing by itself.
func New(o Options) (*Resolver, error) {
	if o.Exchanger == nil {
		return nil, errors.New("resolve: Exchanger is required")
	}
	if o.Supports == nil {
		o.Supports = func(flow.Transport) bool { return true }
	}
	if o.Random == nil {
		o.Random = rand.IntN
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.MaxPending == 0 {
		o.MaxPending = 1000
	}
	if o.MaxEntries == 0 {
		o.MaxEntries = 10_000
	}
	r := &Resolver{o: o}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	var err error
	if r.cache, err = newCache(o.MaxEntries); err != nil {
		return nil, err
	}
	r.metrics = newMetrics(o.Registerer, r)
	return r, nil
}

// Resolve calls done with the hops of a target, in the order in which they are to be
// tried: at least one, or an error. done runs exactly once: before Resolve returns if
// no server has to be asked, else on another goroutine. It must not block.
//
// The error wraps ErrUnreachable or ErrNotFound if there is no such place; any other
// says that this could not be found out.
func (r *Resolver) Resolve(ctx context.Context, t Target, done func([]Hop, error)) {
	known := func(name string, kind uint16) ([]dns.RR, error) { return r.known(name, kind, time.Now()) }
	hops, err := r.search(t, known)
	if !errors.Is(err, errMiss) {
		r.tell(hops, err, done)
		return
	}
	r.mu.Lock()
	switch {
	case r.stopped:
		err = ErrStopped
	case r.pending >= r.o.MaxPending:
		err = ErrBusy
	default:
		err = nil
		r.pending++
		// Stop waits for it; its context ends it.
		r.running.Go(func() { r.resolve(ctx, t, done) })
	}
	r.mu.Unlock()
	if err != nil {
		r.tell(nil, err, done)
	}
}

// resolve is Resolve where servers have to be asked.
func (r *Resolver) resolve(ctx context.Context, t Target, done func([]Hop, error)) {
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	defer context.AfterFunc(r.ctx, cancel)() //nolint:contextcheck // Both contexts end it.
	began := time.Now()
	hops, err := r.search(t, func(name string, kind uint16) ([]dns.RR, error) { return r.lookup(ctx, name, kind) })
	r.metrics.took.Observe(time.Since(began).Seconds())
	r.mu.Lock()
	r.pending--
	r.mu.Unlock()
	r.tell(hops, err, done)
}

func (r *Resolver) search(t Target, ask func(string, uint16) ([]dns.RR, error)) ([]Hop, error) {
	missed := false
	s := search{target: t, supports: r.o.Supports, random: r.o.Random, ask: func(name string, kind uint16) ([]dns.RR, error) {
		records, err := ask(name, kind)
		missed = missed || errors.Is(err, errMiss)
		return records, err
	}}
	hops, err := s.locate()
	if missed {
		// Half of the answers is not the order that the domain wants.
		return nil, errMiss
	}
	return hops, err
}

func (r *Resolver) tell(hops []Hop, err error, done func([]Hop, error)) {
	result := "found"
	switch {
	case errors.Is(err, ErrUnreachable):
		result = "unreachable"
	case errors.Is(err, ErrNotFound):
		result = "not_found"
	case errors.Is(err, ErrBusy):
		result = "busy"
	case err != nil:
		result = "failed"
	}
	r.metrics.results.WithLabelValues(result).Inc()
	done(hops, err)
}

// lookup returns the records of a name, following aliases.
func (r *Resolver) lookup(ctx context.Context, name string, kind uint16) ([]dns.RR, error) {
	return follow(name, func(name string) (answer, error) { return r.ask(ctx, question{name, kind}) })
}

// known is lookup in the cache alone.
func (r *Resolver) known(name string, kind uint16, now time.Time) ([]dns.RR, error) {
	return follow(name, func(name string) (answer, error) {
		a, err, ok := r.cache.get(question{name, kind}, now)
		if !ok {
			return answer{}, errMiss
		}
		return a, err
	})
}

// follow asks for a name and for what it is an alias of, in circles not for ever.
func follow(name string, ask func(name string) (answer, error)) ([]dns.RR, error) {
	for range maxAliases {
		a, err := ask(name)
		if err != nil || a.alias == "" {
			return a.records, err
		}
		name = a.alias
	}
	return nil, errAliases
}

// ask puts one question, unless the answer is known or somebody else asks already.
func (r *Resolver) ask(ctx context.Context, q question) (answer, error) {
	if a, err, ok := r.cache.get(q, time.Now()); ok {
		return a, err
	}
	if ctx.Err() != nil {
		return answer{}, ctx.Err()
	}
	got, err, _ := r.cache.flight.Do(q.String(), func() (any, error) { //nolint:contextcheck // See below.
		// The last to ask may have been answered since we looked.
		if a, err, ok := r.cache.get(q, time.Now()); ok {
			return a, err
		}
		// Its own context: whoever asked first may give up, others wait for it too.
		ctx, cancel := context.WithTimeout(r.ctx, r.o.Timeout)
		defer cancel()
		return r.exchange(ctx, q)
	})
	if err != nil {
		return answer{}, err
	}
	return got.(answer), nil //nolint:forcetypeassert // It is what exchange returns.
}

// exchange asks the servers and keeps what they say.
func (r *Resolver) exchange(ctx context.Context, q question) (answer, error) {
	var a answer
	m, err := r.o.Exchanger.Exchange(ctx, q.name, q.kind)
	if err == nil {
		a, err = read(m, q.name, q.kind)
	}
	r.metrics.question(q.kind, err)
	r.cache.put(q, a, err, time.Now())
	return a, err
}

// Stop ends what is under way, for which done hears an error, and waits for it.
func (r *Resolver) Stop(context.Context) error {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	r.cancel()
	r.running.Wait()
	return nil
}

func (r *Resolver) pendingCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pending
}
