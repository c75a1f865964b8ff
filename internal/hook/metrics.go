package hook

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics of a Client.
type metrics struct {
	requests *prometheus.CounterVec // by result
	seconds  prometheus.Histogram
}

func newMetrics(r prometheus.Registerer, name string, c *Client) *metrics {
	p, hook := promauto.With(r), prometheus.Labels{"hook": name}
	p.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "reveille_hook_pending", Help: "Questions that are open, by hook.", ConstLabels: hook,
	}, func() float64 { return float64(c.Pending()) })
	return &metrics{
		requests: p.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_hook_requests_total", Help: "Questions, by hook and by what came of them.", ConstLabels: hook,
		}, []string{"result"}),
		seconds: p.NewHistogram(prometheus.HistogramOpts{
			Name: "reveille_hook_request_seconds", Help: "Time until a question was answered or given up, by hook.", ConstLabels: hook,
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}),
	}
}
