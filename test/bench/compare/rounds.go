package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// sockets is over how many UDP sockets the phones are spread.
	sockets = 8
	// fillWindow and refreshWindow are how many REGISTERs are under way at once.
	fillWindow, refreshWindow = 64, 128
	// pacedRate is that of the open loop.
	pacedRate = 5000
	// lifetime is what phones ask for: longer than a measurement.
	lifetime = time.Hour
)

// roundOptions say how much is done.
type roundOptions struct {
	users   int
	rounds  int
	seconds time.Duration // of refreshes, as many as go and at the fixed rate
	settle  time.Duration // between the fill and the reading of memory
	configs string        // the folder of bench.yaml and the others
	only    string        // a part of the names of those to measure, empty for all
}

// A contender is one of those that are compared.
type contender struct {
	name   string
	peer   bool
	digest bool
	start  func(*lab) (*server, error)
}

// contenders are all, the peer first.
func contenders(folder string) ([]contender, error) {
	all := []contender{{name: "Kamailio, in memory", peer: true, start: (*lab).kamailio}}
	for _, c := range []struct {
		name, file, durability string
	}{
		{"in memory", "bench.yaml", ""},
		{"`durability: write`", "bench-fsync.yaml", "write"},
		{"`durability: fsync`", "bench-fsync.yaml", ""},
		{"`fsync`, SHA-256 digest", "bench-digest.yaml", ""},
	} {
		text, err := os.ReadFile(filepath.Join(folder, c.file))
		if err != nil {
			return nil, err
		}
		config := string(text)
		if c.durability != "" {
			config = strings.Replace(config, "durability: fsync", "durability: "+c.durability, 1)
		}
		all = append(all, contender{
			name: c.name, digest: strings.Contains(config, "users_file:"),
			start: func(l *lab) (*server, error) { return l.reveille(config) },
		})
	}
	return all, nil
}

// An outcome is a contender with what it came to.
type outcome struct {
	contender
	series series
}

// compare runs all rounds. Without Kamailio there is no outcome of it.
func compare(l *lab, o roundOptions, progress io.Writer) ([]outcome, error) {
	all, err := contenders(o.configs)
	if err != nil {
		return nil, err
	}
	if err := writeUsersFile(filepath.Join(l.dir, usersFile), o.users); err != nil {
		return nil, err
	}
	var outcomes []outcome
	for _, c := range all {
		if !strings.Contains(c.name, o.only) {
			continue
		}
		if _, err := findKamailio(); c.peer && err != nil {
			fmt.Fprintf(progress, "%v: there will be no ratios\n", err)
			continue
		}
		outcomes = append(outcomes, outcome{contender: c})
	}
	for round := range o.rounds {
		for i := range outcomes {
			f, own, err := measureOne(l, outcomes[i].contender, o)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", outcomes[i].name, err)
			}
			outcomes[i].series = append(outcomes[i].series, f)
			fmt.Fprintf(progress, "round %d, %-24s first %5.1f µs, refresh %5.1f µs, %7.0f/s, p99 %5.0f µs, at %d/s p99 %5.0f µs, %5.0f B; the phones %.1f µs a refresh\n",
				round+1, outcomes[i].name+":", f[firstCPU], f[refreshCPU], f[refreshes], f[slowest], pacedRate, f[pacedSlowest], f[perBinding], own)
		}
	}
	return outcomes, nil
}

// measureOne starts a contender on nothing, measures it, and stops it. own is the
// CPU time of the phones for a refresh, in microseconds.
func measureOne(l *lab, c contender, o roundOptions) (f figures, own float64, err error) {
	if err := os.RemoveAll(filepath.Join(l.dir, storeDir)); err != nil {
		return f, own, err
	}
	s, err := c.start(l)
	if err != nil {
		return f, own, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	g, err := newGenerator(generatorOptions{target: s.target, users: o.users, sockets: sockets, digest: c.digest})
	if err != nil {
		return f, own, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	p := phase{users: o.users, push: true, expires: lifetime}
	empty, err := s.family.pss()
	if err != nil {
		return f, own, err
	}
	p.once, p.window = true, fillWindow
	fill, cost, err := s.under(g, p)
	if err != nil {
		return f, own, fmt.Errorf("first registrations: %w", err)
	}
	f[firstCPU] = cost
	time.Sleep(o.settle)
	full, err := s.family.pss()
	if err != nil {
		return f, own, err
	}
	f[perBinding] = float64(full-empty) / float64(fill.ok)
	p.once, p.window, p.lasts = false, refreshWindow, o.seconds
	r, cost, err := s.under(g, p)
	if err != nil {
		return f, own, fmt.Errorf("refreshes: %w", err)
	}
	f[refreshCPU], f[refreshes] = cost, r.rate()
	own = microseconds(r.own) / float64(r.ok)
	f[median], f[slowest] = microseconds(r.latencies.quantile(.5)), microseconds(r.latencies.quantile(.99))
	p.rate = pacedRate
	if r, err = g.load(p); err != nil {
		return f, own, fmt.Errorf("refreshes at %d/s: %w", pacedRate, err)
	}
	// What got no answer, because a server that came late was sent more than its
	// socket holds, waited for as long as anyone did.
	r.latencies[bucket(uint64(patience/time.Microsecond))] += uint64(r.lost)
	f[pacedMedian], f[pacedSlowest] = microseconds(r.latencies.quantile(.5)), microseconds(r.latencies.quantile(.99))
	return f, own, nil
}

// under loads the server with a phase and returns the CPU time that it spent on
// each REGISTER that succeeded, in microseconds.
func (s *server) under(g *generator, p phase) (*result, float64, error) {
	before, err := s.family.cpu()
	if err != nil {
		return nil, 0, err
	}
	r, err := g.load(p)
	if err != nil {
		return nil, 0, err
	}
	after, err := s.family.cpu()
	if err != nil {
		return nil, 0, err
	}
	if err := r.check(); err != nil {
		return nil, 0, err
	}
	return r, microseconds(after-before) / float64(r.ok), nil
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
