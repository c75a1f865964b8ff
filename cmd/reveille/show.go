package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"reveille/internal/contacts"
	"reveille/usrloc"
)

// showCommand shows the registrations of a user of a running server.
func (p program) showCommand() *cobra.Command {
	var t target
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show {USER | BINDING}",
		Short: "Show the phones of a user of a running server, or the one of a binding, and how they wake",
		Example: "  reveille bindings show alice@example.com\n" +
			"  reveille bindings show 0c4e5c3f2a9d4e1f8a7b6c5d4e3f2a1b",
		Args:              exactly(1, "one user or binding"),
		ValidArgsFunction: p.completeAOR(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.ask(cmd, t, func(ctx context.Context, c control) error { return p.show(ctx, c, args[0], asJSON) })
		},
	}
	t.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (p program) show(ctx context.Context, c control, whose string, asJSON bool) error {
	list, err := c.contactsOf(ctx, whose)
	switch {
	case err != nil:
		return err
	case asJSON:
		return printJSON(p.stdout, list)
	case len(list.Contacts) == 0:
		fmt.Fprintf(p.stdout, "%s has no phone\n", visible(whose))
		return nil
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for i := range list.Contacts {
		showOne(w, &list.Contacts[i])
	}
	return w.Flush()
}

// contactsOf returns the contacts of a user, or the one with an id.
func (c control) contactsOf(ctx context.Context, whose string) (list contacts.ContactList, err error) {
	if _, err := usrloc.ParseBindingID(whose); err == nil {
		var one contacts.Contact
		err := c.do(ctx, http.MethodGet, "/v1/bindings/"+whose, nil, &one)
		return contacts.ContactList{Contacts: []contacts.Contact{one}, Count: 1}, err
	}
	// Of one user they are on one page, and none is no failure.
	err = c.do(ctx, http.MethodGet, "/v1/contacts?"+url.Values{"aor": {whose}}.Encode(), nil, &list)
	return list, err
}

func showOne(w io.Writer, b *contacts.Contact) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %s\t%s\n", name, visible(fmt.Sprintf(format, args...)))
	}
	fmt.Fprintln(w, visible(b.ID))
	line("user", "%s", b.AOR)
	if b.State == contacts.Dormant {
		line("state", "dormant since %s, kept until %s", when(b.Expires), when(b.Retained))
	} else {
		line("state", "%s, registered until %s", b.State, when(b.Expires))
	}
	if b.Flow == "" {
		line("contact", "%s", b.Contact)
	} else {
		line("contact", "%s by %s", b.Contact, b.Flow)
	}
	if b.UserAgent != "" {
		line("phone", "%s", b.UserAgent)
	}
	if slices.Contains(b.Flags, contacts.Static) {
		line("registered", "added by hand %s, first %s", when(b.Modified), when(b.Created))
	} else {
		line("registered", "%s, first %s", when(b.Modified), when(b.Created))
	}
	if b.Provider == "" {
		line("push", "none")
		return
	}
	if b.RefreshAt.IsZero() {
		line("push", "%s", b.Provider)
	} else {
		line("push", "%s, next at %s", b.Provider, when(b.RefreshAt))
	}
	showHabit(line, b.Wake)
}

// showHabit shows how a phone wakes.
func showHabit(line func(name, format string, args ...any), k *contacts.WakeHabit) {
	switch {
	case k == nil:
		line("wakes", "nothing known since the server started")
	case k.Successes == 0:
		line("wakes", "never, of %d pushes", k.Failures)
	default:
		line("wakes", "%s after a push; %d of %d pushes, last %s", lasting(1000*k.Average), k.Successes, k.Successes+k.Failures, when(k.Last))
	}
	if k != nil && !k.FailingSince.IsZero() {
		line("", "not since %s", when(k.FailingSince))
	}
}
