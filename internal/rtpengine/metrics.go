package rtpengine

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics of a Client.
type metrics struct {
	commands *prometheus.CounterVec
	took     prometheus.Histogram
	again    prometheus.Counter
	strays   prometheus.Counter
	up       *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer, of *Client) *metrics {
	p := promauto.With(r)
	p.NewGaugeFunc(prometheus.GaugeOpts{Name: "reveille_rtpengine_pending", Help: "Commands that wait for the answer of an rtpengine."},
		func() float64 { return float64(of.pending.Load()) })
	return &metrics{
		commands: p.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_rtpengine_commands_total",
			Help: "Commands to rtpengines (offer, answer, delete, ping), by result: done, refused, malformed, timeout, away (not sent) or busy (too many at once).",
		}, []string{"command", "result"}),
		took: p.NewHistogram(prometheus.HistogramOpts{
			Name: "reveille_rtpengine_seconds", Help: "Time until an rtpengine answered.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}),
		again: p.NewCounter(prometheus.CounterOpts{
			Name: "reveille_rtpengine_retransmissions_total", Help: "Commands that were sent once more.",
		}),
		strays: p.NewCounter(prometheus.CounterOpts{
			Name: "reveille_rtpengine_strays_total", Help: "Datagrams of rtpengines that answer nothing that is waited for.",
		}),
		up: p.NewGaugeVec(prometheus.GaugeOpts{
			Name: "reveille_rtpengine_up", Help: "1 if the rtpengine answers, 0 if it is away.",
		}, []string{"engine"}),
	}
}
