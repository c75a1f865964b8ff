package app

import (
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
	"reveille/internal/transport"
)

// An inlet takes what arrives on the sockets, reads it and hands it to the
// transactions. It runs on the sockets' readers.
type inlet struct {
	transport *transport.Transport
	layer     *transaction.Layer
	metrics   *metrics
	sink      event.Sink
	log       *slog.Logger
}

// Receive implements transport.Handler.
func (i *inlet) Receive(f flow.Flow, b []byte) {
	m, err := sipmsg.Parse(b, f.Remote)
	if err != nil {
		i.malformed(f, m, err)
		return
	}
	if !i.layer.Receive(f, m) {
		i.metrics.discarded.WithLabelValues("queue_full").Inc()
	}
}

// malformed answers what is damaged, as far as it can be answered, without any
// memory of it. Responses and ACK get no answer (RFC 3261 §17).
func (i *inlet) malformed(f flow.Flow, m *sipmsg.Message, err error) {
	i.metrics.discarded.WithLabelValues("malformed").Inc()
	if m == nil || !m.IsRequest() || m.Method() == "ACK" {
		i.log.Debug("dropped malformed message", "flow", f.String(), "err", err)
		return
	}
	code, phrase, headers := sipmsg.StatusOf(err)
	i.log.Debug("refused malformed request", "flow", f.String(), "status", code, "err", err)
	reply := m.AppendReply(nil, sipmsg.Reply{Code: code, Reason: phrase, Headers: headers, ToTag: "malformed"})
	if err := i.transport.Send(transaction.ReplyFlow(f, m), reply); err != nil && !errors.Is(err, transport.ErrFlowDead) {
		i.log.Debug("answer malformed request", "flow", f.String(), "err", err)
	}
}

// FlowClosed implements transport.Handler.
func (i *inlet) FlowClosed(f flow.Flow, err error) {
	i.layer.FlowClosed(f)
	i.sink.Emit(event.FlowClosed{Flow: f, Err: err})
}

type metrics struct {
	discarded *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{discarded: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "reveille_inlet_discarded_total", Help: "Messages that reached no transaction, by reason.",
	}, []string{"reason"})}
	r.MustRegister(m.discarded)
	return m
}
