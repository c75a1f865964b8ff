package hep

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Why messages are lost, as the label of a metric.
const (
	lostFull    = "queue_full" // the collector is too slow, or away
	lostUnsent  = "unsent"     // the connection failed
	lostTooLong = "too_long"
	lostUnseen  = "unseen" // too many came at once to be looked at
)

// metrics of an Exporter.
type metrics struct {
	sent   prometheus.Counter
	losses *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, e *Exporter) *metrics {
	p := promauto.With(r)
	p.NewGaugeFunc(prometheus.GaugeOpts{Name: "reveille_hep_queued_bytes", Help: "Copies of messages that wait to be sent to the collector."}, func() float64 {
		e.mu.Lock()
		defer e.mu.Unlock()
		return float64(len(e.queue))
	})
	m := &metrics{
		sent: p.NewCounter(prometheus.CounterOpts{Name: "reveille_hep_sent_total", Help: "Copies of messages that were sent to the collector."}),
		losses: p.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_hep_lost_total", Help: "Messages that the collector does not get, by reason.",
		}, []string{"reason"}),
	}
	for _, reason := range []string{lostFull, lostUnsent, lostTooLong, lostUnseen} {
		m.lost(reason, 0)
	}
	return m
}

func (m *metrics) lost(reason string, n int) { m.losses.WithLabelValues(reason).Add(float64(n)) }
