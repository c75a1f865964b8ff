package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reveille/internal/admin"
)

// statusCommand says whether a server takes traffic.
func (p program) statusCommand() *cobra.Command {
	var t target
	var quiet, asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how a running server is",
		Long: "Say how a running server is. The exit code is 0 if it takes traffic, and 1 if not: it starts, stops, or does not\n" +
			"answer. With --quiet it asks only for what http.addr tells anyone, and needs no token.",
		Example: "  reveille status\n  reveille status --quiet --server http://127.0.0.1:8080   # for a container's health check",
		Args:    exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := p.ask(cmd, t, func(ctx context.Context, c control) error {
				if quiet {
					return isReady(ctx, c)
				}
				return p.showStatus(ctx, c, asJSON)
			})
			if err != nil && quiet && exitCode(err) == exitFailed {
				return fmt.Errorf("%w, %w", errReported, err)
			}
			return err
		},
	}
	t.flags(cmd)
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// showStatus shows how a server is; one that takes no traffic is a failure.
func (p program) showStatus(ctx context.Context, c control, asJSON bool) error {
	var s admin.Status
	if err := c.do(ctx, http.MethodGet, "/v1/status", nil, &s); err != nil {
		return err
	}
	var err error
	if asJSON {
		err = printJSON(p.stdout, s)
	} else {
		p.printStatus(&s)
	}
	if err == nil && !s.Ready {
		err = errReported
	}
	return err
}

func (p program) printStatus(s *admin.Status) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(p.stdout, "%s  %s\n", p.painted(faint, fmt.Sprintf("%-13s", name)), visible(fmt.Sprintf(format, args...)))
	}
	switch {
	case s.Draining:
		fmt.Fprintln(p.stdout, p.painted(red, "It stops: what is under way ends, and nothing else is taken."))
	case !s.Ready:
		fmt.Fprintln(p.stdout, p.painted(red, "It takes no traffic yet."))
	case s.Overloaded:
		fmt.Fprintln(p.stdout, p.painted(yellow, "It takes traffic, and refuses some: it is overloaded."))
	default:
		fmt.Fprintln(p.stdout, p.painted(green, "It takes traffic."))
	}
	line("version", "%s, node %d", s.Version, s.Node)
	line("running", "since %s (%s)", when(s.Started), time.Duration(s.UptimeS)*time.Second)
	line("configuration", "loaded %s, generation %d", when(s.Config.Loaded), s.Config.Generation)
	r := &s.Registrations
	line("registrations", "%s of %s, %d can be woken", counted(r.Bindings, "phone"), counted(r.Users, "user"), r.Wakeable)
	if n := r.Counted; n != nil {
		line("", "%d awake, %d asleep, %d dormant, %d unreachable", n.Awake, n.Asleep, n.Dormant, n.Unreachable)
	}
	line("waiting", "%s", counted(s.Waiting, "request"))
	line("store", "%s, %d updates to be written", s.Store.Durability, s.Store.Pending)
	for _, l := range s.Listeners {
		line("listener", "%s %s %s", l.Name, l.Transport, l.Addr)
	}
}

// isReady asks for what a health check is told.
func isReady(ctx context.Context, c control) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	resp, err := c.open(ctx, http.MethodGet, "/readyz", http.Header{}, http.NoBody)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxLine))
	if err != nil {
		return fmt.Errorf("read the answer of the server on %s: %w", c.name, cleaned(err))
	}
	if !bytes.HasPrefix(text, []byte("ready")) {
		return fmt.Errorf("the server on %s answers something else: is that a reveille?", c.name)
	}
	return nil
}

// reloadCommand has a server read its files again.
func (p program) reloadCommand() *cobra.Command {
	var t target
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have a running server read its configuration, users and certificates again",
		Long: "Have a running server read its configuration, users and certificates again, and say which keys have changed.\n" +
			"A file with problems changes nothing, and the problems are printed.",
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.ask(cmd, t, func(ctx context.Context, c control) error {
				var done admin.Reloaded
				if err := c.do(ctx, http.MethodPost, "/v1/reload", nil, &done); err != nil {
					return err
				}
				if asJSON {
					return printJSON(p.stdout, done)
				}
				p.printReloaded(&done)
				return nil
			})
		},
	}
	t.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (p program) printReloaded(r *admin.Reloaded) {
	if len(r.Changed) == 0 {
		fmt.Fprintln(p.stdout, "reloaded; no key has changed")
	} else {
		fmt.Fprintln(p.stdout, "reloaded:", visible(strings.Join(r.Changed, ", ")))
	}
	if len(r.Restart) > 0 {
		fmt.Fprintln(p.stdout, p.painted(yellow, "as before until a restart:"), visible(strings.Join(r.Restart, ", ")))
	}
}
