package qualify

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics of a Qualifier.
type metrics struct {
	sent, overflows prometheus.Counter
	results         *prometheus.CounterVec
	roundTrip       prometheus.Histogram
	walk            prometheus.Gauge
}

func newMetrics(r prometheus.Registerer, q *Qualifier) *metrics {
	p := promauto.With(r)
	gauge := func(name, help string, value func() float64) {
		p.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	gauge("reveille_qualify_pending", "OPTIONS that are waited for.", func() float64 { return float64(q.pendingCount()) })
	gauge("reveille_qualify_reachable", "Bindings whose device answered lately.",
		func() float64 { return float64(q.table.kept.Load() - q.table.silent.Load()) })
	gauge("reveille_qualify_unreachable", "Bindings whose device was asked lately and did not answer.",
		func() float64 { return float64(q.table.silent.Load()) })
	return &metrics{
		sent: p.NewCounter(prometheus.CounterOpts{Name: "reveille_qualify_sent_total", Help: "OPTIONS sent to phones."}),
		results: p.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_qualify_results_total",
			Help: "What became of them: the class of the answer, timeout, or failed if they could not be sent.",
		}, []string{"result"}),
		roundTrip: p.NewHistogram(prometheus.HistogramOpts{
			Name: "reveille_qualify_round_trip_seconds", Help: "Time until the phone's final answer.",
			Buckets: []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30},
		}),
		walk: p.NewGauge(prometheus.GaugeOpts{
			Name: "reveille_qualify_walk_seconds", Help: "How long it took to ask everybody the last time; more than the interval if the rate is too low.",
		}),
		overflows: p.NewCounter(prometheus.CounterOpts{Name: "reveille_qualify_overflows_total", Help: "Results for which there was no room."}),
	}
}
