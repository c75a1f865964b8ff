package mailbox

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// String is the name in metrics and events.
func (r Result) String() string {
	switch r {
	case Delivered:
		return "delivered"
	case Refused:
		return "refused"
	case Later:
	}
	return "later"
}

type metrics struct {
	messages, attempts, refusals *prometheus.CounterVec
	unwatched                    prometheus.Counter
}

func newMetrics(r prometheus.Registerer, b *Box) *metrics {
	p := promauto.With(r)
	m := &metrics{
		messages: p.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_mailbox_messages_total",
			Help: "Messages that waited for phones, by what became of them: kept, delivered, expired, refused (by a phone) or withdrawn (delivered by another way).",
		}, []string{"result"}),
		attempts: p.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_mailbox_attempts_total",
			Help: "Attempts to hand a message over that waited, by what came of them: delivered, later or refused.",
		}, []string{"result"}),
		refusals: p.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_mailbox_declined_total",
			Help: "Messages that were not kept, by reason: user_full, full, name (too long), disk or stopped.",
		}, []string{"reason"}),
		unwatched: p.NewCounter(prometheus.CounterOpts{
			Name: "reveille_mailbox_watch_failures_total",
			Help: "Times that registrations of a user could not be followed for whom messages wait: they wait longer.",
		}),
	}
	gauge := func(name, help string, value func() float64) {
		p.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			b.mu.Lock()
			defer b.mu.Unlock()
			return value()
		})
	}
	gauge("reveille_mailbox_waiting", "Messages that wait for phones.", func() float64 { return float64(b.book.count) })
	gauge("reveille_mailbox_waiting_bytes", "Size of the messages that wait for phones.", func() float64 { return float64(b.book.bytes) })
	gauge("reveille_mailbox_users", "Users for whom messages wait.", func() float64 { return float64(len(b.book.users)) })
	gauge("reveille_mailbox_oldest_timestamp_seconds", "When the oldest message that waits came, 0 if none waits.", func() float64 {
		t := b.book.oldest()
		if t.IsZero() {
			return 0
		}
		return float64(t.UnixMilli()) / 1000
	})
	return m
}

// declined counts a message that is not kept.
func (m *metrics) declined(err error) {
	reason := "disk"
	switch {
	case errors.Is(err, ErrUserFull):
		reason = "user_full"
	case errors.Is(err, ErrFull):
		reason = "full"
	case errors.Is(err, ErrName):
		reason = "name"
	case errors.Is(err, ErrStopped):
		reason = "stopped"
	}
	m.refusals.WithLabelValues(reason).Inc()
}
