package locationdb

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics of a Writer.
type metrics struct {
	written, refused, overflows, failures, resyncs prometheus.Counter
}

func newMetrics(r prometheus.Registerer, w *Writer) *metrics {
	p := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return p.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	p.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "reveille_locationdb_pending", Help: "Users whose changes are not yet in the database.",
	}, func() float64 { n, _ := w.backlog(); return float64(n) })
	p.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "reveille_locationdb_lag_seconds", Help: "Age of the oldest change that is not yet in the database.",
	}, func() float64 { _, age := w.backlog(); return age.Seconds() })
	return &metrics{
		written:   counter("reveille_locationdb_written_total", "Users whose rows were written."),
		refused:   counter("reveille_locationdb_refused_total", "Bindings that the table cannot hold, and users that the database did not take."),
		overflows: counter("reveille_locationdb_overflows_total", "Times that more had changed than can be noted; everything is written anew then."),
		failures:  counter("reveille_locationdb_failures_total", "Writes that failed and are tried again."),
		resyncs:   counter("reveille_locationdb_resyncs_total", "Times that everything was written."),
	}
}
