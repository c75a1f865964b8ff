package outbox

import (
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics of an Outbox, by webhook.
type metrics struct {
	requests, events, losses *prometheus.CounterVec

	mu    sync.Mutex // guards names
	names []string
}

func newMetrics(r prometheus.Registerer, s *spool) *metrics {
	p := promauto.With(r)
	m := &metrics{
		requests: p.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_outbox_requests_total", Help: "Requests to webhooks for events, by what came of them: taken, refused, failed.",
		}, []string{"webhook", "result"}),
		events: p.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_outbox_events_total", Help: "Events that webhooks took.",
		}, []string{"webhook"}),
		losses: p.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_outbox_lost_total", Help: "Events that webhooks did not get: too old, spool full, disk failed, refused.",
		}, []string{"webhook", "reason"}),
	}
	if r != nil {
		r.MustRegister(&waiting{spool: s, metrics: m})
	}
	return m
}

// keep has the gauges show these webhooks.
func (m *metrics) keep(names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names = slices.Clone(names)
}

func (m *metrics) attempted(name string, v verdictKind) {
	m.requests.WithLabelValues(name, string(v)).Inc()
}

func (m *metrics) delivered(name string, n int) { m.events.WithLabelValues(name).Add(float64(n)) }

func (m *metrics) lost(name, reason string, n int) {
	if n > 0 {
		m.losses.WithLabelValues(name, reason).Add(float64(n))
	}
}

// waiting collects what waits for each webhook.
type waiting struct {
	spool   *spool
	metrics *metrics
}

func eventsWaiting() *prometheus.Desc {
	return prometheus.NewDesc("reveille_outbox_waiting", "Events that wait for a webhook.", []string{"webhook"}, nil)
}

func bytesWaiting() *prometheus.Desc {
	return prometheus.NewDesc("reveille_outbox_waiting_bytes", "Size of the events that wait for a webhook.", []string{"webhook"}, nil)
}

func oldestWaiting() *prometheus.Desc {
	return prometheus.NewDesc("reveille_outbox_oldest_timestamp_seconds", "When the oldest event that waits for a webhook happened, 0 if none waits.", []string{"webhook"}, nil)
}

// Describe implements prometheus.Collector.
func (*waiting) Describe(ch chan<- *prometheus.Desc) {
	ch <- eventsWaiting()
	ch <- bytesWaiting()
	ch <- oldestWaiting()
}

// Collect implements prometheus.Collector.
func (w *waiting) Collect(ch chan<- prometheus.Metric) {
	w.metrics.mu.Lock()
	names := w.metrics.names
	w.metrics.mu.Unlock()
	for _, name := range names {
		n := w.spool.waiting(name)
		oldest := 0.0
		if !n.oldest.IsZero() && n.events > 0 {
			oldest = float64(n.oldest.UnixMilli()) / 1000
		}
		for desc, v := range map[*prometheus.Desc]float64{
			eventsWaiting(): float64(n.events), bytesWaiting(): float64(n.bytes), oldestWaiting(): oldest,
		} {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, name)
		}
	}
}
