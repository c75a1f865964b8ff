package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

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
	var file, store string
	cmd.PersistentFlags().StringVar(&file, "config", "", "the server's configuration file")
	cmd.PersistentFlags().StringVar(&store, "store", "", "store.dir of a server that leaves control.socket at its default")
	ask := func(do func(context.Context, control) error) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, _ []string) error {
			c, err := p.server(file, store)
			if err != nil {
				return err
			}
			return do(cmd.Context(), c)
		}
	}
	list := &cobra.Command{
		Use: "list {--config FILE | --store DIR}", Short: "List sources, reasons and ends", Args: exactly(0, "no arguments"),
		RunE: ask(p.listBans),
	}
	remove := &cobra.Command{
		Use: "rm {--config FILE | --store DIR} ADDRESS", Short: "End the ban of the source with that address", Args: exactly(1, "one address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := admin.ParseSource(args[0])
			if err != nil {
				return usageError{err}
			}
			return ask(func(ctx context.Context, c control) error {
				return c.do(ctx, http.MethodDelete, "/v1/bans?source="+url.QueryEscape(addr.WithZone("").String()), nil, nil)
			})(cmd, args)
		},
	}
	cmd.AddCommand(list, remove)
	return cmd
}

func (p program) listBans(ctx context.Context, c control) error {
	var l admin.BanList
	if err := c.do(ctx, http.MethodGet, "/v1/bans", nil, &l); err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, b := range l.Bans {
		what := "everything"
		if b.DatagramsOnly {
			what = "datagrams"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\tuntil %s\n", b.Source, b.Reason, what, b.Until.Format(time.RFC3339))
	}
	return w.Flush()
}
