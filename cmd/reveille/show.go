package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"reveille/internal/admin"
)

// showCommand shows the registrations of a user of a running server.
func (p program) showCommand() *cobra.Command {
	var t target
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show USER",
		Short: "Show the phones of a user of a running server, and how they wake",
		Args:  exactly(1, "one user"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.ask(cmd, t, func(ctx context.Context, c control) error { return p.show(ctx, c, args[0], asJSON) })
		},
	}
	t.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (p program) show(ctx context.Context, c control, user string, asJSON bool) error {
	var list admin.BindingList
	if err := c.do(ctx, http.MethodGet, "/v1/bindings?user="+url.QueryEscape(user), nil, &list); err != nil {
		return err
	}
	if asJSON {
		return printJSON(p.stdout, list)
	}
	if len(list.Bindings) == 0 {
		fmt.Fprintf(p.stdout, "%s has no phone\n", list.User)
		return nil
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for i := range list.Bindings {
		showOne(w, &list.Bindings[i])
	}
	return w.Flush()
}

func showOne(w io.Writer, b *admin.Binding) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %s\t%s\n", name, visible(fmt.Sprintf(format, args...)))
	}
	fmt.Fprintln(w, b.ID)
	switch {
	case b.State == admin.StateDormant:
		line("state", "dormant since %s, kept until %s", when(b.Expires), when(b.RetainUntil))
	case b.Awake:
		line("state", "awake, registered until %s", when(b.Expires))
	default:
		line("state", "asleep, registered until %s", when(b.Expires))
	}
	line("contact", "%s by %s", b.Contact, b.Flow)
	if b.UserAgent != "" {
		line("phone", "%s", b.UserAgent)
	}
	line("registered", "%s, first %s", when(b.Updated), when(b.Created))
	if b.Provider == "" {
		line("push", "none")
		return
	}
	if b.RefreshAt.IsZero() {
		line("push", "%s", b.Provider)
	} else {
		line("push", "%s, next at %s", b.Provider, when(b.RefreshAt))
	}
	switch k := b.Wake; {
	case k == nil:
		line("wakes", "nothing known since the server started")
	case k.Successes == 0:
		line("wakes", "never, of %d pushes", k.Failures)
	default:
		line("wakes", "%s after a push; %d of %d pushes, last %s", lasting(1000*k.Average), k.Successes, k.Successes+k.Failures, when(k.Last))
	}
	if k := b.Wake; k != nil && !k.FailingSince.IsZero() {
		line("", "not since %s", when(k.FailingSince))
	}
}
