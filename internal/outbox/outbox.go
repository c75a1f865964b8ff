// Package outbox delivers events to the webhooks of an operator: signed, in order,
// at least once, and again until they are taken. What waits is on disk, within
// bounds, and survives the process.
//
// A webhook gets requests of one or more events, a line of JSON each. It takes them
// by any status from 200 to 299. 400, 413 and 422 say that an event cannot be taken:
// it is found out which, and left out. Everything else is tried again, with pauses
// that grow to a minute or as long as Retry-After says.
package outbox

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/internal/event"
	"reveille/internal/feed"
	"reveille/internal/httpclient"
)

// Defaults of Options and Webhook.
const (
	DefaultMaxBytes = 256 << 20
	DefaultMaxAge   = 24 * time.Hour
	DefaultBatch    = 100
	DefaultTimeout  = 10 * time.Second
)

// file is the spool's, in its folder.
const file = "events.db"

// Options of an Outbox. Dir is required.
type Options struct {
	// Dir is a folder that exists, for events that wait. It is this server's alone.
	Dir string
	// MaxBytes and MaxAge bound what waits for each webhook: beyond that the oldest
	// is left out.
	MaxBytes int64
	MaxAge   time.Duration
	// Logger, or nil to discard; Registerer of the metrics, or nil for none.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// A Webhook gets events. Name and URL are required.
type Webhook struct {
	// Name is the webhook's in logs and metrics, and that of what waits for it.
	Name string
	// URL is where events are posted, http or https.
	URL string
	// Secret signs requests; empty leaves them unsigned. webhook.Verify of package
	// push/webhook is for receivers.
	Secret []byte
	// RootCAs are PEM certificates that are believed in, and nobody else; empty: the
	// system's.
	RootCAs []byte
	// Filter says which events it gets, Tokens whether with push tokens.
	Filter event.Filter
	Tokens bool
	// Batch bounds the events of a request, Timeout the time for one.
	Batch   int
	Timeout time.Duration
}

// Prepare checks webhooks and makes what Set takes over. It does not connect.
func Prepare(webhooks []Webhook) (Prepared, error) {
	var p Prepared
	for _, w := range webhooks {
		if w.Name == "" {
			return Prepared{}, errors.New("webhook without a name")
		}
		if w.Batch <= 0 {
			w.Batch = DefaultBatch
		}
		if w.Timeout <= 0 {
			w.Timeout = DefaultTimeout
		}
		d := &delivery{Webhook: w}
		var roots *x509.CertPool
		if len(w.RootCAs) > 0 {
			roots = x509.NewCertPool()
			if !roots.AppendCertsFromPEM(w.RootCAs) {
				return Prepared{}, fmt.Errorf("webhook %s: no certificate of an authority", w.Name)
			}
		}
		client, err := httpclient.New(httpclient.Options{URL: w.URL, RootCAs: roots, Timeout: w.Timeout, MaxConns: 1})
		if err != nil {
			return Prepared{}, fmt.Errorf("webhook %s: %w", w.Name, err)
		}
		d.client = client
		if u, err := url.Parse(w.URL); err == nil {
			d.uri = u.RequestURI()
		}
		p.list = append(p.list, d)
	}
	return p, nil
}

// Prepared are webhooks that nothing is wrong with.
type Prepared struct{ list []*delivery }

// An Outbox is a feed.Taker. Take and Set may be called at the same time.
type Outbox struct {
	spool     *spool
	log       *slog.Logger
	metrics   *metrics
	refreshes atomic.Bool

	mu         sync.Mutex // guards the fields below
	deliveries []*delivery
	full       bool // the last write to the spool failed
	stopped    bool
}

var _ feed.Taker = (*Outbox)(nil)

// New opens the spool. Nothing is sent before Set.
func New(o Options) (*Outbox, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.MaxAge <= 0 {
		o.MaxAge = DefaultMaxAge
	}
	s, err := openSpool(filepath.Join(o.Dir, file), o.MaxBytes, o.MaxAge, o.Logger)
	if err != nil {
		return nil, fmt.Errorf("events that wait: %w", err)
	}
	return &Outbox{spool: s, log: o.Logger, metrics: newMetrics(o.Registerer, s)}, nil
}

// Set replaces the webhooks. What waits for one that is no more is left out; those
// that did not change go on as they are.
func (o *Outbox) Set(p Prepared) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stopped {
		return
	}
	old := o.deliveries
	o.deliveries = nil
	kept := make(map[*delivery]bool)
	var fresh []*delivery
	refreshes := false
	for _, d := range p.list {
		for _, before := range old {
			if reflect.DeepEqual(before.Webhook, d.Webhook) {
				d, kept[before] = before, true
			}
		}
		if !kept[d] {
			fresh = append(fresh, d)
		}
		o.deliveries = append(o.deliveries, d)
		refreshes = refreshes || d.Filter.Type(event.TypeRefreshed)
	}
	for _, d := range old {
		if !kept[d] {
			o.replaced(d)
		}
	}
	names := make([]string, len(o.deliveries))
	for i, d := range o.deliveries {
		names[i] = d.Name
	}
	if err := o.spool.keep(names); err != nil {
		o.log.Error("leave out events of webhooks that are no more", "err", err)
	}
	o.metrics.keep(names)
	for _, d := range fresh {
		d.start(o)
	}
	o.refreshes.Store(refreshes)
}

// replaceWait is how long a request under way may take when its webhook is replaced.
// Ended early, its events come twice; meanwhile all others wait.
const replaceWait = time.Second

func (o *Outbox) replaced(d *delivery) {
	ctx, cancel := context.WithTimeout(context.Background(), replaceWait)
	defer cancel()
	d.stop(ctx)
}

// Name implements feed.Taker.
func (*Outbox) Name() string { return "webhooks" }

// Refreshes implements feed.Taker.
func (o *Outbox) Refreshes() bool { return o.refreshes.Load() }

// detail is how much of an event w gets. It is the operator's own.
func (w *Webhook) detail() event.Detail {
	if w.Tokens {
		return event.Tokens
	}
	return event.Params
}

// Take implements feed.Taker. It returns when the events are on disk.
func (o *Outbox) Take(rs []*feed.Record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stopped || len(o.deliveries) == 0 {
		return
	}
	now := time.Now()
	waiting := make(map[string][][]byte)
	for _, d := range o.deliveries {
		for _, r := range rs {
			if !d.Filter.Matches(r.Type, r.AOR) {
				continue
			}
			b, err := r.JSON(d.detail())
			if err != nil {
				o.log.Error("encode an event", "type", r.Type, "err", err)
				continue
			}
			waiting[d.Name] = append(waiting[d.Name], b)
		}
	}
	if len(waiting) == 0 {
		return
	}
	left, err := o.spool.add(waiting, now)
	o.wrote(err)
	for _, d := range o.deliveries {
		if err != nil {
			o.metrics.lost(d.Name, "disk", len(waiting[d.Name]))
			continue
		}
		o.leftOut(d.Name, left[d.Name])
		if len(waiting[d.Name]) > 0 {
			d.wake()
		}
	}
}

// wrote tells, once, that the spool cannot be written, and that it can again. Call
// with mu held.
func (o *Outbox) wrote(err error) {
	switch {
	case err != nil && !o.full:
		o.log.Error("events for webhooks cannot be kept and are lost", "err", err)
	case err == nil && o.full:
		o.log.Info("events for webhooks are kept again")
	}
	o.full = err != nil
}

// leftOut tells of events that exceeded a bound.
func (o *Outbox) leftOut(name string, l loss) {
	o.metrics.lost(name, "old", l.old)
	o.metrics.lost(name, "full", l.full)
	if l.old+l.full > 0 {
		o.log.Warn("events for a webhook waited too long, or are too many, and are lost", "webhook", name, "old", l.old, "full", l.full)
	}
}

// Stop ends the deliveries, lets requests under way finish until ctx ends, and
// closes the spool. The error is that of ctx if the disk does not let go. It may be
// called again.
func (o *Outbox) Stop(ctx context.Context) error {
	ended := make(chan error, 1)
	// Ends when the disk has done what it was asked, nobody waits for it longer than
	// for ctx.
	go func() { ended <- o.end(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	// Requests that ctx ended return at once.
	select {
	case err := <-ended:
		return err
	case <-time.After(lastWait):
		return fmt.Errorf("events for webhooks on their way to the disk: %w", ctx.Err())
	}
}

// lastWait is how long the deliveries have to end when their requests were ended.
const lastWait = 100 * time.Millisecond

func (o *Outbox) end(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stopped {
		return nil
	}
	o.stopped = true
	for _, d := range o.deliveries {
		d.ending()
	}
	for _, d := range o.deliveries {
		d.stop(ctx)
	}
	return o.spool.close()
}

// poster posts a body; *httpclient.Client is one.
type poster interface {
	Post(ctx context.Context, body []byte, header http.Header) (httpclient.Answer, error)
	Close()
}
