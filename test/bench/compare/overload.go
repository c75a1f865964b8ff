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

// overloadOptions say how much too much there is.
type overloadOptions struct {
	rounds  int
	seconds time.Duration // of calls at each rate
	configs string        // the folder of bench.yaml
	only    string        // a part of the names of those to measure, empty for all
}

// capacityTime is for how long calls are made to learn how many go, capacityCalls how
// many there are at a time meanwhile.
const (
	capacityTime  = 5 * time.Second
	capacityCalls = 50
)

// A strainCase is a server under a multiple of the calls that go.
type strainCase struct {
	name   string
	config string // what bench.yaml is followed by
	times  float64
	rounds []strainRound
}

// A strainRound is what came of one.
type strainRound struct {
	capacity, offered, completed float64 // calls/s
	refused, silent, repeated    float64 // of the calls begun
	slowest                      float64 // p99 of INVITE to 200, µs
}

// strainCases are all.
func strainCases() (all []strainCase) {
	for _, times := range []float64{0.5, 1.5, 2, 3} {
		all = append(all,
			strainCase{name: fmt.Sprintf("%.1f ×", times), times: times},
			strainCase{name: fmt.Sprintf("%.1f ×, `overload.target: 0s`", times), times: times, config: "overload: {target: 0s}\n"})
	}
	return all
}

// overload runs all rounds.
func overload(l *lab, o overloadOptions, progress io.Writer) ([]strainCase, error) {
	text, err := os.ReadFile(filepath.Join(o.configs, "bench.yaml"))
	if err != nil {
		return nil, err
	}
	var chosen []strainCase
	for _, c := range strainCases() {
		if strings.Contains(c.name, o.only) {
			chosen = append(chosen, c)
		}
	}
	for range o.rounds {
		capacity := 0.0
		for i := range chosen {
			c := &chosen[i]
			if i%2 == 0 {
				// Anew for each pair: what the machine can do changes.
				r, err := crowded(l, string(text), 0, capacityTime)
				if err != nil {
					return nil, err
				}
				capacity = float64(r.completed) / capacityTime.Seconds()
			}
			own := ownCPU()
			r, err := crowded(l, string(text)+c.config, c.times*capacity, o.seconds)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			n, s := float64(max(r.begun, 1)), o.seconds.Seconds()
			round := strainRound{capacity: capacity, offered: n / s, completed: float64(r.completed) / s, refused: float64(r.refused) / n,
				silent: float64(r.begun-r.completed-r.refused) / n, repeated: float64(r.repeated) / n, slowest: percentile(r.setups, 99)}
			c.rounds = append(c.rounds, round)
			fmt.Fprintf(progress, "%s: %.0f/s go, %.0f/s were begun, %.0f/s completed, %.0f %% refused, %.0f %% failed, %.2f sent again, p99 %s; load used %.0f %%\n",
				c.name, capacity, round.offered, round.completed, 100*round.refused, 100*round.silent, round.repeated, micro(round.slowest), 100*(ownCPU()-own).Seconds()/s)
		}
	}
	return chosen, nil
}

// crowded starts a server, has rate calls a second made through it, or as many as go
// if that is 0, and stops it.
func crowded(l *lab, text string, rate float64, lasts time.Duration) (r callersResult, err error) {
	s, err := l.reveille(text, l.cores.server)
	if err != nil {
		return r, err
	}
	// It is not of interest how calls that are left over end.
	defer func() { err = errors.Join(err, s.killAll()) }()
	if err := enrol(s.target, ""); err != nil {
		return r, err
	}
	c, err := newCallers(s.target)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if r = c.offer(rate, capacityCalls, lasts); r.completed == 0 {
		return r, fmt.Errorf("no call succeeded of %d: %s", r.begun, s.tail())
	}
	return r, nil
}

// strainTable shows what was measured: the median of the rounds.
func strainTable(outcomes []strainCase) string {
	t := newTable("", "offered", "completed", "of what goes", "refused", "failed", "sent again, a call", "p99 of INVITE to 200")
	for _, o := range outcomes {
		of := func(value func(strainRound) float64) float64 {
			var values []float64
			for _, r := range o.rounds {
				values = append(values, value(r))
			}
			return middle(values)
		}
		percent := func(v float64) string { return fmt.Sprintf("%.0f %%", 100*v) }
		t.row(o.name, thousands(of(func(r strainRound) float64 { return r.offered }))+"/s", thousands(of(func(r strainRound) float64 { return r.completed }))+"/s",
			percent(of(func(r strainRound) float64 { return r.completed / r.capacity })), percent(of(func(r strainRound) float64 { return r.refused })),
			percent(of(func(r strainRound) float64 { return r.silent })), fmt.Sprintf("%.2f", of(func(r strainRound) float64 { return r.repeated })),
			micro(of(func(r strainRound) float64 { return r.slowest })))
	}
	return t.b.String()
}
