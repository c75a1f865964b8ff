package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"reveille/internal/admin"
	"reveille/push"
)

// A wakeOrder is what `wake` was told.
type wakeOrder struct {
	target
	order admin.WakeOrder
	wait  time.Duration
	json  bool
}

// wakeCommand wakes the phones of a user.
func (p program) wakeCommand() *cobra.Command {
	var o wakeOrder
	cmd := &cobra.Command{
		Use:   "wake AOR",
		Short: "Wake a user's phones by push now, and say how long they took to register",
		Long: "Wake a user's phones by push now, and say how long they took to register. The running server does it. By\n" +
			"default the push is one that refreshes a registration; with --kind call it says that a call comes: phones\n" +
			"may ring, and iPhones do.",
		Args:              exactly(1, "one user"),
		ValidArgsFunction: p.completeAOR(),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.order.AOR = args[0]
			return p.wakePhones(cmd, o)
		},
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.order.Kind, "kind", push.Refresh.String(), "what the push is for: call, message or refresh")
	f.DurationVar(&o.wait, "wait", 30*time.Second, "how long the phones may take")
	jsonFlag(cmd, &o.json)
	return cmd
}

// wakePhones runs `wake`.
func (p program) wakePhones(cmd *cobra.Command, o wakeOrder) (err error) {
	if o.order.Seconds, err = wholeSeconds(o.wait); err == nil {
		err = o.order.Check()
	}
	if err != nil {
		return usageError{err}
	}
	if o.order.Kind == push.Call.String() {
		fmt.Fprintln(p.stderr, "reveille: this push says that a call comes; phones may ring, and iPhones do")
	}
	var answer admin.WakeResults
	if err := p.ask(cmd, o.target, func(ctx context.Context, c control) error {
		return c.do(ctx, http.MethodPost, "/v1/wake", o.order, &answer)
	}); err != nil {
		return err
	}
	if o.json {
		err = printJSON(p.stdout, answer)
	}
	for i := range answer.Results {
		w := &answer.Results[i]
		if !w.Registered {
			err = errors.Join(err, errReported)
		}
		if !o.json {
			p.printWake(w)
		}
	}
	return err
}

func (p program) printWake(w *admin.WakeResult) {
	if !w.OK() {
		printPush(p.stdout, &w.PushResult)
		return
	}
	fmt.Fprintln(p.stdout, heading(&w.PushResult))
	fmt.Fprintf(p.stdout, "  The push service took the push in %d ms.\n", w.ElapsedMS)
	if w.Registered {
		fmt.Fprintf(p.stdout, "  The phone registered after %.1f s.\n", float64(w.RegisteredMS)/1000)
		return
	}
	fmt.Fprintf(p.stdout, "  %s\n", visible(w.Then))
	if w.Do != "" {
		fmt.Fprintf(p.stdout, "  What to do: %s\n", visible(w.Do))
	}
}
