package trunk

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics of a Watcher.
type metrics struct {
	results *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, w *Watcher) *metrics {
	if r != nil {
		r.MustRegister(hopStates{w, prometheus.NewDesc("reveille_trunk_addresses",
			"Addresses of next hops, by route, next hop as configured and state: up, down or, without an answer to OPTIONS, unknown.",
			[]string{"route", "hop", "state"}, nil)})
	}
	return &metrics{
		results: promauto.With(r).NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_trunk_checks_total",
			Help: "OPTIONS to next hops, by result: ok, refused (an answer that does not count as up), timeout or failed (not reached).",
		}, []string{"result"}),
	}
}

// hopStates is a gauge whose labels are those of the configuration in force.
type hopStates struct {
	w    *Watcher
	desc *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (h hopStates) Describe(out chan<- *prometheus.Desc) { out <- h.desc }

// Collect implements prometheus.Collector.
func (h hopStates) Collect(out chan<- prometheus.Metric) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	for key, x := range h.w.watches {
		count := map[string]int{"up": 0, "down": 0, "unknown": 0}
		for _, s := range x.hops {
			switch {
			case !s.known:
				count["unknown"]++
			case s.up:
				count["up"]++
			default:
				count["down"]++
			}
		}
		for state, n := range count {
			out <- prometheus.MustNewConstMetric(h.desc, prometheus.GaugeValue, float64(n), key.route, key.target.String(), state)
		}
	}
}
