package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	// settleTime is two minutes and some: nobody looks for late phones any more, and
	// Timers B, D, F, H, J and L of 64*T1 have run out long before.
	settleTime = 2*time.Minute + 8*time.Second
	// leastTime is how long scenes must go on for a slope to mean anything.
	leastTime = 5 * time.Minute
	// row is what a row of the table and a point of a slope are about.
	row = time.Minute
)

// A measure is what must be flat. Over the second half it may grow by a share of its
// mean and by some more; what is allowed is the noise of a run in which nothing grows.
type measure struct {
	name, metric string
	unit         float64 // of the table
	share, more  float64 // more in units
	least        bool    // of what changes with each garbage collection, the least counts
}

func measures() []measure {
	return []measure{
		{"RSS, MB", "process_resident_memory_bytes", 1e6, .05, 5, false},
		{"heap, MB", "go_memstats_heap_alloc_bytes", 1e6, .05, 3, true},
		{"goroutines", "go_goroutines", 1, .1, 20, true},
		{"fds", "process_open_fds", 1, .1, 20, false},
	}
}

// tables are gauges of what the server keeps for a time: in the end all are 0.
func tables() []string {
	return []string{
		"reveille_proxy_parked", "reveille_proxy_farewells", "reveille_transaction_queued", "reveille_transaction_suspended",
		"reveille_usrloc_pending_updates", "reveille_usrloc_bindings", "reveille_usrloc_push_bindings", "reveille_usrloc_aors",
		"reveille_transport_connections",
	}
}

// byTimers are those that timers keep: transactions of up to 64*T1, and for two minutes
// the look for phones that come when nobody waits for them any more.
func byTimers() []string {
	return []string{"reveille_transaction_live", "reveille_resolve_pending", "reveille_usrloc_watches"}
}

// never are counters that say that something was wrong.
func never() []string {
	return []string{"reveille_transaction_panics_total", "reveille_transport_dropped_datagrams_total"}
}

// A sample is what the metrics said at one time after the beginning.
type sample struct {
	at     time.Duration
	values map[string]float64
}

// A series is the samples of a run, oldest first. One goroutine adds to it, and it is
// read when that has ended.
type series []sample

// watch adds a sample each second.
func (t *town) watch(ctx context.Context) {
	began := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	shown := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		m, err := t.server.metrics()
		if err != nil {
			t.wrong("the server does not answer: %v", err)
			return
		}
		t.series = append(t.series, sample{time.Since(began), m})
		if n := int(time.Since(began) / row); n > shown {
			shown = n
			fmt.Fprintln(t.s.out, t.series.row(n-1))
		}
	}
}

// of returns the mean, or the least, of a measure in the n-th row.
func (s series) of(m measure, n int) float64 {
	sum, least, count := 0., math.Inf(1), 0.
	for _, x := range s {
		if int(x.at/row) == n {
			v := x.values[m.metric] / m.unit
			sum, least, count = sum+v, min(least, v), count+1
		}
	}
	switch {
	case count == 0:
		return math.NaN()
	case m.least:
		return least
	}
	return sum / count
}

// row is one of the table.
func (s series) row(n int) string {
	cells := []string{fmt.Sprint(n + 1)}
	for _, m := range measures() {
		cells = append(cells, fmt.Sprintf("%.1f", s.of(m, n)))
	}
	peak := map[string]float64{}
	for _, x := range s {
		if int(x.at/row) == n {
			for _, name := range gauges() {
				peak[name] = max(peak[name], x.values[name])
			}
		}
	}
	for _, name := range gauges() {
		cells = append(cells, fmt.Sprintf("%.0f", peak[name]))
	}
	return "| " + strings.Join(cells, " | ") + " |"
}

// gauges are shown with the most of each minute.
func gauges() []string {
	return []string{"reveille_proxy_parked", "reveille_usrloc_watches", "reveille_transaction_live", "reveille_transport_connections"}
}

// table has a row for each whole minute.
func (s series) table() string {
	head := []string{"minute"}
	for _, m := range measures() {
		head = append(head, m.name)
	}
	head = append(head, "parked, most", "watches", "transactions", "connections")
	var out strings.Builder
	out.WriteString("| " + strings.Join(head, " | ") + " |\n|" + strings.Repeat("---|", len(head)) + "\n")
	for n := range s.rows() {
		out.WriteString(s.row(n) + "\n")
	}
	return out.String()
}

// rows counts the whole ones.
func (s series) rows() int {
	if len(s) == 0 {
		return 0
	}
	return int((s[len(s)-1].at + time.Second) / row)
}

// flat says which measures grew over the second half of a run.
func (s series) flat(lasts time.Duration) (grew []string) {
	n := int(lasts / row)
	for _, m := range measures() {
		var points []float64
		for i := n / 2; i < n; i++ {
			if v := s.of(m, i); !math.IsNaN(v) {
				points = append(points, v)
			}
		}
		growth := slope(points) * float64(len(points)-1)
		if most := m.share*mean(points) + m.more; growth > most {
			grew = append(grew, fmt.Sprintf("%s grew by %.1f over the second half, more than %.1f", m.name, growth, most))
		}
	}
	return grew
}

func mean(points []float64) float64 {
	sum := 0.
	for _, p := range points {
		sum += p
	}
	return sum / max(float64(len(points)), 1)
}

// slope is that of the line that fits best, for each point to the next.
func slope(points []float64) float64 {
	middle, level := float64(len(points)-1)/2, mean(points)
	above, below := 0., 0.
	for i, p := range points {
		above += (float64(i) - middle) * (p - level)
		below += (float64(i) - middle) * (float64(i) - middle)
	}
	if below == 0 {
		return 0
	}
	return above / below
}

// settled waits until the server has forgotten everything, and notes what it has not.
func (t *town) settled(ctx context.Context, empty map[string]float64) {
	names := tables()
	if t.s.settle >= settleTime {
		names = append(names, byTimers()...)
	}
	var left []string
	for deadline := time.Now().Add(t.s.settle); ; <-time.After(200 * time.Millisecond) {
		m, err := t.server.metrics()
		if err != nil {
			t.wrong("the server does not answer: %v", err)
			return
		}
		left = nil
		for _, name := range names {
			if m[name] != 0 {
				left = append(left, fmt.Sprintf("%s %.0f", name, m[name]))
			}
		}
		// What a server without phones has, and the goroutines of a few connections to
		// the push services.
		if was := empty["go_goroutines"]; m["go_goroutines"] > was+40 {
			left = append(left, fmt.Sprintf("go_goroutines %.0f, at first %.0f", m["go_goroutines"], was))
		}
		if was := empty["process_open_fds"]; m["process_open_fds"] > was+40 {
			left = append(left, fmt.Sprintf("process_open_fds %.0f, at first %.0f", m["process_open_fds"], was))
		}
		if len(left) == 0 || ctx.Err() != nil || time.Now().After(deadline) {
			for _, name := range never() {
				if m[name] != 0 {
					t.wrong("%s is %.0f", name, m[name])
				}
			}
			break
		}
	}
	slices.Sort(left)
	for _, what := range left {
		t.wrong("left behind %s after all phones had gone: %s", t.s.settle, what)
	}
}
