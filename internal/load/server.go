package load

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// A Server is what a server said of itself on its metrics page during a run.
type Server struct {
	// Parked is the largest number of requests seen waiting for phones.
	Parked float64 `json:"max_parked"`
	// Bindings is the largest number of bindings seen.
	Bindings float64 `json:"max_bindings"`
	// CPUSeconds is what its process used during the run.
	CPUSeconds float64 `json:"cpu_seconds"`
	// Resident is the largest resident size of its process seen, in bytes.
	Resident float64 `json:"max_resident_bytes"`
	// Asked counts the answers, Failed the attempts without one.
	Asked  int `json:"asked"`
	Failed int `json:"failed"`
}

func (s *Server) writeText(w io.Writer) {
	fmt.Fprintf(w, "\nserver: %.0f parked at once, %.0f bindings, %.1f s of CPU, %.0f MB resident",
		s.Parked, s.Bindings, s.CPUSeconds, s.Resident/(1<<20))
	if s.Failed > 0 {
		fmt.Fprintf(w, "; %d of %d looks at its metrics failed", s.Failed, s.Asked+s.Failed)
	}
	fmt.Fprintln(w)
}

// The series that are read; those of several labels are added up.
const (
	parkedSeries   = "reveille_proxy_parked"
	bindingsSeries = "reveille_usrloc_bindings"
	cpuSeries      = "process_cpu_seconds_total"
	residentSeries = "process_resident_memory_bytes"
)

// A Watcher asks a server for its metrics again and again.
type Watcher struct {
	url    string
	client http.Client

	mu    sync.Mutex // guards what follows
	seen  Server
	first float64 // CPU seconds at the beginning
}

// Watch returns a Watcher for the metrics at url.
func Watch(url string) *Watcher {
	return &Watcher{url: url, client: http.Client{Timeout: 5 * time.Second}}
}

// Run asks every interval until ctx ends, and once more then.
func (w *Watcher) Run(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	w.ask(ctx)
	for {
		select {
		case <-ticker.C:
			w.ask(ctx)
		case <-ctx.Done():
			w.ask(context.WithoutCancel(ctx))
			return
		}
	}
}

// Seen returns what was seen so far.
func (w *Watcher) Seen() *Server {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.seen
	return &s
}

func (w *Watcher) ask(ctx context.Context) {
	values, err := w.get(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			w.seen.Failed++
		}
		return
	}
	cpu := values[cpuSeries]
	if w.seen.Asked == 0 {
		w.first = cpu
	}
	w.seen.Asked++
	w.seen.CPUSeconds = cpu - w.first
	w.seen.Parked = max(w.seen.Parked, values[parkedSeries])
	w.seen.Bindings = max(w.seen.Bindings, values[bindingsSeries])
	w.seen.Resident = max(w.seen.Resident, values[residentSeries])
}

func (w *Watcher) get(ctx context.Context) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url, nil)
	if err != nil {
		return nil, err
	}
	res, err := w.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metrics: %s", res.Status)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(res.Body)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	values := make(map[string]float64, len(families))
	for name, f := range families {
		for _, m := range f.GetMetric() {
			// One of the two is there.
			values[name] += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values, nil
}
