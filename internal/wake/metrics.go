package wake

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	dropped   *prometheus.CounterVec
	suspects  prometheus.Counter
	shortened prometheus.Counter
}

// newMetrics registers the metrics; with a nil Registerer they count for nobody.
func newMetrics(r prometheus.Registerer, h *table[habit], t *takenPushes) *metrics {
	m := &metrics{
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_wake_tokens_dropped_total",
			Help: "Push tokens that were forgotten, by the outcome that said so: gone or suspect.",
		}, []string{"class"}),
		suspects: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "reveille_wake_suspect_tokens_total",
			Help: "Push tokens that the push service did not know and that were kept, because it took none of that credential lately.",
		}),
		shortened: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "reveille_wake_shortened_total",
			Help: "Requests that waited less for a device because it has not woken for long.",
		}),
	}
	if r != nil {
		devices := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "reveille_wake_devices", Help: "Devices of which it is known how they wake, at most 131072.",
		}, func() float64 { return float64(h.len()) })
		taken := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "reveille_wake_reportable", Help: "Latest pushes that were taken, of which a push system may still report: at most 16384 of requests and as many refreshes.",
		}, func() float64 { return float64(t.len()) })
		r.MustRegister(m.dropped, m.suspects, m.shortened, devices, taken)
	}
	return m
}
