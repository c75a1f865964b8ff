package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run runs one command line and returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	err := command(args, stdout, stderr)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		return 2
	}
	fmt.Fprintln(stderr, "compare:", err)
	return 1
}

// settings are the flags of all commands.
type settings struct {
	binary, configs, dir, write, only string
	users, rounds                     int
	seconds, settle, lasts            time.Duration
	quick                             bool
}

func command(args []string, stdout, stderr io.Writer) error {
	name := "compare"
	if len(args) > 0 && slices.Contains([]string{"flat", "churn", "tls", "push", "calls", "overload", "users", pushServer}, args[0]) {
		name, args = args[0], args[1:]
	}
	switch name {
	case "users":
		return printUsers(args, stdout)
	case pushServer:
		return servePushes(os.Stdin, stdout)
	}
	var s settings
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.binary, "server", "bin/reveille", "the server's binary")
	flags.StringVar(&s.configs, "configs", "configs", "the folder of bench.yaml")
	flags.StringVar(&s.dir, "dir", "bin", "a folder on a disk, in which one is made for stores")
	flags.StringVar(&s.write, "write", "", "the document to write the table to, besides standard output")
	flags.BoolVar(&s.quick, "quick", false, "measure little: to see that all works")
	flags.IntVar(&s.users, "users", 0, "how many users there are; 0 for what suits")
	flags.IntVar(&s.rounds, "rounds", 0, "how often to repeat a comparison; 0 for what suits")
	flags.DurationVar(&s.seconds, "seconds", 0, "how long to refresh; 0 for what suits")
	flags.DurationVar(&s.settle, "settle", 0, "how long to wait before memory is read; 0 for what suits")
	flags.StringVar(&s.only, "only", "", "compare only those in whose names this is")
	flags.DurationVar(&s.lasts, "lasts", 0, "how long the churn lasts; 0 for ten minutes")
	if err := flags.Parse(args); err != nil {
		return errors.Join(flag.ErrHelp, err)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown command %q", flags.Arg(0))
	}
	two, err := takeCores()
	if err != nil {
		return err
	}
	return s.inLab(two, func(l *lab) error {
		body, err := s.measure(name, l, stderr)
		if err != nil {
			return err
		}
		fmt.Fprint(stdout, body)
		if s.write == "" {
			return nil
		}
		return write(s.write, name, body)
	})
}

// inLab makes a folder for do, and removes it afterwards.
func (s *settings) inLab(two cores, do func(*lab) error) (err error) {
	binary, err := filepath.Abs(s.binary)
	if err != nil {
		return err
	}
	parent, err := filepath.Abs(s.dir)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(parent, "bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return do(&lab{cores: two, binary: binary, dir: dir})
}

// measure does what the command says and returns its table.
func (s *settings) measure(name string, l *lab, progress io.Writer) (string, error) {
	switch name {
	case "flat":
		return s.flat(l, progress)
	case "churn":
		return s.churn(l, progress)
	case "tls":
		return s.secure(l, progress)
	case "push":
		return s.push(l, progress)
	case "calls":
		return s.calls(l, progress)
	case "overload":
		return s.overload(l, progress)
	}
	o := roundOptions{users: 200_000, rounds: 3, seconds: 6 * time.Second, settle: 2 * time.Second, configs: s.configs, only: s.only}
	if s.quick {
		o.users, o.rounds, o.seconds, o.settle = 20_000, 1, 2*time.Second, time.Second
	}
	o.users, o.rounds, o.seconds, o.settle = or(s.users, o.users), or(s.rounds, o.rounds), or(s.seconds, o.seconds), or(s.settle, o.settle)
	outcomes, err := compare(l, o, progress)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s; %s. %s users, rounds: %d.\n\n%s", machine(l.dir), kamailioVersion(), thousands(float64(o.users)), o.rounds, comparison(outcomes)), nil
}

func (s *settings) flat(l *lab, progress io.Writer) (string, error) {
	o := flatOptions{few: 10_000, many: 1_000_000, seconds: 30 * time.Second, settle: 30 * time.Second, configs: s.configs}
	if s.quick {
		o.few, o.many, o.seconds, o.settle = 1000, 20_000, 2*time.Second, time.Second
	}
	o.many, o.seconds, o.settle = or(s.users, o.many), or(s.seconds, o.seconds), or(s.settle, o.settle)
	few, many, again, err := flat(l, o, progress)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s. Refreshes for %.0f s; memory was read %.0f s after the last registration.\n\n%s",
		machine(l.dir), o.seconds.Seconds(), o.settle.Seconds(), flatTable(few, many, again)), nil
}

func (s *settings) churn(l *lab, progress io.Writer) (string, error) {
	o := churnOptions{users: 100_000, rate: 1000, warm: 2 * time.Minute, lasts: 10 * time.Minute, settle: 150 * time.Second, configs: s.configs}
	if s.quick {
		o.users, o.warm, o.lasts, o.settle = 10_000, 10*time.Second, 20*time.Second, time.Second
	}
	o.users, o.lasts, o.settle = or(s.users, o.users), or(s.lasts, o.lasts), or(s.settle, o.settle)
	samples, err := churn(l, o, progress)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s. For %.0f minutes, %s new users that stay for a minute and %s of the others with new Call-IDs come in turn, %.0f a second, "+
		"every phone from another port each time. The same went on for %.1f minutes before; memory before and after was read %.0f s after the last guest had gone.\n\n%s",
		machine(l.dir), o.lasts.Minutes(), thousands(churnStep.Seconds()*o.rate),
		thousands(churnStep.Seconds()*o.rate), o.rate, o.warm.Minutes(), o.settle.Seconds(), churnTable(samples)), nil
}

func (s *settings) secure(l *lab, progress io.Writer) (string, error) {
	o := secureOptions{conns: 2000, rounds: 3, seconds: 4 * time.Second, settle: time.Second, configs: s.configs}
	if s.quick {
		o.conns, o.rounds, o.seconds, o.settle = 200, 1, time.Second, 100*time.Millisecond
	}
	o.conns, o.rounds, o.seconds, o.settle = or(s.users, o.conns), or(s.rounds, o.rounds), or(s.seconds, o.seconds), or(s.settle, o.settle)
	outcomes, err := secure(l, o, progress)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s; %s. %s connections, rounds: %d.\n\n%s",
		machine(l.dir), kamailioVersion(), thousands(float64(o.conns)), o.rounds, secureTable(outcomes)), nil
}

func (s *settings) push(l *lab, progress io.Writer) (string, error) {
	o := pushOptions{only: s.only, rounds: 10, pushes: 4000, cold: 200, seconds: 2 * pairedWindow}
	if s.quick {
		o.rounds, o.pushes, o.seconds = 1, 500, pairedWindow
	}
	o.rounds, o.seconds = or(s.rounds, o.rounds), or(s.seconds, o.seconds)
	body, err := pushes(l.cores.server, o, progress)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s. %s pushes of each kind, %d under way, rounds: %d.\n\n%s",
		machine(l.dir), thousands(float64(o.pushes)), pushWorkers, o.rounds, body), nil
}

func (s *settings) calls(l *lab, progress io.Writer) (string, error) {
	o := callOptions{rounds: 3, seconds: 8 * time.Second, settle: 33 * time.Second, configs: s.configs, only: s.only}
	if s.quick {
		o.rounds, o.seconds, o.settle = 1, 4*time.Second, time.Second
	}
	o.rounds, o.seconds, o.settle = or(s.rounds, o.rounds), or(s.seconds, o.seconds), or(s.settle, o.settle)
	outcomes, err := calls(l, o, progress)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s; %s. Calls for %.0f s at each rate, and %.0f s until they are forgotten, rounds: %d.\n\n%s",
		machine(l.dir), kamailioVersion(), o.seconds.Seconds(), o.settle.Seconds(), o.rounds, callTable(outcomes)), nil
}

func (s *settings) overload(l *lab, progress io.Writer) (string, error) {
	o := overloadOptions{rounds: 3, seconds: 10 * time.Second, configs: s.configs, only: s.only}
	if s.quick {
		o.rounds, o.seconds = 1, 3*time.Second
	}
	o.rounds, o.seconds = or(s.rounds, o.rounds), or(s.seconds, o.seconds)
	outcomes, err := overload(l, o, progress)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s. Calls for %.0f s at each rate, rounds: %d.\n\n%s", machine(l.dir), o.seconds.Seconds(), o.rounds, strainTable(outcomes)), nil
}

// or returns v, or what suits if that is zero.
func or[T int | time.Duration](v, suits T) T {
	if v == 0 {
		return suits
	}
	return v
}
