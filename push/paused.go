package push

import "github.com/prometheus/client_golang/prometheus"

// paused is the metric of apps to whose push service nothing is sent just now.
type paused struct {
	desc   *prometheus.Desc
	health func() []LaneHealth
}

func newPaused(health func() []LaneHealth) prometheus.Collector {
	return paused{
		desc: prometheus.NewDesc("reveille_push_paused",
			"1 while nothing is sent to a push service, or to a part of it, because it refused or failed, else 0.",
			[]string{"app", "provider"}, nil),
		health: health,
	}
}

// Describe implements prometheus.Collector.
func (p paused) Describe(to chan<- *prometheus.Desc) { to <- p.desc }

// Collect implements prometheus.Collector. An app has a lane for each part of its
// push service; they lie side by side.
func (p paused) Collect(to chan<- prometheus.Metric) {
	lanes := p.health()
	for i := 0; i < len(lanes); {
		app, value := lanes[i], 0.0
		for ; i < len(lanes) && lanes[i].App == app.App; i++ {
			if !lanes[i].PausedUntil.IsZero() {
				value = 1
			}
		}
		to <- prometheus.MustNewConstMetric(p.desc, prometheus.GaugeValue, value, app.App, app.Provider)
	}
}
