package timeline

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	records           [quotas]prometheus.Counter
	evicted           prometheus.Counter
	unexplained       prometheus.Counter
	asked, woke, late prometheus.Counter
	failed            *prometheus.CounterVec
}

// newMetrics registers with r; nil makes metrics that nobody sees.
func newMetrics(r prometheus.Registerer, t *Timeline) *metrics {
	const namespace, subsystem = "reveille", "timeline"
	f := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
	}
	records := f.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Subsystem: subsystem, Name: "records_total",
		Help: "Requests that are remembered, by what: asleep (met a phone that had to be woken), failing (failed at a user) or strangers (for nobody here).",
	}, []string{"quota"})
	m := &metrics{
		evicted:     counter("evicted_total", "Requests that were forgotten to make room for others (calls.keep, calls.max_mb)."),
		unexplained: counter("unexplained_total", "Requests of whose end no event request.explained told: too many had ended, or they had to make room."),
		asked:       counter("wakes_asked_total", "Phones that were to be woken for a request."),
		woke:        counter("wakes_total", "Phones that came while a request waited."),
		late:        counter("wakes_late_total", "Phones that came when no request waited any more."),
		failed: f.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "wakes_failed_total",
			Help: "Phones that did not come, by why: a class of push outcomes, not_sent, timed_out or cancelled.",
		}, []string{"class"}),
	}
	for q, name := range [quotas]string{asleep: "asleep", failing: "failing", strangers: "strangers"} {
		m.records[q] = records.WithLabelValues(name)
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: "records", Help: "Requests that are remembered now."},
		func() float64 { n, _ := t.size(); return float64(n) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: "bytes", Help: "About the memory that they take."},
		func() float64 { _, n := t.size(); return float64(n) })
	return m
}

// size counts the Records and their bytes.
func (t *Timeline) size() (records int, bytes int64) {
	for _, s := range t.shards {
		s.mu.Lock()
		records += len(s.byNumber)
		bytes += s.bytes
		s.mu.Unlock()
	}
	return records, bytes
}
