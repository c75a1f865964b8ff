package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// checkCommand takes the way of serve up to the first socket.
func (p program) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Report every problem of a configuration file",
		Long: "Report every problem of a configuration file as file:line:column: key: what; hint: ...\n" +
			"The exit code is 0 if serve would take the file (warnings are printed all the same), 3 if not.",
		Args: exactly(1, "one file"),
		RunE: func(_ *cobra.Command, args []string) error {
			if _, err := p.load(args[0]); err != nil {
				fmt.Fprintln(p.stderr, err)
				return fmt.Errorf("%w, %w", errReported, err)
			}
			fmt.Fprintf(p.stdout, "%s: ok\n", args[0])
			return nil
		},
	}
}
