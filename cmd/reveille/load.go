package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"reveille/internal/load"
	"reveille/push/pushsim"
)

// loadFlags are the flags of all scenarios; each command has those of its own.
type loadFlags struct {
	target, domain           string
	allowRemote              bool
	phones, sockets          int
	password, algorithm      string
	plain                    bool
	expires                  load.Span
	window                   int
	rate                     float64
	over                     time.Duration
	pushListen, pushDir      string
	http, jsonFile, chart    string
	interval                 time.Duration
	quiet                    bool
	duration                 time.Duration
	refreshWindow            int
	refreshRate              float64
	random                   bool
	calls                    int
	callRate                 float64
	callWindow               int
	asleep, dead             float64
	wake, ring, answer, hold load.Span
	settle                   time.Duration
	stormPhones              int
	stormOver                time.Duration
	trigger                  time.Duration
}

// loadCommand holds the scenarios.
func (p program) loadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Measure a server with simulated phones",
		Long: "Measure a server with simulated phones that register, refresh, sleep, are called, wake and answer.\n" +
			"`reveille load prepare DIR` writes a configuration for the server and the credentials of the pretend\n" +
			"push services; start the server with it, then run a scenario. The summary goes to standard output,\n" +
			"what happens meanwhile to standard error. A signal ends a run in order, a second one at once.\n" +
			"The exit code is 1 if anything failed.",
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	cmd.AddCommand(
		p.scenario("register", "All phones register", nil, registerPlan),
		p.scenario("refresh", "All phones register, then refresh for a time", refreshFlags, refreshPlan),
		p.scenario("calls", "Phones register, fall asleep and are called", func(f *pflag.FlagSet, l *loadFlags) {
			callFlags(f, l, 1)
			f.IntVar(&l.calls, "calls", 100, "calls to make")
		}, callsPlan),
		p.scenario("storm", "Many phones register again at once while calls go on", func(f *pflag.FlagSet, l *loadFlags) {
			callFlags(f, l, 0.5)
			f.IntVar(&l.stormPhones, "storm-phones", 500, "phones that register again, of those that are awake")
			f.DurationVar(&l.stormOver, "storm-over", 10*time.Second, "time in which they do, with calls all the while")
		}, stormPlan),
		p.scenario("due", "Phones sleep and are woken before their registrations end", dueFlags, duePlan),
		p.prepareCommand(),
	)
	return cmd
}

// A plan turns flags into what is done.
type plan func(l *loadFlags, o *load.Options)

// scenario is one command.
func (p program) scenario(name, short string, own func(*pflag.FlagSet, *loadFlags), build plan) *cobra.Command {
	l := &loadFlags{}
	cmd := &cobra.Command{
		Use:   name,
		Short: short,
		Args:  exactly(0, "no argument, only flags"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.runLoad(cmd.Context(), l, build)
		},
	}
	commonFlags(cmd.Flags(), l)
	if own != nil {
		own(cmd.Flags(), l)
	}
	return cmd
}

func commonFlags(f *pflag.FlagSet, l *loadFlags) {
	f.SortFlags = false
	f.StringVar(&l.target, "target", "127.0.0.1:5984", "UDP address of the server")
	f.BoolVar(&l.allowRemote, "allow-remote", false, "load a server on another machine; it must be yours")
	f.StringVar(&l.domain, "domain", "example.com", "domain of the phones, which are u0000000, u0000001, ...")
	f.IntVar(&l.phones, "phones", 1000, "simulated phones")
	f.IntVar(&l.sockets, "sockets", 16, "UDP sockets that the phones share")
	f.StringVar(&l.password, "password", "", "password of all phones; empty if the server asks nobody")
	f.StringVar(&l.algorithm, "algorithm", "", "digest algorithm, MD5 or SHA-256; empty takes what the server offers first")
	f.BoolVar(&l.plain, "plain", false, "phones cannot be woken by push")
	l.expires = load.Span{Min: time.Hour, Max: time.Hour}
	f.Var(&l.expires, "expires", "lifetime that phones ask for; a range is drawn from each time")
	f.IntVar(&l.window, "window", 256, "first registrations under way at once (closed loop)")
	f.Float64Var(&l.rate, "rate", 0, "first registrations per second (open loop) in place of --window")
	f.DurationVar(&l.over, "over", 0, "time over which the first registrations are spread (open loop) in place of --rate")
	f.StringVar(&l.http, "http", "", "HTTP address of the server, to read its metrics from")
	f.StringVar(&l.jsonFile, "json", "", "write the summary as JSON to this file; - is standard output, in place of the text")
	f.StringVar(&l.chart, "chart", "", "draw latency over time into this file, .svg or .png")
	f.DurationVar(&l.interval, "interval", time.Second, "time between two lines of progress and two points of the chart")
	f.BoolVar(&l.quiet, "quiet", false, "no progress on standard error")
}

func refreshFlags(f *pflag.FlagSet, l *loadFlags) {
	f.DurationVar(&l.duration, "duration", 10*time.Second, "how long phones refresh")
	f.IntVar(&l.refreshWindow, "refresh-window", 256, "refreshes under way at once (closed loop)")
	f.Float64Var(&l.refreshRate, "refresh-rate", 0, "refreshes per second (open loop) in place of --refresh-window")
	f.BoolVar(&l.random, "random", false, "refresh at random and not in turn")
}

func pushFlags(f *pflag.FlagSet, l *loadFlags) {
	f.StringVar(&l.pushListen, "push-listen", "127.0.0.1:5986", "address of the pretend push services")
	f.StringVar(&l.pushDir, "push-dir", "reveille-load", "folder that `reveille load prepare` wrote")
	l.wake = load.Span{Min: 50 * time.Millisecond, Max: 2 * time.Second}
	f.Var(&l.wake, "wake-delay", "time between a push and the REGISTER of the phone that it wakes")
	f.Float64Var(&l.dead, "dead", 0, "share of the sleeping phones that no push wakes, such as 0.01")
}

func callFlags(f *pflag.FlagSet, l *loadFlags, asleep float64) {
	pushFlags(f, l)
	f.Float64Var(&l.callRate, "call-rate", 10, "calls per second (open loop); 0 for --call-window")
	f.IntVar(&l.callWindow, "call-window", 10, "calls at once if --call-rate is 0 (closed loop)")
	f.Float64Var(&l.asleep, "asleep", asleep, "share of the calls that are to sleeping phones, each of which is called once")
	f.Var(&l.ring, "ring-delay", "time between the INVITE at a phone and its 180")
	f.Var(&l.answer, "answer-delay", "time between the 180 and the 200")
	l.hold = load.Span{Min: time.Second, Max: time.Second}
	f.Var(&l.hold, "hold", "time between the answer and the BYE of the caller")
	f.DurationVar(&l.settle, "settle", 31*time.Second, "time between the sleep of the phones and the first call; a server takes a UDP flow for alive for a while")
}

func dueFlags(f *pflag.FlagSet, l *loadFlags) {
	pushFlags(f, l)
	f.DurationVar(&l.duration, "duration", time.Minute, "how long pushes are waited for")
	f.DurationVar(&l.trigger, "trigger", 2*time.Minute, "push.trigger_interval of the server, to tell which pushes are late")
}

// options turns the flags into what a Load takes.
func (l *loadFlags) options(build plan) (load.Options, error) {
	var o load.Options
	addr, err := net.ResolveUDPAddr("udp", l.target)
	if err != nil || addr.IP == nil {
		return o, fmt.Errorf("--target %s is no address with a port", l.target)
	}
	o = load.Options{
		Target: netip.AddrPortFrom(addr.AddrPort().Addr().Unmap(), addr.AddrPort().Port()), AllowRemote: l.allowRemote,
		Domain: l.domain, Phones: l.phones, Sockets: l.sockets, Password: l.password, Algorithm: strings.ToUpper(l.algorithm),
		Expires: l.expires, Dead: l.dead, WakeDelay: l.wake, RingDelay: l.ring, AnswerDelay: l.answer, Hold: l.hold,
		Trigger: l.trigger, Interval: l.interval,
	}
	if !l.plain {
		o.Push = load.Push{Provider: "fcm", Param: pushsim.ProjectID}
	}
	build(l, &o)
	if err := o.Check(); err != nil {
		if errors.Is(err, load.ErrRemote) {
			err = fmt.Errorf("%w; --allow-remote if it is yours to load", err)
		}
		return o, err
	}
	if l.interval == 0 {
		return o, errors.New("--interval 0s is too short")
	}
	if l.chart != "" {
		if _, err := l.chartFormat(); err != nil {
			return o, err
		}
	}
	return o, nil
}

func (l *loadFlags) chartFormat() (string, error) {
	format := strings.TrimPrefix(filepath.Ext(l.chart), ".")
	if !slices.Contains(load.ChartFormats(), format) {
		return "", fmt.Errorf("--chart %s: the name ends in none of %s", l.chart, strings.Join(load.ChartFormats(), ", "))
	}
	return format, nil
}

// runLoad does a run until its end or a signal.
func (p program) runLoad(ctx context.Context, l *loadFlags, build plan) error {
	o, err := l.options(build)
	if err != nil {
		return usageError{err}
	}
	if !l.quiet {
		o.Progress = func(phase string, r load.Row) { fmt.Fprintln(p.stderr, progressLine(phase, r)) }
	}
	var s *load.Summary
	err = p.interruptible(ctx, func(ctx context.Context) (err error) {
		s, err = l.measure(ctx, o)
		return err
	})
	if err != nil {
		return err
	}
	return p.report(l, s)
}

// measure does the run, with the pretend push services if phones can be woken.
func (l *loadFlags) measure(ctx context.Context, o load.Options) (*load.Summary, error) {
	run, err := load.New(o)
	if err != nil {
		return nil, err
	}
	if l.pushListen != "" {
		sim, err := l.startPush(run)
		if err != nil {
			return nil, errors.Join(err, run.Close())
		}
		// After the run: what comes then is dropped.
		defer func() { _ = sim.Close() }()
	}
	if l.http == "" {
		return run.Run(ctx)
	}
	watcher := load.Watch("http://" + l.http + "/metrics")
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	// Ends with stop, below.
	go func() {
		defer close(done)
		watcher.Run(watching, l.interval/2)
	}()
	s, err := run.Run(ctx)
	stop()
	<-done
	if err == nil {
		s.Server = watcher.Seen()
	}
	return s, err
}

// progressLine is a row for people: only what there is.
func progressLine(phase string, r load.Row) string {
	parts := []string{fmt.Sprintf("%-8s %6.1f s", phase, r.Seconds)}
	if r.Registers > 0 {
		parts = append(parts, fmt.Sprintf("REGISTER %6d, p50 %.2f p99 %.2f ms", r.Registers, r.Register.P50, r.Register.P99))
	}
	if r.Answered > 0 {
		parts = append(parts, fmt.Sprintf("%5d answered, added p50 %.2f p99 %.2f ms", r.Answered, r.Added.P50, r.Added.P99))
	}
	if r.Open > 0 {
		parts = append(parts, fmt.Sprintf("%d calls, %d held", r.Open, r.Held))
	}
	if r.Pushes > 0 {
		parts = append(parts, fmt.Sprintf("%d pushes", r.Pushes))
	}
	if r.Failed > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", r.Failed))
	}
	return strings.Join(parts, "  ")
}

// report writes the summary wherever the flags say. What failed in the run makes
// the command fail.
func (p program) report(l *loadFlags, s *load.Summary) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write the summary: %w", err)
	}
	text = append(text, '\n')
	if l.jsonFile == "-" {
		_, err = p.stdout.Write(text)
	} else {
		err = s.WriteText(p.stdout)
		if l.jsonFile != "" {
			err = errors.Join(err, os.WriteFile(l.jsonFile, text, 0o644))
		}
	}
	if l.chart != "" {
		err = errors.Join(err, l.draw(s))
	}
	if err != nil {
		return fmt.Errorf("write the summary: %w", err)
	}
	if n := s.Failed(); n > 0 {
		return fmt.Errorf("%d failed", n)
	}
	return nil
}

func (l *loadFlags) draw(s *load.Summary) (err error) {
	format, err := l.chartFormat()
	if err != nil {
		return err
	}
	file, err := os.Create(l.chart)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return s.WriteChart(file, format)
}
