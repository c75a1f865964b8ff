package otlp

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"reveille/internal/event"
	"reveille/internal/timeline"
)

// Bounds of what waits.
const (
	// maxEnded bounds the requests whose Records are to be looked up.
	maxEnded = 4096
	// maxSpans bounds the spans that wait to be sent.
	maxSpans = 2048
	// sendTimeout bounds one request to the collector, and what it is tried again for.
	sendTimeout = 10 * time.Second
)

// Options of an Exporter. Endpoint and Get are required.
type Options struct {
	// Endpoint is the URL of the collector, such as https://otel.example.com:4318/v1/traces.
	Endpoint string
	// Headers are sent with each request; their values are secrets.
	Headers map[string]string
	// Ratio of the requests that are told of, from 0 to 1.
	Ratio float64
	// Version and Node say which server this is.
	Version string
	Node    uint32
	// Get is that of a timeline.Timeline.
	Get        func(id string) (timeline.Record, bool)
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// An Exporter is an event.Sink. It is safe for concurrent use.
type Exporter struct {
	o        Options
	tracer   trace.Tracer
	provider *sdk.TracerProvider
	ended    chan string // IDs of Records
	lost     prometheus.Counter
	told     prometheus.Counter
	down     atomic.Bool // the collector did not take the last batch
}

var _ event.Sink = (*Exporter)(nil)

// New returns an Exporter that works while Run does.
func New(ctx context.Context, o Options) (*Exporter, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	client, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(o.Endpoint), otlptracehttp.WithHeaders(o.Headers), otlptracehttp.WithTimeout(sendTimeout),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: time.Second, MaxInterval: sendTimeout, MaxElapsedTime: 3 * sendTimeout}))
	if err != nil {
		return nil, fmt.Errorf("otlp: %w", err)
	}
	p := promauto.With(o.Registerer)
	e := &Exporter{
		o: o, ended: make(chan string, maxEnded),
		lost: p.NewCounter(prometheus.CounterOpts{Name: "reveille_otlp_lost_total", Help: "Requests and spans that the collector is not told of, because too many waited or it did not take them."}),
		told: p.NewCounter(prometheus.CounterOpts{Name: "reveille_otlp_spans_total", Help: "Spans that the collector has taken."}),
	}
	e.provider = sdk.NewTracerProvider(
		sdk.WithBatcher(counted{client, e}, sdk.WithMaxQueueSize(maxSpans), sdk.WithBlocking()),
		sdk.WithSampler(sdk.TraceIDRatioBased(o.Ratio)),
		sdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "reveille"), attribute.String("service.version", o.Version), attribute.Int64("service.instance.id", int64(o.Node)),
		)),
	)
	e.tracer = e.provider.Tracer("reveille")
	return e, nil
}

// counted counts what the collector takes, and says once that it is away.
type counted struct {
	sdk.SpanExporter
	e *Exporter
}

// ExportSpans implements sdk.SpanExporter.
func (c counted) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := c.SpanExporter.ExportSpans(ctx, spans)
	if err != nil {
		c.e.lost.Add(float64(len(spans)))
		if !c.e.down.Swap(true) {
			c.e.o.Logger.WarnContext(ctx, "the collector of spans does not take them", "err", err)
		}
		return nil // It is told here.
	}
	c.e.told.Add(float64(len(spans)))
	if c.e.down.Swap(false) {
		c.e.o.Logger.InfoContext(ctx, "the collector of spans takes them again")
	}
	return nil
}

// Emit implements event.Sink.
func (e *Exporter) Emit(x event.Event) {
	c, ok := x.(event.Explained)
	if !ok {
		return
	}
	select {
	case e.ended <- c.ID:
	default:
		e.lost.Inc()
	}
}

// Run makes spans until ctx ends, and then those of what has ended before. It may wait
// for the collector; then what ends meanwhile waits, too, and is counted when it is too
// much.
func (e *Exporter) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			for {
				select {
				case id := <-e.ended:
					e.look(context.WithoutCancel(ctx), id)
				default:
					return
				}
			}
		case id := <-e.ended:
			e.look(ctx, id)
		}
	}
}

// look tells of a request if its Record is still there.
func (e *Exporter) look(ctx context.Context, id string) {
	if r, ok := e.o.Get(id); ok && r.ID == id {
		e.tell(ctx, &r)
	}
}

// Stop sends what waits, until ctx ends; Run must have returned. What is told of later
// is lost.
func (e *Exporter) Stop(ctx context.Context) error {
	if err := e.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("spans that wait: %w", err)
	}
	return nil
}
