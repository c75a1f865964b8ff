package app

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/fastpath"
	"reveille/internal/guard"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
)

// An inlet takes what arrives on the sockets, reads it and hands it to the
// transactions. It runs on the sockets' readers.
type inlet struct {
	guard   *guard.Guard
	layer   *transaction.Layer
	fast    *fastpath.Path // nil: switched off
	metrics *metrics
	sink    event.Sink
	// refused hears of who is too fast.
	refused func(m *sipmsg.Message, from flow.Flow, r *sipmsg.Reply, rule event.Rule, reason string)
	log     *slog.Logger
}

// Answer implements transport.Answerer.
func (i *inlet) Answer(f flow.Flow, b, out []byte) (answer []byte, taken bool) {
	switch i.guard.Source(f, b, time.Now()) {
	case guard.Drop:
		return out, true
	case guard.Refuse:
		i.slowDown(f, b)
		return out, true
	case guard.Pass:
	}
	if i.fast == nil {
		return out, false
	}
	return i.fast.Try(f, b, out)
}

// Receive implements transport.Handler.
func (i *inlet) Receive(f flow.Flow, b []byte, came time.Time) {
	m, err := sipmsg.Parse(b, f.Remote)
	if m != nil && i.guard.Screen(f, m, time.Now()) {
		return
	}
	if err != nil {
		i.malformed(f, m, err)
		return
	}
	if !i.layer.ReceiveAt(f, m, came) {
		i.metrics.discarded.WithLabelValues("queue_full").Inc()
	}
}

// lost hears that datagrams were lost for want of room.
func (i *inlet) lost() { i.layer.Lost() }

// slowDown refuses the request in b, whose sender is too fast. What cannot be read
// gets no answer from a server that has too much to do.
func (i *inlet) slowDown(f flow.Flow, b []byte) {
	if m, err := sipmsg.Parse(b, f.Remote); err == nil {
		r := tooFast(m)
		i.refused(m, f, &r, event.RuleRate, "")
		i.layer.Refuse(f, m, r)
	}
}

// malformed answers what is damaged, as far as it can be answered, without any
// memory of it.
func (i *inlet) malformed(f flow.Flow, m *sipmsg.Message, err error) {
	i.metrics.discarded.WithLabelValues("malformed").Inc()
	i.log.Debug("malformed message", "flow", f.String(), "answered", m != nil, "err", err)
	if m != nil {
		i.layer.Refuse(f, m, sipmsg.ErrorReply(err, ""))
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
