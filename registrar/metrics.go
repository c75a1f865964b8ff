package registrar

import (
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/usrloc"
)

// metrics of a Registrar.
type metrics struct {
	requests *prometheus.CounterVec
	changes  *prometheus.CounterVec
	// Of those, the ones that are counted often.
	fetched, retransmitted, updates, updated prometheus.Counter
	callsOnly                                prometheus.Counter
}

// The results of REGISTER requests that were worked in.
const (
	resultInserted = "inserted" // at least one binding is new
	resultUpdated  = "updated"  // bindings were refreshed or changed
	resultDeleted  = "deleted"  // bindings were removed, or there were none
)

// newMetrics registers the metrics; with a nil Registerer they count for nobody.
func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_registrar_requests_total",
			Help: "REGISTER requests by result (inserted, updated, deleted, fetched, retransmission, refused) and status.",
		}, []string{"result", "status"}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_registrar_changes_total",
			Help: "Bindings that REGISTER requests changed, by what became of them.",
		}, []string{"action"}),
		callsOnly: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "reveille_registrar_calls_only_total",
			Help: "Registrations of devices that may be woken for calls alone, for less than seven days: nothing refreshes them.",
		}),
	}
	m.updates, m.fetched = m.requests.WithLabelValues(resultUpdated, "200"), m.requests.WithLabelValues("fetched", "200")
	m.retransmitted = m.requests.WithLabelValues("retransmission", "200")
	m.updated = m.changes.WithLabelValues(usrloc.Updated.String())
	if r != nil {
		r.MustRegister(m.requests, m.changes, m.callsOnly)
	}
	return m
}

func (m *metrics) accepted(res *Result, changes []usrloc.Change) {
	switch {
	case res.Fetch:
		m.fetched.Inc()
	case res.Retransmission:
		m.retransmitted.Inc()
	default:
		m.requests.WithLabelValues(resultOf(res, changes), "200").Inc()
	}
}

// resultOf is the result of a REGISTER that was worked in.
func resultOf(res *Result, changes []usrloc.Change) string {
	switch {
	case len(res.Carried) == 0:
		return resultDeleted
	case slices.ContainsFunc(changes, func(c usrloc.Change) bool { return c.Kind == usrloc.Created }):
		return resultInserted
	}
	return resultUpdated
}

// refreshed counts a REGISTER that a Refresh worked in.
func (m *metrics) refreshed() {
	m.updates.Inc()
	m.updated.Inc()
}

func (m *metrics) refused(code int) {
	m.requests.WithLabelValues("refused", strconv.Itoa(code)).Inc()
}

func (m *metrics) changed(c *usrloc.Change) { m.changes.WithLabelValues(c.Kind.String()).Inc() }

// refreshMetrics of a Refresher.
type refreshMetrics struct {
	pushes      *prometheus.CounterVec
	expirations prometheus.Counter
	dormant     prometheus.Counter
	late        prometheus.Histogram
}

func newRefreshMetrics(r prometheus.Registerer) *refreshMetrics {
	m := &refreshMetrics{
		pushes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_registrar_refresh_pushes_total",
			Help: "Pushes to refresh a binding by result: the class of the push service's answer, or why none was sent.",
		}, []string{"result"}),
		expirations: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "reveille_registrar_expirations_total",
			Help: "Bindings that ended because nobody refreshed them.",
		}),
		dormant: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "reveille_registrar_dormant_total",
			Help: "Bindings that nobody refreshed and that were kept, so that their devices can still be woken.",
		}),
		late: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "reveille_registrar_timer_lag_seconds",
			Help:    "How late the timers of bindings were handled.",
			Buckets: []float64{0.1, 0.5, 1, 2, 5, 10, 30, 60, 120},
		}),
	}
	if r != nil {
		r.MustRegister(m.pushes, m.expirations, m.dormant, m.late)
	}
	return m
}
