package push

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of a Dispatcher. The labels are of the configuration, never of what
// phones send.
type metrics struct {
	requests *prometheus.CounterVec
	attempts *prometheus.CounterVec
	refusals *prometheus.CounterVec
	joined   *prometheus.CounterVec
	pauses   *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	total    *prometheus.HistogramVec
	queue    *prometheus.GaugeVec
	flight   *prometheus.GaugeVec
}

// newMetrics registers the metrics; with a nil Registerer they count for nobody.
func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"app", "provider"})
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(0.005, 2.5, 9),
		}, labels)
	}
	m := &metrics{
		requests: counter("reveille_push_requests_total", "Wakes by how they ended.", "app", "provider", "kind", "class"),
		attempts: counter("reveille_push_attempts_total", "Requests sent to push services, by their answer.", "app", "provider", "class"),
		refusals: counter("reveille_push_refused_total", "Wakes not taken, by reason.", "reason"),
		joined:   counter("reveille_push_coalesced_total", "Wakes that another push answered for.", "app", "provider"),
		pauses:   counter("reveille_push_pauses_total", "Times that a lane stopped sending, by cause.", "app", "provider", "class"),
		latency:  histogram("reveille_push_attempt_seconds", "Time until the push service answered.", "app", "provider"),
		total:    histogram("reveille_push_request_seconds", "Time from taking a wake to its outcome.", "app", "provider", "kind"),
		queue:    gauge("reveille_push_queue_depth", "Wakes that wait to be sent."),
		flight:   gauge("reveille_push_in_flight", "Attempts under way."),
	}
	if r != nil {
		r.MustRegister(m.requests, m.attempts, m.refusals, m.joined, m.pauses, m.latency, m.total, m.queue, m.flight)
	}
	return m
}

func (m *metrics) finished(a App, k Kind, o Outcome, d time.Duration) {
	m.requests.WithLabelValues(a.Name, a.Provider, k.String(), o.Class.String()).Inc()
	m.total.WithLabelValues(a.Name, a.Provider, k.String()).Observe(d.Seconds())
}

func (m *metrics) attempted(a App, o Outcome, d time.Duration) {
	m.attempts.WithLabelValues(a.Name, a.Provider, o.Class.String()).Inc()
	m.latency.WithLabelValues(a.Name, a.Provider).Observe(d.Seconds())
}

// series are those of one app that a lane counts in for each push, kept because
// to look one up costs more than to count. The lane's mu guards it.
type series struct {
	m        *metrics
	app      App
	attempts [Forbidden + 1]prometheus.Counter
	latency  prometheus.Observer
	requests [Cancel + 1][Forbidden + 1]prometheus.Counter
	total    [Cancel + 1]prometheus.Observer
}

func (s *series) attempted(o Outcome, d time.Duration) {
	if o.Class > Forbidden {
		s.m.attempted(s.app, o, d)
		return
	}
	if s.attempts[o.Class] == nil {
		s.attempts[o.Class] = s.m.attempts.WithLabelValues(s.app.Name, s.app.Provider, o.Class.String())
		s.latency = s.m.latency.WithLabelValues(s.app.Name, s.app.Provider)
	}
	s.attempts[o.Class].Inc()
	s.latency.Observe(d.Seconds())
}

func (s *series) finished(k Kind, o Outcome, d time.Duration) {
	if o.Class > Forbidden || k > Cancel {
		s.m.finished(s.app, k, o, d)
		return
	}
	if s.requests[k][o.Class] == nil {
		s.requests[k][o.Class] = s.m.requests.WithLabelValues(s.app.Name, s.app.Provider, k.String(), o.Class.String())
		s.total[k] = s.m.total.WithLabelValues(s.app.Name, s.app.Provider, k.String())
	}
	s.requests[k][o.Class].Inc()
	s.total[k].Observe(d.Seconds())
}

func (m *metrics) refused(err error) {
	reason := "closed"
	switch {
	case errors.Is(err, ErrNoApp):
		reason = "no_app"
	case errors.Is(err, ErrQueueFull):
		reason = "queue_full"
	}
	m.refusals.WithLabelValues(reason).Inc()
}

func (m *metrics) coalesced(a App) { m.joined.WithLabelValues(a.Name, a.Provider).Inc() }

func (m *metrics) paused(a App, o Outcome) {
	m.pauses.WithLabelValues(a.Name, a.Provider, o.Class.String()).Inc()
}

// load is a lane's part of the gauges of its app, which several lanes share. The
// lane's mu guards it.
type load struct {
	queue, flight    prometheus.Gauge
	queued, inFlight int // as shown
}

func (m *metrics) load(a App) load {
	return load{queue: m.queue.WithLabelValues(a.Name, a.Provider), flight: m.flight.WithLabelValues(a.Name, a.Provider)}
}

func (l *load) show(queued, inFlight int) {
	l.queue.Add(float64(queued - l.queued))
	l.flight.Add(float64(inFlight - l.inFlight))
	l.queued, l.inFlight = queued, inFlight
}
