package trace

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics of a Hub.
type metrics struct {
	lost prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	return &metrics{lost: promauto.With(r).NewCounter(prometheus.CounterOpts{
		Name: "reveille_trace_lost_total",
		Help: "SIP messages that were not looked at, because too many waited for it. Traces and captures miss them; the signalling does not.",
	})}
}
