package transport

import (
	"errors"
	"io"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/internal/sipmsg"
)

// metrics are the package's counters. They work without a registry.
type metrics struct {
	received, sent, dropped, keepAlives *prometheus.CounterVec
	lost, readErrors, acceptErrors      *prometheus.CounterVec
	sendErrors, opened, closed, refused *prometheus.CounterVec
	dialErrors, handshakes              *prometheus.CounterVec
	conns                               *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "reveille", Subsystem: "transport", Name: name, Help: help,
		}, append([]string{"listener"}, labels...))
		if r != nil {
			r.MustRegister(v)
		}
		return v
	}
	m := &metrics{
		received:     counter("received_messages_total", "Messages handed on."),
		sent:         counter("sent_messages_total", "Messages written to a datagram socket or queued for a connection."),
		dropped:      counter("dropped_datagrams_total", "Datagrams that were too long or had no source port."),
		keepAlives:   counter("keepalives_total", "Keep-alives received: CRLF, and STUN over UDP."),
		lost:         counter("lost_datagrams_total", "Datagrams that were lost because a socket's buffer was full (Linux)."),
		readErrors:   counter("read_errors_total", "Datagram reads that failed and were tried again."),
		acceptErrors: counter("accept_errors_total", "Accepts that failed and were tried again."),
		sendErrors:   counter("send_errors_total", "Messages that could not be sent.", "reason"),
		opened:       counter("connections_opened_total", "Connections accepted or dialled.", "direction"),
		closed:       counter("connections_closed_total", "Connections ended.", "reason"),
		refused:      counter("connections_refused_total", "Connections closed at once because a bound was reached, or no balancer says whose they are.", "bound"),
		dialErrors:   counter("dial_errors_total", "Attempts to connect that failed, or were not made because a bound was reached.", "reason"),
		handshakes:   counter("handshakes_refused_total", "WebSocket handshakes answered with an HTTP error.", "status"),
		conns: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "reveille", Subsystem: "transport", Name: "connections", Help: "Open connections.",
		}, []string{"listener"}),
	}
	if r != nil {
		r.MustRegister(m.conns)
	}
	return m
}

// listenerMetrics are the counters of one listener, looked up once.
type listenerMetrics struct {
	all  *metrics
	name string

	received, sent, dropped, keepAlives prometheus.Counter
	lost, readErrors, acceptErrors      prometheus.Counter
	accepted, dialled                   prometheus.Counter
	dialFailed, dialBusy                prometheus.Counter
	conns                               prometheus.Gauge
}

func (m *metrics) listener(name string) *listenerMetrics {
	return &listenerMetrics{
		all: m, name: name,
		received:     m.received.WithLabelValues(name),
		sent:         m.sent.WithLabelValues(name),
		dropped:      m.dropped.WithLabelValues(name),
		keepAlives:   m.keepAlives.WithLabelValues(name),
		lost:         m.lost.WithLabelValues(name),
		readErrors:   m.readErrors.WithLabelValues(name),
		acceptErrors: m.acceptErrors.WithLabelValues(name),
		accepted:     m.opened.WithLabelValues(name, "in"),
		dialled:      m.opened.WithLabelValues(name, "out"),
		dialFailed:   m.dialErrors.WithLabelValues(name, "failed"),
		dialBusy:     m.dialErrors.WithLabelValues(name, "busy"),
		conns:        m.conns.WithLabelValues(name),
	}
}

func (m *listenerMetrics) refused(bound string) prometheus.Counter {
	return m.all.refused.WithLabelValues(m.name, bound)
}

func (m *listenerMetrics) handshakeRefused(status int) prometheus.Counter {
	return m.all.handshakes.WithLabelValues(m.name, strconv.Itoa(status))
}

func (m *listenerMetrics) sendError(err error) prometheus.Counter {
	return m.all.sendErrors.WithLabelValues(m.name, reason(err))
}

// count counts an attempt to send and returns its error.
func (l *listener) count(err error) error {
	if err != nil {
		l.metrics.sendError(err).Inc()
		return err
	}
	l.metrics.sent.Inc()
	return nil
}

func (m *listenerMetrics) closed(err error) prometheus.Counter {
	return m.all.closed.WithLabelValues(m.name, reason(err))
}

// reason is the metric label of an error: one of a fixed few.
func reason(err error) string {
	for _, r := range []struct {
		err   error
		label string
	}{
		{io.EOF, "peer"},
		{ErrFlowDead, "dead"},
		{ErrQueueFull, "queue_full"},
		{ErrTooLong, "too_long"},
		{sipmsg.ErrFrameTooLong, "too_long"},
		{ErrBusy, "busy"},
		{ErrStopped, "stopped"},
		{ErrIdle, "idle"},
		{ErrSlow, "slow"},
		{ErrGarbled, "garbled"},
		{ErrTLS, "tls"},
		{ErrHandshake, "handshake"},
	} {
		if errors.Is(err, r.err) {
			return r.label
		}
	}
	return "network"
}
