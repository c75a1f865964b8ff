package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"reveille/internal/admin"
)

// providersCommand shows how the push services are.
func (p program) providersCommand() *cobra.Command {
	return listCommand(p, listing[admin.Lanes]{
		Command: cobra.Command{
			Use:   "providers",
			Short: "Show the queues of a running server to the push services, and how those are",
		},
		path:  at("/v1/providers"),
		print: p.printProviders,
	})
}

func (p program) printProviders(answer *admin.Lanes) error {
	t := newTable("APP", "PROVIDER", "PART", "WAITING", "UNDER WAY", "STATE", "LAST OK", "LAST FAILURE")
	for i := range answer.Lanes {
		l := &answer.Lanes[i]
		t.add(l.App, l.Provider, l.Part, l.Queued, fmt.Sprintf("%d of %d", l.InFlight, l.Limit), stateOf(l), when(l.LastOK), failureOf(l))
	}
	if err := p.printTable(t, "no app is configured (push.apps)"); err != nil {
		return err
	}
	for i := range answer.Lanes {
		if l := &answer.Lanes[i]; l.Said != "" {
			fmt.Fprintf(p.stdout, "\n%s: %s\n", visible(l.App), visible(l.Said))
			p.printMend(l.Do)
		}
	}
	return nil
}

// printMend says what to do, if that is known.
func (p program) printMend(do string) {
	if do != "" {
		fmt.Fprintf(p.stdout, "%s %s\n", p.painted(bold, "What to do:"), visible(do))
	}
}

// stateOf is what a lane does.
func stateOf(l *admin.Lane) cell {
	switch {
	case l.PausedFor != "":
		return cell{"rests until " + when(l.PausedUntil) + " (" + l.PausedFor + ")", red}
	case l.Failures > 0:
		return cell{counted(l.Failures, "failure"), yellow}
	case l.LastOK.IsZero():
		return cell{"not used yet", faint}
	}
	return cell{"well", green}
}

func failureOf(l *admin.Lane) string {
	if l.LastFailure.IsZero() {
		return "-"
	}
	return when(l.LastFailure) + " " + l.LastReason
}
