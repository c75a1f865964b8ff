package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"reveille/internal/admin"
)

// statusCommand says whether a server takes traffic.
func (p program) statusCommand() *cobra.Command {
	var t target
	var quiet bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say whether a running server takes traffic",
		Long: "Say whether a running server takes traffic. The exit code is 0 if it does, and 1 if not: it starts, stops, or\n" +
			"does not answer. It asks for what http.addr tells anyone, so no token is needed.",
		Example: "  reveille status\n  reveille status --quiet --server http://127.0.0.1:8080   # for a container's health check",
		Args:    exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := p.ask(cmd, t, func(ctx context.Context, c control) error { return p.showStatus(ctx, c, quiet) })
			if err != nil && quiet && exitCode(err) == exitFailed {
				return fmt.Errorf("%w, %w", errReported, err)
			}
			return err
		},
	}
	t.flags(cmd)
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing")
	return cmd
}

func (p program) showStatus(ctx context.Context, c control, quiet bool) error {
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
	if !quiet {
		fmt.Fprintln(p.stdout, visible(strings.TrimSpace(string(text))))
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
