package resolve

import (
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics of a Resolver.
type metrics struct {
	results, questions *prometheus.CounterVec
	took               prometheus.Histogram
}

func newMetrics(r prometheus.Registerer, of *Resolver) *metrics {
	p := promauto.With(r)
	p.NewGaugeFunc(prometheus.GaugeOpts{Name: "reveille_resolve_pending", Help: "Look-ups that wait for DNS servers."},
		func() float64 { return float64(of.pendingCount()) })
	p.NewGaugeFunc(prometheus.GaugeOpts{Name: "reveille_resolve_cache_entries", Help: "DNS answers that are kept."},
		func() float64 { return float64(of.cache.entries.Len()) })
	return &metrics{
		results: p.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_resolve_lookups_total",
			Help: "Look-ups of next hops, by result: found, not_found, unreachable (nothing to ask for), busy (too many at once) or failed.",
		}, []string{"result"}),
		questions: p.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_resolve_questions_total", Help: "Questions to DNS servers, by type of record and result: answered or failed.",
		}, []string{"type", "result"}),
		took: p.NewHistogram(prometheus.HistogramOpts{
			Name: "reveille_resolve_seconds", Help: "Time of look-ups for which servers had to be asked.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}),
	}
}

func (m *metrics) question(kind uint16, err error) {
	result := "answered"
	if err != nil {
		result = "failed"
	}
	m.questions.WithLabelValues(dns.TypeToString[kind], result).Inc()
}
