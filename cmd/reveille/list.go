package main

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"
)

// A listing describes a command that shows what a running server answers to one
// question.
type listing[Answer any] struct {
	cobra.Command // its Use, texts and groups; without arguments unless it says so
	// path is that of the question.
	path func(args []string) string
	// print writes the answer for people.
	print func(*Answer) error
	// after says whether what was shown is a failure; nil: never.
	after func(*Answer) error
}

// listCommand makes a command of l, with the flags that name a server and --json.
func listCommand[Answer any](p program, l listing[Answer]) *cobra.Command {
	var t target
	var asJSON bool
	cmd := &l.Command
	if cmd.Args == nil {
		cmd.Args = exactly(0, "no arguments")
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return p.ask(cmd, t, func(ctx context.Context, c control) error {
			var answer Answer
			if err := c.do(ctx, http.MethodGet, l.path(args), nil, &answer); err != nil {
				return err
			}
			show := l.print
			if asJSON {
				show = func(a *Answer) error { return printJSON(p.stdout, a) }
			}
			if err := show(&answer); err != nil || l.after == nil {
				return err
			}
			return l.after(&answer)
		})
	}
	t.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// jsonFlag adds --json.
func jsonFlag(cmd *cobra.Command, asJSON *bool) {
	cmd.Flags().BoolVar(asJSON, "json", false, "print JSON, for programs")
}

// at is a path that no argument changes.
func at(path string) func([]string) string { return func([]string) string { return path } }
