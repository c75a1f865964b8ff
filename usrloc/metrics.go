package usrloc

import "github.com/prometheus/client_golang/prometheus"

// metrics are the store's counters, and a collector of its Stats.
type metrics struct {
	changes [len(changeNames)]prometheus.Counter // by ChangeKind
	full    *prometheus.CounterVec
}

// newMetrics registers the metrics of m with reg; nil for none.
func newMetrics(reg prometheus.Registerer, m *Memory) *metrics {
	changes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "reveille_usrloc_changes_total",
		Help: "Changes of bindings, by kind.",
	}, []string{"kind"})
	full := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "reveille_usrloc_refused_total",
		Help: "Updates and watches refused because a limit was reached, by limit.",
	}, []string{"limit"})
	mt := &metrics{full: full}
	for kind := Created; kind <= Expired; kind++ {
		mt.changes[kind] = changes.WithLabelValues(kind.String())
	}
	for _, limit := range [...]string{"bindings", "watches", "pending"} {
		full.WithLabelValues(limit)
	}
	if reg != nil {
		reg.MustRegister(changes, full, newStatsCollector(m))
	}
	return mt
}

func (mt *metrics) changed(kind ChangeKind) { mt.changes[kind].Inc() }

func (mt *metrics) refused(limit string) { mt.full.WithLabelValues(limit).Inc() }

// A statsCollector reads Stats once for each scrape.
type statsCollector struct {
	m      *Memory
	gauges []statsGauge
}

type statsGauge struct {
	desc  *prometheus.Desc
	value func(*Stats) int
}

func newStatsCollector(m *Memory) *statsCollector {
	gauge := func(name, help string, value func(*Stats) int) statsGauge {
		return statsGauge{prometheus.NewDesc("reveille_usrloc_"+name, help, nil, nil), value}
	}
	return &statsCollector{m: m, gauges: []statsGauge{
		gauge("aors", "AORs that have bindings.", func(s *Stats) int { return s.AORs }),
		gauge("bindings", "Bindings stored.", func(s *Stats) int { return s.Bindings }),
		gauge("push_bindings", "Bindings stored that can be woken.", func(s *Stats) int { return s.PushBindings }),
		gauge("watches", "Watches of a Record.", func(s *Stats) int { return s.Watches }),
		gauge("pending_updates", "Updates that wait for their commit.", func(s *Stats) int { return s.Pending }),
		gauge("slab_bytes", "Memory of the slabs that hold the bindings.", func(s *Stats) int { return s.Bytes }),
	}}
}

// Describe implements prometheus.Collector.
func (c *statsCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, g := range c.gauges {
		ch <- g.desc
	}
}

// Collect implements prometheus.Collector.
func (c *statsCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.m.Stats()
	for _, g := range c.gauges {
		ch <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, float64(g.value(&s)))
	}
}
