package disk

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	batches, updates, refused, swept, backgroundErrors, stalls prometheus.Counter

	commitSeconds          prometheus.Histogram
	freeBytes, loadSeconds prometheus.Gauge
}

// newMetrics registers the metrics with reg; nil for none.
func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &metrics{
		batches:          counter("reveille_disk_batches_total", "Batches committed, each with one sync."),
		updates:          counter("reveille_disk_commits_total", "Updates and refreshes committed."),
		refused:          counter("reveille_disk_refused_total", "Updates refused because there is too little free space."),
		swept:            counter("reveille_disk_swept_total", "Expired bindings deleted from the disk."),
		backgroundErrors: counter("reveille_disk_background_errors_total", "Errors of the database that fail no commit."),
		stalls:           counter("reveille_disk_stalls_total", "Times that commits waited for the database to catch up."),
		commitSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "reveille_disk_commit_seconds",
			Help:    "Time that a batch took to become durable.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9), // to 6.5 s
		}),
		freeBytes:   gauge("reveille_disk_free_bytes", "Free space of the store's file system."),
		loadSeconds: gauge("reveille_disk_load_seconds", "Time that the last start took to read the bindings."),
	}
	if reg != nil {
		reg.MustRegister(m.batches, m.updates, m.refused, m.swept, m.backgroundErrors, m.stalls, m.commitSeconds, m.freeBytes, m.loadSeconds)
	}
	return m
}

func (m *metrics) committed(d time.Duration) {
	m.batches.Inc()
	m.commitSeconds.Observe(d.Seconds())
}

// A revocable takes back what it has registered: a store that could not be
// opened leaves nothing behind, and may be opened again.
type revocable struct {
	prometheus.Registerer
	taken []prometheus.Collector
}

// MustRegister implements prometheus.Registerer.
func (r *revocable) MustRegister(cs ...prometheus.Collector) {
	r.Registerer.MustRegister(cs...)
	r.taken = append(r.taken, cs...)
}

func (r *revocable) revoke() {
	for _, c := range r.taken {
		r.Unregister(c)
	}
}
