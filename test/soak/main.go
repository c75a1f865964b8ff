package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"time"

	"github.com/emiago/sipgo/sip"

	"reveille/internal/phone"
)

func main() {
	// sipgo says much about connections that break, as they do here all the time.
	sip.SetDefaultLogger(slog.New(slog.DiscardHandler))
	phone.AllowLargeDatagrams()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// settings say how much is done.
type settings struct {
	binary string
	lasts  time.Duration
	settle time.Duration
	phones int
	rate   float64
	seed   uint64
	quick  bool
	only   string
	out    io.Writer
}

// run runs one command line and returns the exit code: 0 if nothing was wrong.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s := settings{out: stdout}
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.binary, "server", "bin/reveille", "the server's binary")
	flags.DurationVar(&s.lasts, "lasts", 30*time.Minute, "how long scenes begin")
	flags.DurationVar(&s.settle, "settle", settleTime, "how long the server may take to forget everything; less than the default leaves out what timers keep")
	flags.IntVar(&s.phones, "phones", 600, "how many phones there are")
	flags.Float64Var(&s.rate, "rate", 12, "how many scenes begin in a second")
	flags.Uint64Var(&s.seed, "seed", 0, "the choices; 0 for others each time")
	flags.BoolVar(&s.quick, "quick", false, "leave out scenes in which the server waits for somebody in vain")
	flags.StringVar(&s.only, "only", "", "play only the scenes in whose names this is")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if s.seed == 0 {
		s.seed = rand.Uint64N(1_000_000) + 1
	}
	if err := soak(ctx, s); err != nil {
		fmt.Fprintf(stderr, "soak: seed %d: %v\n", s.seed, err)
		return 1
	}
	fmt.Fprintf(stdout, "seed %d: nothing was wrong\n", s.seed)
	return 0
}

// soak plays, and returns all that was wrong.
func soak(ctx context.Context, s settings) (err error) {
	dir, err := os.MkdirTemp("", "reveille-soak-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	t, err := newTown(s, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	return t.live(ctx)
}
