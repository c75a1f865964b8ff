package main

import (
	"context"
	"fmt"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"reveille/internal/admin"
)

// providersCommand shows how the push services are.
func (p program) providersCommand() *cobra.Command {
	var name serverName
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "providers {--config FILE | --store DIR}",
		Short: "Show the queues of a running server to the push services, and how those are",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.server(name.config, name.store)
			if err != nil {
				return err
			}
			return p.showProviders(cmd.Context(), c, asJSON)
		},
	}
	name.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (p program) showProviders(ctx context.Context, c control, asJSON bool) error {
	var answer admin.Lanes
	if err := c.do(ctx, http.MethodGet, "/v1/providers", nil, &answer); err != nil {
		return err
	}
	if asJSON {
		return printJSON(p.stdout, answer)
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "APP\tPROVIDER\tPART\tWAITING\tUNDER WAY\tSTATE\tLAST OK\tLAST FAILURE")
	for i := range answer.Lanes {
		l := &answer.Lanes[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d of %d\t%s\t%s\t%s\n", visible(l.App), visible(l.Provider), visible(l.Part),
			l.Queued, l.InFlight, l.Limit, stateOf(l), when(l.LastOK), failureOf(l))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for i := range answer.Lanes {
		if l := &answer.Lanes[i]; l.Said != "" {
			fmt.Fprintf(p.stdout, "\n%s: %s\n", visible(l.App), l.Said)
			if l.Do != "" {
				fmt.Fprintf(p.stdout, "What to do: %s\n", l.Do)
			}
		}
	}
	return nil
}

// stateOf is what a lane does.
func stateOf(l *admin.Lane) string {
	switch {
	case l.PausedFor != "":
		return "rests until " + when(l.PausedUntil) + " (" + l.PausedFor + ")"
	case l.Failures > 0:
		return counted(l.Failures, "failure")
	case l.LastOK.IsZero():
		return "not used yet"
	}
	return "well"
}

func failureOf(l *admin.Lane) string {
	if l.LastFailure.IsZero() {
		return "-"
	}
	return when(l.LastFailure) + " " + visible(l.LastReason)
}

func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(time.RFC3339)
}
