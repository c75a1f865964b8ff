package source

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics of a Cached.
type metrics struct {
	remembered, asked prometheus.Counter
	found, none       prometheus.Counter
	failed            prometheus.Counter
	seconds           prometheus.Histogram
	underWay          prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	p := promauto.With(r)
	cache := p.NewCounterVec(prometheus.CounterOpts{
		Name: "reveille_source_cache_total", Help: "Users that were looked for, by whether the answer was remembered (hit) or not (miss).",
	}, []string{"result"})
	lookups := p.NewCounterVec(prometheus.CounterOpts{
		Name: "reveille_source_lookups_total", Help: "Questions to the source of users, by its answer: found, none, failed.",
	}, []string{"result"})
	return &metrics{
		remembered: cache.WithLabelValues("hit"), asked: cache.WithLabelValues("miss"),
		found: lookups.WithLabelValues("found"), none: lookups.WithLabelValues("none"), failed: lookups.WithLabelValues("failed"),
		seconds: p.NewHistogram(prometheus.HistogramOpts{
			Name: "reveille_source_lookup_seconds", Help: "Time until the source of users answered, its queue included.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 3, 9),
		}),
		underWay: p.NewGauge(prometheus.GaugeOpts{Name: "reveille_source_lookups_under_way", Help: "Questions that wait for their answer."}),
	}
}

func (m *metrics) answered(result prometheus.Counter, d time.Duration) {
	result.Inc()
	m.seconds.Observe(d.Seconds())
}
