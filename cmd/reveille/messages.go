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

// messagesCommand shows for whom messages wait in a running server.
func (p program) messagesCommand() *cobra.Command {
	var file, store string
	cmd := &cobra.Command{
		Use:   "messages {--config FILE | --store DIR}",
		Short: "Show for whom messages wait in a running server, and since when",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.server(file, store)
			if err != nil {
				return err
			}
			return p.listMessages(cmd.Context(), c)
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "the server's configuration file")
	cmd.Flags().StringVar(&store, "store", "", "store.dir of a server that leaves control.socket at its default")
	return cmd
}

func (p program) listMessages(ctx context.Context, c control) error {
	var l admin.MessageList
	if err := c.do(ctx, http.MethodGet, "/v1/messages", nil, &l); err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, u := range l.Users {
		fmt.Fprintf(w, "%s\t%d messages\t%d bytes\tthe oldest from %s\n", u.User, u.Messages, u.Bytes, u.Oldest.Format(time.RFC3339))
	}
	return w.Flush()
}
