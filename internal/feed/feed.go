// Package feed carries the events of the server to those who read them as JSON: it
// gives each its place in one order, keeps the latest for subscribers who come
// back, and hands them to Takers such as the outbox of webhooks and a log.
//
// Emit never waits: it puts the event into a bounded queue, from which one goroutine
// hands it on. Each Taker has a queue and a goroutine of its own, so that a disk that
// hangs holds up nobody else. Events are encoded when somebody reads them, so that
// those whom nobody reads cost next to nothing.
package feed

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"reveille/internal/event"
)

// Defaults of Options.
const (
	DefaultQueue       = 16384
	DefaultKeep        = 4096
	DefaultSubscribers = 32
)

// Options of a Feed. All may be left out.
type Options struct {
	// Node is this node's number, part of every event.
	Node uint32
	// Queue bounds the events that wait for each Taker, Keep those kept for
	// subscribers, Subscribers those.
	Queue, Keep, Subscribers int
	// Takers get all events.
	Takers []Taker
	// Logger, or nil to discard; Registerer of the metrics, or nil for none.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// A Feed is an event.Sink. It is safe for concurrent use.
type Feed struct {
	node    uint32
	queue   chan emitted
	takers  []*follower
	kept    *kept
	log     *slog.Logger
	metrics *metrics
	// These are the goroutine's of New: what IDs are made of, the room for what is
	// handed on at once, and the counters of types, for looking one up by its label
	// costs as much as the rest of an event's way.
	random *bufio.Reader
	batch  []*Record
	counts map[string]prometheus.Counter

	stop sync.Once
	// ending is closed by Stop, ended when the goroutine of New has returned.
	ending, ended chan struct{}
}

var _ event.Hearer = (*Feed)(nil)

// randomLen is how many bytes are read at once for IDs, of 16 bytes each.
const randomLen = 1024

// emitted is an event on its way.
type emitted struct {
	at    time.Time
	event event.Event
}

// New returns a Feed that works until Stop.
func New(o Options) *Feed {
	f := &Feed{
		node: o.Node, queue: make(chan emitted, orDefault(o.Queue, DefaultQueue)),
		kept: newKept(orDefault(o.Keep, DefaultKeep), orDefault(o.Subscribers, DefaultSubscribers)),
		log:  o.Logger, random: bufio.NewReaderSize(rand.Reader, randomLen), counts: map[string]prometheus.Counter{},
		ending: make(chan struct{}), ended: make(chan struct{}),
	}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	for _, t := range o.Takers {
		f.takers = append(f.takers, &follower{Taker: t, queue: make(chan *Record, cap(f.queue))})
	}
	f.metrics = newMetrics(o.Registerer, f)
	// Stop ends it, and waits for it.
	go f.run()
	return f
}

func orDefault(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}

// Emit implements event.Sink.
func (f *Feed) Emit(e event.Event) {
	select {
	case f.queue <- emitted{time.Now(), e}:
	default:
		f.metrics.lost(toAll).Inc()
	}
}

// Hears implements event.Hearer: only refreshes may be of interest to nobody.
func (f *Feed) Hears(e event.Event) bool {
	for _, t := range f.takers {
		if t.Refreshes() {
			return true
		}
	}
	return f.kept.Refreshes() || e.Type() != event.TypeRefreshed
}

// Stop hands on what was emitted, and ends the subscriptions. It may be called
// again. What is emitted afterwards is lost.
func (f *Feed) Stop(ctx context.Context) error {
	f.stop.Do(func() { close(f.ending) })
	select {
	case <-f.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("events that wait: %w", ctx.Err())
	}
}

func (f *Feed) run() {
	defer close(f.ended)
	var followers sync.WaitGroup
	for _, t := range f.takers {
		followers.Go(t.run)
	}
	f.handAll()
	f.kept.close()
	for _, t := range f.takers {
		close(t.queue)
	}
	followers.Wait()
}

// handAll hands on what is emitted until Stop, and what was until then.
func (f *Feed) handAll() {
	for {
		select {
		case e := <-f.queue:
			f.hand(e)
		case <-f.ending:
			for {
				select {
				case e := <-f.queue:
					f.hand(e)
				default:
					return
				}
			}
		}
	}
}

// hand hands on e and what came after it. It does not wait.
func (f *Feed) hand(e emitted) {
	rs := f.batch[:0]
	for n := min(len(f.queue)+1, maxBatch); ; {
		if r, err := f.record(e); err != nil {
			f.metrics.lost(toAll).Inc()
			f.log.Error("number an event", "err", err)
		} else {
			rs = append(rs, r)
			f.count(r.Type).Inc()
		}
		if n--; n == 0 {
			break
		}
		e = <-f.queue // Nobody else takes from it.
	}
	f.kept.Take(rs)
	for _, t := range f.takers {
		if lost := t.offer(rs); lost > 0 {
			f.metrics.lost(t.Name()).Add(float64(lost))
		}
	}
	clear(rs) // Nobody has kept the slice, and it keeps no events.
	f.batch = rs
}

// count is the counter of a type.
func (f *Feed) count(kind string) prometheus.Counter {
	c := f.counts[kind]
	if c == nil {
		c = f.metrics.events.WithLabelValues(kind)
		f.counts[kind] = c
	}
	return c
}

// record gives e its place.
func (f *Feed) record(e emitted) (*Record, error) {
	id, err := uuid.NewV7FromReader(f.random)
	if err != nil {
		return nil, err
	}
	return &Record{id: id, Type: e.event.Type(), AOR: event.About(e.event), event: e.event, at: e.at, node: f.node}, nil
}

// A Record is an event with its place among others. It is safe for concurrent use.
type Record struct {
	// Type is the event's, AOR whom it is about.
	Type, AOR string

	id    uuid.UUID
	at    time.Time
	node  uint32
	event event.Event

	mu    sync.Mutex // guards forms
	forms [event.Tokens + 1][]byte
}

// ID is greater than that of the Records before it.
func (r *Record) ID() string { return r.id.String() }

// JSON returns the event's JSON form for somebody who may see d.
func (r *Record) JSON(d event.Detail) ([]byte, error) {
	d = min(d, event.DetailOf(r.event))
	r.mu.Lock()
	defer r.mu.Unlock()
	form := &r.forms[d]
	if *form == nil {
		b, err := event.Encode(r.event, r.ID(), r.at, r.node, d)
		if err != nil {
			return nil, err
		}
		*form = b
	}
	return *form, nil
}

// Errors of a Subscription.
var (
	// ErrFull: there are as many subscribers as there may be.
	ErrFull = errors.New("feed: too many subscribers")
	// ErrSlow: the subscriber read so slowly that events were forgotten which it had
	// not seen.
	ErrSlow = errors.New("feed: subscriber is too slow")
	// ErrStopped: there will be no more events.
	ErrStopped = errors.New("feed: stopped")
)
