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
			start: func(l *lab) (*server, error) { return l.reveille(config, l.cores.server) },
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
	p, err := s.newPhones(o.users, c.digest)
	if err != nil {
		return f, own, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	empty, err := s.family.pss()
	if err != nil {
		return f, own, err
	}
	r, err := p.do(fill(o.users))
	if err != nil {
		return f, own, err
	}
	time.Sleep(o.settle)
	full, err := s.family.pss()
	if err != nil {
		return f, own, err
	}
	f[firstCPU], f[perBinding] = r.cpu, float64(full-empty)/float64(r.ok)
	if r, err = p.do(refresh(o.seconds)); err != nil {
		return f, own, err
	}
	own = r.own
	f[refreshCPU], f[refreshes], f[median], f[slowest] = r.cpu, r.rate, r.median, r.slowest
	if r, err = p.do(paced(o.seconds)); err != nil {
		return f, own, err
	}
	f[pacedMedian], f[pacedSlowest] = r.median, r.slowest
	return f, own, nil
}
