package tlscert

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Soon is how long before a certificate's end it is worth a warning: whoever
// renews automatically does so earlier.
const Soon = 14 * 24 * time.Hour

// Expiring returns those of leaves that end within Soon or have ended.
func Expiring(leaves []Leaf, now time.Time) []Leaf {
	var out []Leaf
	for _, l := range leaves {
		if now.Add(Soon).After(l.NotAfter) {
			out = append(out, l)
		}
	}
	return out
}

// expiry tells when certificates end, as they are when it is asked.
type expiry struct {
	desc    *prometheus.Desc
	sources func() map[string]*Source // by listener
}

// NewExpiry returns the metric of when the certificates of listeners end. The map
// that sources returns must not be changed.
func NewExpiry(sources func() map[string]*Source) prometheus.Collector {
	return expiry{
		desc: prometheus.NewDesc("reveille_tlscert_expiry_timestamp_seconds",
			"When a listener's certificate ends, in seconds since 1970.", []string{"listener", "file"}, nil),
		sources: sources,
	}
}

// Describe implements prometheus.Collector.
func (e expiry) Describe(to chan<- *prometheus.Desc) { to <- e.desc }

// Collect implements prometheus.Collector.
func (e expiry) Collect(to chan<- prometheus.Metric) {
	for name, s := range e.sources() {
		seen := map[string]bool{} // A file may be named twice.
		for _, l := range s.Current().leaves {
			if !seen[l.File] {
				to <- prometheus.MustNewConstMetric(e.desc, prometheus.GaugeValue, float64(l.NotAfter.Unix()), name, l.File)
			}
			seen[l.File] = true
		}
	}
}
