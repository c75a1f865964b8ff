package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// flatOptions say how much is done.
type flatOptions struct {
	few, many int
	seconds   time.Duration // of refreshes
	settle    time.Duration // between the fill and the reading of memory
	configs   string
}

// A flatOutcome is what a number of bindings costs.
type flatOutcome struct {
	bindings   int
	refresh    float64 // CPU, µs
	rate       float64 // a second
	slowest    float64 // µs
	perBinding float64 // bytes
}

// A restart is what came after kill -9.
type restart struct {
	bindings int // that the server has again
	took     time.Duration
}

// flat measures few bindings, then many, and kills the server that has many.
func flat(l *lab, o flatOptions, progress io.Writer) (few, many flatOutcome, again restart, err error) {
	text, err := os.ReadFile(filepath.Join(o.configs, "bench-fsync.yaml"))
	if err != nil {
		return few, many, again, err
	}
	if few, err = flatOne(l, string(text), o, o.few, progress, nil); err != nil {
		return few, many, again, err
	}
	many, err = flatOne(l, string(text), o, o.many, progress, &again)
	return few, many, again, err
}

// flatOne measures a server with n bindings. If again is given the server is
// killed in the end and started once more.
func flatOne(l *lab, config string, o flatOptions, n int, progress io.Writer, again *restart) (f flatOutcome, err error) {
	if err := os.RemoveAll(filepath.Join(l.dir, storeDir)); err != nil {
		return f, err
	}
	s, err := l.reveille(config, l.cores.server)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	p, err := s.newPhones(n, false)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	empty, err := s.family.pss()
	if err != nil {
		return f, err
	}
	first, err := p.do(fill(n))
	if err != nil {
		return f, err
	}
	time.Sleep(o.settle)
	full, err := s.family.pss()
	if err != nil {
		return f, err
	}
	r, err := p.do(refresh(o.seconds))
	if err != nil {
		return f, err
	}
	f = flatOutcome{
		bindings: first.ok, refresh: r.cpu, rate: r.rate, slowest: r.slowest, perBinding: float64(full-empty) / float64(first.ok),
	}
	fmt.Fprintf(progress, "%d bindings: refresh %.1f µs, %.0f/s, p99 %.0f µs, %.0f B a binding, %d refreshes\n",
		f.bindings, f.refresh, f.rate, f.slowest, f.perBinding, r.ok)
	if again == nil {
		return f, nil
	}
	if err := s.kill(); err != nil {
		return f, err
	}
	// The phones are quiet meanwhile: it has the machine.
	next, err := l.reveille(config, l.cores.server, l.cores.load)
	if err != nil {
		return f, fmt.Errorf("start again: %w", err)
	}
	*s = *next // It is what is to be stopped.
	again.took = s.ready
	again.bindings, err = s.gauge("reveille_usrloc_bindings")
	fmt.Fprintf(progress, "%d bindings again %.2f s after the start\n", again.bindings, again.took.Seconds())
	return f, err
}

// gauge asks the server for a metric without labels.
func (s *server) gauge(name string) (int, error) {
	resp, err := http.Get("http://" + s.http + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return readGauge(resp.Body, name)
}

// readGauge finds a value without labels in the text that Prometheus reads.
func readGauge(r io.Reader, name string) (int, error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			v, err := strconv.ParseFloat(text, 64)
			return int(v), err
		}
	}
	return 0, errors.Join(fmt.Errorf("there is no %s", name), lines.Err())
}

// flatTable shows what flat measured.
func flatTable(few, many flatOutcome, again restart) string {
	t := newTable("bindings", "refresh", "refreshes/s", "p99", "bytes a binding")
	for _, f := range []flatOutcome{few, many} {
		t.row(thousands(float64(f.bindings)), micro(f.refresh), thousands(f.rate), micro(f.slowest), thousands(f.perBinding))
	}
	return t.b.String() + fmt.Sprintf("\nWith %s bindings a refresh costs %.2f times what it costs with %s. After `kill -9` the server had %s bindings again, and served, in %.1f s.\n",
		thousands(float64(many.bindings)), many.refresh/max(few.refresh, 1e-9), thousands(float64(few.bindings)), thousands(float64(again.bindings)), again.took.Seconds())
}
