package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// callOptions say how many calls are made.
type callOptions struct {
	rounds  int
	seconds time.Duration // of calls at each rate
	// settle is how long is waited until the server has forgotten the calls, which
	// belongs to their cost: 64*T1 and a little.
	settle  time.Duration
	configs string // the folder of bench.yaml
	only    string // a part of the names of those to measure, empty for all
}

// fewCalls and manyCalls are how many calls a second are begun; both are far from what
// either server can do on a core.
const fewCalls, manyCalls = 200, 800

// A callContender is a server and the phone that is called through it.
type callContender struct {
	name string
	peer bool
	// contact are parameters of the Contact URI that the phone registers.
	contact string
	start   func(*lab) (*server, error)
	series  series
}

// callContenders are all, the peer first.
func callContenders(folder string) ([]callContender, error) {
	text, err := os.ReadFile(filepath.Join(folder, "bench.yaml"))
	if err != nil {
		return nil, err
	}
	own := func(l *lab) (*server, error) { return l.reveille(string(text), l.cores.server) }
	return []callContender{
		{name: "Kamailio", peer: true, start: (*lab).kamailioCalls},
		{name: "reveille, a plain phone", start: own},
		{name: "reveille, a phone with push, awake", start: own, contact: ";pn-provider=fcm;pn-param=example-app-project;pn-prid=one-of-a-kind"},
	}, nil
}

// calls runs all rounds.
func calls(l *lab, o callOptions, progress io.Writer) ([]callContender, error) {
	if _, err := findSIPp(); err != nil {
		return nil, err
	}
	all, err := callContenders(o.configs)
	if err != nil {
		return nil, err
	}
	var chosen []callContender
	for _, c := range all {
		if !strings.Contains(c.name, o.only) {
			continue
		}
		if _, err := findKamailio(); c.peer && err != nil {
			fmt.Fprintf(progress, "%v: there will be no ratios\n", err)
			continue
		}
		chosen = append(chosen, c)
	}
	for round := range o.rounds {
		for i := range chosen {
			c := &chosen[i]
			f, err := callsThrough(l, c, o)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			c.series = append(c.series, f)
			fmt.Fprintf(progress, "round %d, %-36s %s a call at %d/s, %s at %d/s, %.0f failed, %.0f sent again, INVITE to 180 %s, p99 %s\n", round+1, c.name+":",
				micro(f[fewCallsCPU]), fewCalls, micro(f[manyCallsCPU]), manyCalls, f[failedCalls], f[repeatedCalls], ticks(f[median]), ticks(f[slowest]))
		}
	}
	return chosen, nil
}

// callsThrough starts a server, has calls made through it at each rate, and stops
// it.
func callsThrough(l *lab, c *callContender, o callOptions) (f figures, err error) {
	s, err := c.start(l)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := enrol(s.target, c.contact); err != nil {
		return f, err
	}
	called, err := l.sipp("callee", calleeAddr)
	if err != nil {
		return f, err
	}
	stop := called.stop
	defer func() { err = errors.Join(err, stop()) }()
	// It has to open its socket.
	time.Sleep(time.Second)
	if _, err := l.call(s, fewCalls, fewCalls); err != nil { // warm up
		return f, err
	}
	var made int
	var after time.Duration
	for i, rate := range [...]int{fewCalls, manyCalls} {
		r, err := l.call(s, rate, int(o.seconds.Seconds()*float64(rate)))
		if err != nil {
			return f, err
		}
		f[fewCallsCPU+measure(i)] = microseconds(r.cpu) / float64(max(r.ok, 1))
		f[failedCalls] += float64(r.failed)
		f[repeatedCalls] += float64(r.repeated)
		f[median], f[slowest] = percentile(r.times, 50), percentile(r.times, 99)
		made, after = made+r.ok, r.after
	}
	time.Sleep(o.settle)
	forgotten, err := s.family.cpu()
	if err != nil {
		return f, err
	}
	rest := microseconds(forgotten-after) / float64(max(made, 1))
	f[fewCallsCPU] += rest
	f[manyCallsCPU] += rest
	stop = func() error { return nil }
	if err := called.stop(); err != nil {
		return f, err
	}
	n, err := called.counts()
	if err != nil {
		return f, err
	}
	f[repeatedCalls] += float64(n.repeated)
	return f, nil
}

// A callResult is what a run of calls came to.
type callResult struct {
	counts
	cpu   time.Duration // of the server meanwhile
	after time.Duration // CPU time of the server at the end
	times []float64     // from INVITE to 180, µs, in order of size
}

// call has n calls made through s at a rate. It is an error if more fail than a
// busy machine can be blamed for.
func (l *lab) call(s *server, rate, n int) (r callResult, err error) {
	before, err := s.family.cpu()
	if err != nil {
		return r, err
	}
	// What is sent again three times in vain is given up, and not hung up on: that
	// would be sent again for half a minute.
	caller, err := l.sipp("caller", callerAddr, s.target.String(), "-s", callee, "-r", strconv.Itoa(rate), "-m", strconv.Itoa(n),
		"-l", strconv.Itoa(max(n, 1)), "-trace_rtt", "-rtt_freq", "100", "-recv_timeout", "8000", "-default_behaviors", "all,-bye")
	if err != nil {
		return r, err
	}
	if err := caller.finish(); err != nil {
		return r, err
	}
	if r.after, err = s.family.cpu(); err != nil {
		return r, err
	}
	r.cpu = r.after - before
	if r.counts, err = caller.counts(); err != nil {
		return r, err
	}
	if r.times, err = caller.ringTimes(); err != nil {
		return r, err
	}
	if r.ok == 0 || r.failed*10 > r.ok {
		return r, fmt.Errorf("%d calls succeeded, %d failed: %s", r.ok, r.failed, caller.said())
	}
	return r, nil
}

// callTable shows what calls measured.
func callTable(outcomes []callContender) string {
	var peer series
	for _, o := range outcomes {
		if o.peer {
			peer = o.series
		}
	}
	t := newTable("", fmt.Sprintf("CPU a call at %d/s", fewCalls), "ratio", fmt.Sprintf("at %d/s", manyCalls), "ratio",
		"failed", "sent again", "INVITE to 180", "p99")
	for _, o := range outcomes {
		m := o.series.median()
		few, many := "", ""
		if !o.peer {
			few, many = ratio(o.series.against(peer, fewCallsCPU)), ratio(o.series.against(peer, manyCallsCPU))
		}
		t.row(o.name, micro(m[fewCallsCPU]), few, micro(m[manyCallsCPU]), many, thousands(o.series.total(failedCalls)), thousands(o.series.total(repeatedCalls)),
			ticks(m[median]), ticks(m[slowest]))
	}
	return t.b.String()
}

// ticks shows microseconds that SIPp's clock has measured, which ticks once in a
// millisecond.
func ticks(us float64) string {
	if us < 1000 {
		return "< 1 ms"
	}
	return micro(us)
}
