package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"reveille/internal/admin"
)

// statsCommand shows figures by the names that other registrars have for them.
func (p program) statsCommand() *cobra.Command {
	return listCommand(p, listing[admin.Stats]{
		Command: cobra.Command{
			Use:   "stats",
			Short: "Show figures of a running server by the names that OpenSIPS and Kamailio have for them",
			Long: "Show figures of a running server by the names that the registrar and usrloc modules of OpenSIPS and Kamailio\n" +
				"have for them. /metrics has many more.",
		},
		path: at("/v1/stats"),
		print: func(s *admin.Stats) error {
			t := newTable("NAME", "VALUE")
			for _, row := range []struct {
				name  string
				value any
			}{
				{"accepted_regs", s.AcceptedRegs},
				{"rejected_regs", s.RejectedRegs},
				{"max_expires", s.MaxExpires},
				{"max_contacts", s.MaxContacts},
				{"default_expires", s.DefaultExpires},
				{"defaults_expires", s.DefaultsExpires},
				{"registered_users", s.RegisteredUsers},
				{"location_users", s.LocationUsers},
				{"location_contacts", s.LocationContacts},
				{"location_expires", s.LocationExpires},
			} {
				t.add(row.name, row.value)
			}
			return p.printTable(t, "")
		},
	})
}

// flushCommand waits until registrations are on the disk.
func (p program) flushCommand() *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:   "flush",
		Short: "Wait until all registrations of a running server are on the disk",
		Long: "Wait until all registrations that a running server has acknowledged are on the disk. With store.durability\n" +
			"fsync they are; with write they are seconds later, unless this asks for it.",
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.ask(cmd, t, func(ctx context.Context, c control) error {
				if err := c.do(ctx, http.MethodPost, "/v1/flush", nil, nil); err != nil {
					return err
				}
				_, err := fmt.Fprintln(p.stdout, "all registrations are on the disk")
				return err
			})
		},
	}
	t.flags(cmd)
	return cmd
}
