package proxy

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	ringbacks prometheus.Counter
	requests  *prometheus.CounterVec
	lookups   *prometheus.CounterVec
	parked    prometheus.Gauge
	wakes     *prometheus.CounterVec
	wakeTime  *prometheus.HistogramVec
	toPush    prometheus.Histogram
	discarded *prometheus.CounterVec
	purrs     *prometheus.CounterVec
	// Farewells to phones that were pushed for nothing.
	farewells     *prometheus.CounterVec
	farewellsOpen prometheus.Gauge
	failovers     prometheus.Counter
	hopFailures   *prometheus.CounterVec
	hopsMarked    prometheus.GaugeFunc
	large         *prometheus.CounterVec
	fallbacks     *prometheus.CounterVec
	media         *prometheus.CounterVec
	untold        prometheus.Counter
}

func newMetrics(r prometheus.Registerer, memory *hopMemory) *metrics {
	m := &metrics{
		ringbacks: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "reveille_proxy_ringbacks_total", Help: "Calls whose caller was told that it rings while a phone was being woken.",
		}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_proxy_requests_total", Help: "Requests that were answered upstream, by method and status class.",
		}, []string{"method", "class"}),
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_proxy_lookups_total",
			Help: "Look-ups of a user's devices, by what came of them: found, push_only, none, method (no device takes it) or error.",
		}, []string{"result"}),
		parked: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "reveille_proxy_parked", Help: "Branches that wait for a phone to wake.",
		}),
		wakes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_proxy_wakes_total", Help: "Branches that waited for a phone, by how the wait ended.",
		}, []string{"result"}),
		wakeTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "reveille_proxy_wake_seconds", Help: "Time from the push request to the phone's REGISTER, by pn-provider.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2, 3, 5, 8, 13, 20, 30, 45},
		}, []string{"provider"}),
		toPush: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "reveille_proxy_push_request_seconds", Help: "Time from a request's arrival to its push request.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .05, .25},
		}),
		discarded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_proxy_discarded_total", Help: "Messages that were dropped, by reason.",
		}, []string{"reason"}),
		purrs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_proxy_purrs_total",
			Help: "PURRs that were read, by what they name: found (a phone), gone (one that is not registered any more), foreign (nothing of ours) or error.",
		}, []string{"result"}),
		farewells: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_proxy_farewells_total",
			Help: "Phones that were pushed for a call which ended before they woke, and were to be told so, by what came of that.",
		}, []string{"result"}),
		failovers: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "reveille_proxy_failovers_total", Help: "Requests that were sent on to the next hop because one had failed.",
		}),
		hopFailures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_proxy_hop_failures_total",
			Help: "Failures of next hops, after which others are tried before them: silent (or not reached) or refused (503).",
		}, []string{"reason"}),
		hopsMarked: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "reveille_proxy_hops_failed", Help: "Next hops that failed and have not answered since.",
		}, func() float64 { return float64(memory.len()) }),
		large: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_proxy_large_requests_total",
			Help: "Requests to next hops that were too large for a datagram, by how they left: tcp, or udp because the next hop took no connection.",
		}, []string{"transport"}),
		farewellsOpen: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "reveille_proxy_farewells", Help: "Phones that are still to be told that their call has ended.",
		}),
		fallbacks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_proxy_fallbacks_total",
			Help: "Calls that nobody took and that were sent elsewhere, by why: busy, no_answer, timeout (not woken) or unreachable.",
		}, []string{"reason"}),
		untold: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "reveille_proxy_refusals_untold_total", Help: "Refused requests of which no event told, for there were too many.",
		}),
		media: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reveille_proxy_media_total",
			Help: "What was asked of media engines, by result: changed (SDP), ended (a call), failed, no_engine (none is there) or full (too much of one call waits).",
		}, []string{"result"}),
	}
	if r != nil {
		r.MustRegister(m.media, m.ringbacks, m.requests, m.lookups, m.parked, m.wakes, m.wakeTime, m.toPush, m.discarded, m.purrs, m.farewells, m.farewellsOpen, m.failovers, m.hopFailures, m.hopsMarked, m.large, m.fallbacks, m.untold)
	}
	return m
}

// answered counts a final answer; methods outside the known set share a label,
// for they are the sender's to choose.
func (m *metrics) answered(method string, code int) {
	switch method {
	case "INVITE", "MESSAGE", "BYE", "OPTIONS", "SUBSCRIBE", "NOTIFY", "REFER", "INFO", "UPDATE", "PRACK", "PUBLISH":
	default:
		method = "other"
	}
	m.requests.WithLabelValues(method, [...]string{"0xx", "1xx", "2xx", "3xx", "4xx", "5xx", "6xx"}[min(max(code/100, 0), 6)]).Inc()
}

// woken counts a wake. Only push services that have an app here wake anybody, so
// the label has few values.
func (m *metrics) woken(provider string, d time.Duration) {
	m.wakes.WithLabelValues("woken").Inc()
	m.wakeTime.WithLabelValues(strings.ToLower(provider)).Observe(d.Seconds())
}
