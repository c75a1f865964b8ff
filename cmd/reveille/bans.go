package main

import (
	"context"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"reveille/internal/admin"
)

// bansCommand shows the sources that a running server does not listen to, and
// ends bans.
func (p program) bansCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bans",
		Short: "Show who is banned by a running server, and end bans",
		Args:  cobra.ArbitraryArgs,
		RunE:  group,
	}
	cmd.AddCommand(p.bansListCommand(), p.bansRemoveCommand())
	return cmd
}

func (p program) bansListCommand() *cobra.Command {
	return listCommand(p, listing[admin.BanList]{
		Command: cobra.Command{Use: "list", Short: "List sources, reasons and ends"},
		path:    at("/v1/bans"),
		print: func(l *admin.BanList) error {
			t := newTable("SOURCE", "REASON", "WHAT", "UNTIL")
			for _, b := range l.Bans {
				what := "everything"
				if b.DatagramsOnly {
					what = "datagrams"
				}
				t.add(b.Source, b.Reason, what, when(b.Until))
			}
			return p.printTable(t, "nobody is banned")
		},
	})
}

func (p program) bansRemoveCommand() *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:     "rm ADDRESS",
		Short:   "End the ban of the source with that address",
		Example: "  reveille bans rm 192.0.2.7\n  reveille bans rm 2001:db8:0:1::/64",
		Args:    exactly(1, "one address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := admin.ParseSource(args[0])
			if err != nil {
				return usageError{err}
			}
			return p.ask(cmd, t, func(ctx context.Context, c control) error {
				return c.do(ctx, http.MethodDelete, "/v1/bans?source="+url.QueryEscape(addr.WithZone("").String()), nil, nil)
			})
		},
	}
	t.flags(cmd)
	return cmd
}
