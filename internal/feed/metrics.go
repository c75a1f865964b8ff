package feed

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics of a Feed.
type metrics struct {
	events *prometheus.CounterVec // by type
	losses *prometheus.CounterVec // by Taker
}

func newMetrics(r prometheus.Registerer, f *Feed) *metrics {
	p := promauto.With(r)
	queued := func(taker string, n func() int) {
		p.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "reveille_feed_queued", Help: "Events that wait to be handed on, by who takes them.", ConstLabels: prometheus.Labels{"taker": taker},
		}, func() float64 { return float64(n()) })
	}
	queued(toAll, func() int { return len(f.queue) })
	for _, t := range f.takers {
		queued(t.Name(), func() int { return len(t.queue) })
	}
	p.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "reveille_feed_subscribers", Help: "Readers of the stream of events.",
	}, func() float64 {
		n, _ := f.kept.count()
		return float64(n)
	})
	p.NewCounterFunc(prometheus.CounterOpts{
		Name: "reveille_feed_subscribers_dropped_total", Help: "Readers of the stream that were too slow.",
	}, func() float64 {
		_, n := f.kept.count()
		return float64(n)
	})
	return &metrics{
		events: p.NewCounterVec(prometheus.CounterOpts{Name: "reveille_feed_events_total", Help: "Events, by type."}, []string{"type"}),
		losses: p.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_feed_lost_total", Help: "Events that were lost because a queue was full, by who did not get them.",
		}, []string{"taker"}),
	}
}

// lost counts what a Taker did not get, or toAll.
func (m *metrics) lost(taker string) prometheus.Counter { return m.losses.WithLabelValues(taker) }
