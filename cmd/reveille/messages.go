package main

import (
	"github.com/spf13/cobra"

	"reveille/internal/admin"
)

// messagesCommand shows for whom messages wait in a running server.
func (p program) messagesCommand() *cobra.Command {
	return listCommand(p, listing[admin.MessageList]{
		Command: cobra.Command{Use: "messages", Short: "Show for whom messages wait in a running server, and since when"},
		path:    at("/v1/messages"),
		print: func(l *admin.MessageList) error {
			t := newTable("USER", "MESSAGES", "BYTES", "OLDEST", "UNTIL")
			for _, u := range l.Users {
				t.add(u.User, u.Messages, u.Bytes, when(u.Oldest), when(u.Until))
			}
			return p.printTable(t, "no message waits")
		},
	})
}
