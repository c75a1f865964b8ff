package regevent

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics of a Notifier.
type metrics struct {
	requests, notifications, ended *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, n *Notifier) *metrics {
	p := promauto.With(r)
	p.NewGaugeFunc(prometheus.GaugeOpts{Name: "reveille_regevent_subscriptions", Help: "Subscriptions to registrations."},
		func() float64 { return float64(n.Subscriptions()) })
	counter := func(name, help, label string) *prometheus.CounterVec {
		return p.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	return &metrics{
		requests: counter("reveille_regevent_requests_total",
			"SUBSCRIBEs by what became of them: created, refreshed, fetched, ended, refused, or full if there was no room.", "result"),
		notifications: counter("reveille_regevent_notifications_total",
			"NOTIFYs by what became of them: the class of the answer, timeout, or failed if they could not be sent.", "result"),
		ended: counter("reveille_regevent_ended_total",
			"Subscriptions that ended, by why: timeout, unsubscribed, rejected, probation, or failed if the subscriber is gone.", "reason"),
	}
}

// class counts the answer to a NOTIFY.
func (m *metrics) class(code int) {
	m.notifications.WithLabelValues(strconv.Itoa(code/100) + "xx").Inc()
}
