package transaction

import (
	"github.com/prometheus/client_golang/prometheus"
)

// kind is a kind of transaction, for counting.
type kind uint8

const (
	kindServerInvite kind = iota
	kindServerOther
	kindClientInvite
	kindClientOther
	kinds // the number of kinds
)

var kindNames = [kinds]string{"server_invite", "server_other", "client_invite", "client_other"}

// Why something was dropped.
const (
	dropQueueFull    = "queue_full"
	dropHeldFull     = "held_full"
	dropStray        = "stray_response"
	dropLateResponse = "late_response"
	dropForbidden    = "forbidden_response" // by RFC 4320
)

// Why a request of a peer or of the user was refused.
const (
	refusedFull     = "transactions"
	refusedStopping = "stopping"
	refusedClients  = "clients"
	refusedOverload = "overload"
	refusedQueue    = "queue" // overload of one queue alone
)

// metrics are the package's measurements. Without a registerer they count for
// nobody.
type metrics struct {
	drops, refusals, timeouts                   *prometheus.CounterVec
	absorbed, retransmitted, sendErrors, panics prometheus.Counter
	delay                                       prometheus.Histogram
}

// newMetrics makes the metrics of l. r may be nil.
func newMetrics(r prometheus.Registerer, l *Layer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "reveille", Subsystem: "transaction", Name: name, Help: help,
		})
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "reveille", Subsystem: "transaction", Name: name, Help: help,
		}, []string{label})
	}
	m := &metrics{
		drops:         vec("dropped_total", "Messages dropped, by reason.", "reason"),
		refusals:      vec("refused_total", "Requests refused because a bound was reached, messages wait for too long or the server stops.", "reason"),
		timeouts:      vec("timeouts_total", "Client transactions that ended without a final response in time, by timer.", "timer"),
		absorbed:      counter("retransmissions_absorbed_total", "Retransmitted requests, and ACKs to unkept answers, that went no further."),
		retransmitted: counter("retransmissions_sent_total", "Requests and responses sent again by a timer."),
		sendErrors:    counter("send_errors_total", "Messages that the transport refused."),
		panics:        counter("panics_total", "Panics of transaction users, each answered 500 where a request was at hand."),
	}
	m.delay = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "reveille", Subsystem: "transaction", Name: "queue_delay_seconds", Help: "How long messages waited in their queue.",
		Buckets: []float64{.0001, .001, .01, .05, .1, .25, .5, 1, 4},
	})
	if r == nil {
		return m
	}
	gauge := func(name, help string, labels prometheus.Labels, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "reveille", Subsystem: "transaction", Name: name, Help: help, ConstLabels: labels,
		}, value)
	}
	r.MustRegister(m.drops, m.refusals, m.timeouts, m.absorbed, m.retransmitted, m.sendErrors, m.panics, m.delay,
		gauge("suspended", "Keys of flow and Call-ID that wait for a handler.", nil, func() float64 { return float64(l.suspended.Load()) }),
		gauge("queued", "Messages that wait in the queues or are being handled.", nil, func() float64 { return float64(l.queued()) }))
	for level, name := range levelNames {
		r.MustRegister(gauge("strained", "Queues that refuse such new work because messages wait for too long, or did a moment ago.",
			prometheus.Labels{"work": name}, func() float64 { return float64(l.strains[level].Load()) }))
	}
	for k, name := range kindNames {
		r.MustRegister(gauge("live", "Transactions alive, by kind.", prometheus.Labels{"kind": name},
			func() float64 { return float64(l.live[k].Load()) }))
	}
	return m
}

func (m *metrics) dropped(reason string) { m.drops.WithLabelValues(reason).Inc() }
func (m *metrics) refused(reason string) { m.refusals.WithLabelValues(reason).Inc() }

// queued returns how many messages wait.
func (l *Layer) queued() (n int64) {
	for _, q := range l.queues {
		n += q.waiting.Load()
	}
	return n
}
