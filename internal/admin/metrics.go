package admin

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count what is asked. A nil Registerer leaves them unregistered.
type metrics struct {
	requests *prometheus.CounterVec
	refused  *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_admin_requests_total", Help: "Requests to the admin API by operation and status.",
		}, []string{"operation", "code"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_admin_refused_total", Help: "Requests and connections of those who were not let in at http.addr, by reason.",
		}, []string{"reason"}),
	}
	for _, reason := range []string{refusedNone, refusedWrong, refusedOften, refusedFull} {
		m.refused.WithLabelValues(reason)
	}
	if r != nil {
		r.MustRegister(m.requests, m.refused)
	}
	return m
}

// Reasons in metrics.
const (
	refusedNone  = "no_credentials"
	refusedWrong = "wrong_credentials"
	refusedOften = "too_many_tries"
	refusedFull  = "too_many_connections"
)

// request counts an answer. The operation is one of ours, or empty.
func (m *metrics) request(operation string, status int) {
	if operation == "" {
		operation = "none"
	}
	m.requests.WithLabelValues(operation, strconv.Itoa(status)).Inc()
}
