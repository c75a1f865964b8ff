package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"reveille/push/pushsim"
)

// options are the flags.
type options struct {
	listen, page, dir string
	wake              string
	wakeLimit         int
	showTokens        bool
	oneStream         bool
}

// run is the program without the process: it serves until ctx ends and returns
// the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	cmd := &cobra.Command{
		Use:           "pnsim",
		Short:         "Pretend to be APNs, FCM and Web Push",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(*cobra.Command, []string) error { return serve(ctx, o, stdout, stderr) },
	}
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:2197", "address of the push services")
	f.StringVar(&o.page, "page", "127.0.0.1:2198", "address of the page of what was received; empty for none")
	f.StringVar(&o.dir, "dir", "pnsim", "directory for the CA and the credentials; made if missing, kept if there")
	f.StringVar(&o.wake, "wake", "", "shell command to run for each push, for at most a minute; it gets PNSIM_PROVIDER, PNSIM_TOKEN, PNSIM_KIND, PNSIM_PUSH_ID, PNSIM_APP and PNSIM_PUSH_TYPE")
	f.IntVar(&o.wakeLimit, "wake-limit", 16, "commands that may run at a time")
	f.BoolVar(&o.showTokens, "show-tokens", false, "show tokens and payloads in the log and on the page")
	f.BoolVar(&o.oneStream, "one-stream", false, "allow one stream per APNs connection until the first valid push, as Apple does")
	if err := cmd.Execute(); err != nil {
		fmt.Fprintln(stderr, "pnsim:", err)
		return 1
	}
	return 0
}

// serve starts everything, prints how to use it, and waits for ctx.
func serve(ctx context.Context, o options, stdout, stderr io.Writer) error {
	// The configuration goes to stdout, so that it can be piped; all else here.
	log := slog.New(slog.NewTextHandler(stderr, nil))
	if o.wakeLimit < 1 {
		return errors.New("--wake-limit must be at least 1")
	}
	creds, err := loadCredentials(o.dir)
	if err != nil {
		return err
	}
	wakes := newWaker(o.wake, o.wakeLimit, log) //nolint:contextcheck // Its commands end with stop, after the push services.
	defer wakes.stop()
	sim, err := pushsim.Start(pushsim.Options{
		Addr: o.listen, Credentials: creds, Logger: log, OneStreamFirst: o.oneStream,
		OnPush: wakes.push,
		OnReceive: func(p pushsim.Push) {
			log.LogAttrs(ctx, slog.LevelInfo, "push", attrs(p, o.showTokens)...)
		},
	})
	if err != nil {
		return err
	}
	// Before the wakes stop, so that none is started after them.
	defer func() { _ = sim.Close() }()
	// The service account names the address, which is known only now.
	if err := writeFiles(o.dir, sim); err != nil {
		return err
	}
	apps, err := snippet(o.dir, sim)
	if err != nil {
		return err
	}
	fmt.Fprint(stdout, apps)
	log.Info("push services", "url", sim.URL())
	if o.page == "" {
		<-ctx.Done()
		return nil
	}
	return servePage(ctx, o, sim, log)
}

// servePage serves the page until ctx ends.
func servePage(ctx context.Context, o options, sim *pushsim.Server, log *slog.Logger) error {
	ln, err := net.Listen("tcp", o.page)
	if err != nil {
		return fmt.Errorf("listen for the page: %w", err)
	}
	srv := &http.Server{Handler: page(sim, o.showTokens), ReadHeaderTimeout: 5 * time.Second}
	log.Info("page", "url", "http://"+ln.Addr().String()+"/")
	ended := make(chan error, 1)
	// Ends with srv.Close below.
	go func() { ended <- srv.Serve(ln) }()
	select {
	case <-ctx.Done():
	case err := <-ended:
		return fmt.Errorf("serve the page: %w", err)
	}
	if err := srv.Close(); err != nil {
		return fmt.Errorf("close the page: %w", err)
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the page: %w", err)
	}
	return nil
}

// attrs are one push for the log. Tokens are secrets even of pretend services,
// for people paste logs.
func attrs(p pushsim.Push, showTokens bool) []slog.Attr {
	as := []slog.Attr{
		slog.String("provider", p.Provider), slog.String("app", p.App), slog.String("kind", p.Kind),
		slog.String("push_id", p.PushID), slog.String("push_type", p.PushType), slog.String("priority", p.Priority),
		slog.Int("status", p.Status), slog.String("reason", p.Reason),
	}
	if showTokens {
		as = append(as, slog.String("token", p.Token), slog.String("payload", p.Payload))
	}
	return as
}
