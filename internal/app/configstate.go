package app

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"reveille/internal/admin"
)

// A configState says which configuration is in force, and whether the last one that was
// to replace it did. It is safe for concurrent use.
type configState struct {
	inForce atomic.Pointer[admin.ConfigStatus]
	taken   prometheus.Gauge
}

// newConfigState is the state of a server with its first configuration.
func newConfigState(r prometheus.Registerer) *configState {
	s := &configState{}
	p := promauto.With(r)
	s.taken = p.NewGauge(prometheus.GaugeOpts{
		Name: "reveille_config_last_reload_successful", Help: "1 if the last configuration that was read is in force, 0 if it was refused and the one before is.",
	})
	p.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "reveille_config_loaded_timestamp_seconds", Help: "When the configuration in force was taken over, in seconds since 1970.",
	}, func() float64 { return float64(s.inForce.Load().Loaded.UnixMilli()) / 1000 })
	s.inForce.Store(&admin.ConfigStatus{})
	s.replaced()
	return s
}

// replaced notes that another configuration has come into force. One caller at a time.
func (s *configState) replaced() {
	s.inForce.Store(&admin.ConfigStatus{Generation: s.inForce.Load().Generation + 1, Loaded: time.Now().UTC()})
	s.taken.Set(1)
}

// refused notes that one could not be taken over.
func (s *configState) refused() { s.taken.Set(0) }
