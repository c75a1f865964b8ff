package guard

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Why messages are dropped, and requests refused.
type (
	drop    uint8
	refusal uint8
)

const (
	droppedBanned drop = iota
	droppedRate
	droppedScanner
	droppedHost
	numDrops
)

const (
	refusedSource refusal = iota
	refusedRegister
	refusedCall
	numRefusals
)

var (
	dropNames = [numDrops]string{
		droppedBanned: "banned", droppedRate: "rate", droppedScanner: "scanner", droppedHost: "foreign_host",
	}
	refusalNames = [numRefusals]string{refusedSource: "source", refusedRegister: "register", refusedCall: "call"}
)

type metrics struct {
	dropped  [numDrops]prometheus.Counter
	refused  [numRefusals]prometheus.Counter
	banned   [numReasons]prometheus.Counter
	spared   prometheus.Counter
	overflow prometheus.Counter
}

func newMetrics(r prometheus.Registerer, g *Guard) *metrics {
	f := promauto.With(r)
	dropped := f.NewCounterVec(prometheus.CounterOpts{
		Name: "reveille_guard_dropped_total", Help: "Messages that were dropped without an answer, by reason.",
	}, []string{"reason"})
	refused := f.NewCounterVec(prometheus.CounterOpts{
		Name: "reveille_guard_refused_total", Help: "Requests that were refused because a rate limit was reached, by limit.",
	}, []string{"limit"})
	banned := f.NewCounterVec(prometheus.CounterOpts{
		Name: "reveille_guard_bans_total", Help: "Sources that were banned, by reason.",
	}, []string{"reason"})
	m := &metrics{
		spared: f.NewCounter(prometheus.CounterOpts{
			Name: "reveille_guard_spared_total", Help: "Sources that were not banned because somebody is registered from there.",
		}),
		overflow: f.NewCounter(prometheus.CounterOpts{
			Name: "reveille_guard_overflow_total", Help: "Sources that were not banned because too many are.",
		}),
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "reveille_guard_banned_sources", Help: "Sources that are banned.",
	}, func() float64 { return float64(len(g.Banned(time.Now()))) })
	for i, name := range dropNames {
		m.dropped[i] = dropped.WithLabelValues(name)
	}
	for i, name := range refusalNames {
		m.refused[i] = refused.WithLabelValues(name)
	}
	for i, name := range reasonNames {
		m.banned[i] = banned.WithLabelValues(name)
	}
	return m
}
