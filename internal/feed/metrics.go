package feed

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics of a Feed.
type metrics struct {
	events *prometheus.CounterVec // by type
	lost   prometheus.Counter
}

func newMetrics(r prometheus.Registerer, f *Feed) *metrics {
	p := promauto.With(r)
	p.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "reveille_feed_queued", Help: "Events that wait to be handed on.",
	}, func() float64 { return float64(len(f.queue)) })
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
		lost: p.NewCounter(prometheus.CounterOpts{
			Name: "reveille_feed_lost_total", Help: "Events that reached nobody, for the queue was full.",
		}),
	}
}
