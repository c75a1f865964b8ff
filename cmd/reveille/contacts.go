package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"reveille/internal/contacts"
)

// filterFlags adds the flags that say which registrations are meant, and returns what
// they ask for.
func (p program) filterFlags(cmd *cobra.Command) func() url.Values {
	values := map[string]*string{}
	several := map[string]*[]string{}
	for _, f := range []struct{ flag, query, usage string }{
		{"aor", "aor", "of this user"},
		{"contact", "contact", "with this Contact URI"},
		{"call-id", "call_id", "whose last REGISTER had this Call-ID"},
		{"next-hop", "next_hop", "that requests reach by this address or name"},
		{"instance", "instance", "of the phone with this +sip.instance"},
		{"provider", "provider", "woken by this push service"},
		{"prid", "prid", "with this push token, unescaped; others on this machine can see it while the command runs"},
		{"user-agent", "ua", "whose User-Agent matches this expression (RE2)"},
	} {
		values[f.query] = cmd.Flags().String(f.flag, "", "only those "+f.usage)
	}
	several["ip"] = cmd.Flags().StringArray("ip", nil, "only those seen at this address; may be repeated: at one of them")
	several["port"] = cmd.Flags().StringArray("port", nil, "and at this port there: one for each --ip, in the same order")
	return func() url.Values {
		v := url.Values{}
		for name, list := range several {
			if len(*list) > 0 {
				v[name] = *list
			}
		}
		for name, value := range values {
			if *value != "" {
				v.Set(name, *value)
			}
		}
		return v
	}
}

func (p program) bindingsListCommand() *cobra.Command {
	var filter func() url.Values
	var after string
	var limit int
	cmd := listCommand(p, listing[contacts.ContactList]{
		Command: cobra.Command{
			Use: "list", Short: "List the registrations of a running server",
			Example: "  reveille bindings list --provider apns\n  reveille bindings list --ip 192.0.2.7 --json",
		},
		path: func([]string) string {
			v := filter()
			v.Set("limit", strconv.Itoa(limit))
			if after != "" {
				v.Set("after", after)
			}
			return "/v1/contacts?" + v.Encode()
		},
		print: func(l *contacts.ContactList) error {
			t := newTable("USER", "BINDING", "STATE", "UNTIL", "PUSH", "CONTACT", "PHONE")
			for i := range l.Contacts {
				c := &l.Contacts[i]
				t.add(c.AOR, c.ID, stateCell(c.State), when(c.Expires), c.Provider, c.Contact, c.UserAgent)
			}
			if err := p.printTable(t, "no phone is registered that is meant"); err != nil {
				return err
			}
			if l.Next != "" {
				fmt.Fprintf(p.stderr, "reveille: there are more: --after %s\n", visible(l.Next))
			}
			return nil
		},
	})
	filter = p.filterFlags(cmd)
	cmd.Flags().StringVar(&after, "after", "", "go on where the list before ended")
	cmd.Flags().IntVar(&limit, "limit", 100, "how many, or a few more: a user is not torn apart; 1 to 1000")
	return cmd
}

func stateCell(state string) cell {
	switch state {
	case "awake":
		return cell{state, green}
	case "unreachable":
		return cell{state, red}
	case "dormant":
		return cell{state, yellow}
	}
	return cell{state, plain}
}

func (p program) bindingsRemoveCommand() *cobra.Command {
	var t target
	var asJSON bool
	var filter func() url.Values
	cmd := &cobra.Command{
		Use:   "rm {BINDING | --aor AOR | --ip ADDRESS ...}",
		Short: "Remove registrations from a running server",
		Long: "Remove registrations from a running server: one by its id, or all that the flags mean. Callers who wait for such\n" +
			"a phone are told at once. The phones may register again. `reveille bindings list` with the same flags shows\n" +
			"beforehand what is meant.",
		Example: "  reveille bindings rm 0c4e5c3f2a9d4e1f8a7b6c5d4e3f2a1b\n  reveille bindings rm --aor sip:alice@example.com",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			v := filter()
			if (len(args) == 1) == (len(v) > 0) {
				return usageError{errors.New("name either one binding, or by flags those that are meant")}
			}
			return p.ask(cmd, t, func(ctx context.Context, c control) error {
				removed, err := c.removeContacts(ctx, args, v)
				if asJSON {
					return errors.Join(printJSON(p.stdout, contacts.Removal{Removed: removed, Count: len(removed)}), err)
				}
				for i := range removed {
					fmt.Fprintf(p.stdout, "%s %s: removed\n", visible(removed[i].AOR), visible(removed[i].ID))
				}
				if err == nil && len(removed) == 0 {
					fmt.Fprintln(p.stdout, "no phone is registered that is meant")
				}
				return err
			})
		},
	}
	t.flags(cmd)
	jsonFlag(cmd, &asJSON)
	filter = p.filterFlags(cmd)
	return cmd
}

// removeContacts removes one contact, or those that v means, a page at a time. What
// was removed is told even if there is an error.
func (c control) removeContacts(ctx context.Context, id []string, v url.Values) ([]contacts.Contact, error) {
	removed := []contacts.Contact{}
	if len(id) == 1 {
		var one contacts.Contact
		if err := c.do(ctx, http.MethodDelete, "/v1/bindings/"+url.PathEscape(id[0]), nil, &one); err != nil {
			return removed, err
		}
		return append(removed, one), nil
	}
	for {
		var page contacts.Removal
		if err := c.do(ctx, http.MethodDelete, "/v1/contacts?"+v.Encode(), nil, &page); err != nil {
			return removed, err
		}
		removed = append(removed, page.Removed...)
		if page.Next == "" || page.Next == v.Get("after") {
			return removed, nil
		}
		v.Set("after", page.Next)
	}
}

func (p program) bindingsAddCommand() *cobra.Command {
	var t target
	var asJSON bool
	var a contacts.Addition
	var q float64
	cmd := &cobra.Command{
		Use:     "add AOR CONTACT",
		Short:   "Add a contact by hand, for a device that does not register",
		Example: "  reveille bindings add sip:desk@example.com 'sip:desk@192.0.2.20:5060;transport=tcp'",
		Args:    exactly(2, "a user and a Contact URI"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.Contact = args[1]
			if cmd.Flags().Changed("q") {
				a.Q = &q
			}
			return p.ask(cmd, t, func(ctx context.Context, c control) error {
				var added contacts.Contact
				if err := c.do(ctx, http.MethodPost, "/v1/aors/"+url.PathEscape(args[0])+"/contacts", a, &added); err != nil {
					return err
				}
				if asJSON {
					return printJSON(p.stdout, added)
				}
				fmt.Fprintf(p.stdout, "%s %s: added\n", visible(added.AOR), visible(added.ID))
				return nil
			})
		},
		ValidArgsFunction: p.completeAOR(),
	}
	t.flags(cmd)
	jsonFlag(cmd, &asJSON)
	f := cmd.Flags()
	f.Float64Var(&q, "q", 0, "the preference, 0 to 1")
	f.Int64Var(&a.Expires, "expires", 0, "seconds; 0: until it is removed")
	f.StringArrayVar(&a.Path, "path", nil, "a Path value with lr, the topmost first; may be repeated")
	return cmd
}
