package main

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/emiago/sipgo/sip"
	"github.com/spf13/cobra"

	"reveille/internal/demo"
	"reveille/internal/phone"
)

func (p program) demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show a sleeping phone being woken for a call, all on this machine",
		Long: "Start the server, pretend push services and two simulated phones, put one phone to sleep,\n" +
			"call it, and print what happens. It takes about a second and uses 127.0.0.1 only.\n" +
			"The exit code is 0 if the phone rang and the call ended in good order.",
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			// The goroutine ends with the demonstration, which ends with a signal.
			go func() {
				select {
				case <-p.signals:
					cancel()
				case <-ctx.Done():
				}
			}()
			return p.demo(ctx, p.stdout)
		},
	}
}

// demonstrate runs the demonstration with colours on a terminal. It may change
// what sipgo keeps for the whole process, because the process does nothing else.
func demonstrate(ctx context.Context, out io.Writer) error {
	phone.AllowLargeDatagrams()
	sip.SetDefaultLogger(slog.New(slog.DiscardHandler))
	return demo.Run(ctx, demo.Options{Out: out, Colour: isTerminal(out) && os.Getenv("NO_COLOR") == ""})
}

// isTerminal reports whether out is a character device; of these, only a
// terminal has somebody who reads it.
func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
