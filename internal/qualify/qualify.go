package qualify

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/flow"
	"reveille/internal/probe"
	"reveille/internal/transaction"
	"reveille/usrloc"
)

// Store lists all Records; *usrloc.Memory implements it.
type Store interface {
	List(ctx context.Context, c usrloc.Cursor, n int) ([]usrloc.Record, usrloc.Cursor, error)
	Stats() usrloc.Stats
}

// Ways says how a device is reached without waking it; *proxy.Proxy implements it.
type Ways interface {
	// Way returns the flow to b's device and the Request-URI to send. ok is false
	// if the device sleeps or there is no flow.
	Way(b *usrloc.Binding) (to flow.Flow, uri string, ok bool)
}

// Options are what a Qualifier needs. All but the last three are required.
type Options struct {
	Store Store
	Ways  Ways
	Flows probe.Flows
	Layer *transaction.Layer
	// Domain is in whose name phones are asked.
	Domain string
	// Interval is the time in which everybody is asked once.
	Interval time.Duration
	// Timeout is how long an answer is waited for; less than 64*T1, 32 s.
	Timeout time.Duration
	// Rate bounds the OPTIONS sent in a second. If it is too low for all to be
	// asked within Interval, it takes longer. With Timeout it bounds how many are
	// waited for.
	Rate int
	// MaxResults bounds the results that are kept.
	MaxResults int
	// Only2xx: any other answer says that the phone cannot be reached.
	Only2xx bool
	// Logger may be nil.
	Logger *slog.Logger
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer
}

func (o *Options) validate() error {
	switch {
	case o.Store == nil || o.Ways == nil || o.Flows == nil || o.Layer == nil || o.Domain == "":
		return errors.New("qualify: Store, Ways, Flows, Layer and Domain are required")
	case o.Interval <= 0 || o.Timeout <= 0 || o.Rate <= 0 || o.MaxResults <= 0:
		return errors.New("qualify: Interval, Timeout, Rate and MaxResults are more than 0")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

const (
	// step is the time between two looks at what is due.
	step = 100 * time.Millisecond
	// readStep bounds the Records that are read at once and kept until their turn.
	readStep = 64
)

// Silent is the latency of a device that did not answer.
const Silent time.Duration = math.MaxInt64

// A Qualifier asks the phones. Its methods are safe for concurrent use.
type Qualifier struct {
	o          Options
	metrics    *metrics
	prober     probe.Prober
	table      table
	maxPending int
	// walks is the number of the walk under way.
	walks    atomic.Uint32
	stopping atomic.Bool

	mu      sync.Mutex // guards pending
	pending map[*question]struct{}
}

// New returns a Qualifier, or an error that names what is missing. Run starts it.
func New(o Options) (*Qualifier, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	q := &Qualifier{
		o: o, pending: map[*question]struct{}{}, prober: probe.Prober{Layer: o.Layer, Flows: o.Flows, Domain: o.Domain},
		// More there are not in time unless a queue is late.
		maxPending: o.Rate * int((o.Timeout+2*time.Second-1)/time.Second),
	}
	q.table.limit = o.MaxResults
	q.metrics = newMetrics(o.Registerer, q)
	return q, nil
}

// Latency returns how long the device of a binding took for its last answer, or
// Silent if it did not answer when it was asked last. ok is false if it was not
// asked for two intervals, as when it sleeps.
func (q *Qualifier) Latency(id usrloc.BindingID) (d time.Duration, ok bool) {
	r, ok := q.table.get(id)
	switch {
	case !ok:
		return 0, false
	case r.silent:
		return Silent, true
	}
	return time.Duration(r.micros) * time.Microsecond, true
}

// Run asks until ctx ends.
func (q *Qualifier) Run(ctx context.Context) {
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	r := round{q: q, allowed: allowance{rate: q.o.Rate}}
	r.begin(time.Now())
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		r.step(ctx, time.Now())
	}
}

// Stop asks nobody any more and gives up what is waited for, so that the layer
// can be stopped without delay.
func (q *Qualifier) Stop() {
	q.stopping.Store(true)
	q.mu.Lock()
	defer q.mu.Unlock()
	for x := range q.pending {
		x.giveUp()
	}
}

// A round is the state of Run.
type round struct {
	q       *Qualifier
	walk    walk
	allowed allowance
	// rest are bindings that were read and not yet asked.
	rest []usrloc.Binding
	// room is how many Records may still be read in this step: who is late does
	// not catch up all at once.
	room    int
	failing bool
}

func (r *round) begin(now time.Time) {
	r.walk = walk{number: r.walk.number + 1, began: now, total: r.q.o.Store.Stats().AORs}
	r.q.walks.Store(uint32(r.walk.number))
}

// step asks whom it is time to ask.
func (r *round) step(ctx context.Context, now time.Time) {
	q := r.q
	if r.walk.over(now, q.o.Interval) && len(r.rest) == 0 {
		q.metrics.walk.Set(now.Sub(r.walk.began).Seconds())
		r.begin(now)
	}
	r.sweep(now)
	r.allowed.grow(now)
	r.room = max(readStep, 2*r.walk.share(r.walk.total, r.walk.began.Add(step), q.o.Interval))
	for !q.stopping.Load() {
		if len(r.rest) == 0 && !r.read(ctx, now) {
			return
		}
		for len(r.rest) > 0 {
			b := &r.rest[0]
			to, uri, ok := q.o.Ways.Way(b)
			switch {
			case !ok || b.Expired(now):
			case q.pendingCount() >= q.maxPending || !r.allowed.take():
				return
			default:
				q.ask(b, to, uri)
			}
			r.rest = r.rest[1:]
		}
	}
}

// read reads some of the Records that are due. It reports false if there is
// nothing more to be read now.
func (r *round) read(ctx context.Context, now time.Time) bool {
	n := min(r.walk.due(now, r.q.o.Interval), readStep, r.room)
	if n <= 0 {
		return false
	}
	recs, next, err := r.q.o.Store.List(ctx, r.walk.at, n)
	if err != nil {
		if !r.failing && ctx.Err() == nil {
			r.q.o.Logger.Warn("read bindings to qualify", "err", err)
		}
		r.failing = true
		return false
	}
	r.failing = false
	r.walk.read(len(recs), next)
	r.room -= n
	r.rest = r.rest[:0]
	for i := range recs {
		r.rest = append(r.rest, recs[i].Bindings...)
	}
	return true
}

// sweep clears as much of the table as the time of the walk has passed.
func (r *round) sweep(now time.Time) {
	to := r.walk.share(tableShards, now, r.q.o.Interval)
	r.q.table.sweep(r.walk.swept, to, r.walk.number)
	r.walk.swept = max(r.walk.swept, to)
}

func (q *Qualifier) pendingCount() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.pending)
}
