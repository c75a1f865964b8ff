package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
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

// Bounds of a list of registrations: what a page of the API has, what is listed if
// nobody says, and what can be asked for.
const (
	pageOfContacts = contacts.MaxLimit
	listUsually    = 1000
	listMost       = 100_000
)

func (p program) bindingsListCommand() *cobra.Command {
	var t target
	var asJSON bool
	var filter func() url.Values
	var after string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List the registrations of a running server, by user",
		Long: "List the registrations of a running server, by user. The server has them in no order: if there are more than\n" +
			"--limit, what is listed is in order, and what --after goes on with is in order again. `reveille dump` has all.",
		Example: "  reveille bindings list --provider apns\n  reveille bindings list --ip 192.0.2.7 --json",
		Args:    exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > listMost {
				return usageError{fmt.Errorf("--limit is %d: write 1 to %d", limit, listMost)}
			}
			v := filter()
			if after != "" {
				v.Set("after", after)
			}
			return p.ask(cmd, t, func(ctx context.Context, c control) error {
				l, err := c.listContacts(ctx, v, limit)
				switch {
				case err != nil:
					return err
				case asJSON:
					return printJSON(p.stdout, l)
				}
				return p.printContacts(&l)
			})
		},
	}
	t.flags(cmd)
	jsonFlag(cmd, &asJSON)
	filter = p.filterFlags(cmd)
	cmd.Flags().StringVar(&after, "after", "", "go on where the list before ended")
	cmd.Flags().IntVar(&limit, "limit", listUsually, "how many, or a few more: a user is not torn apart")
	return cmd
}

// listContacts returns the contacts that v means, by user: as many as limit says or a
// few more.
func (c control) listContacts(ctx context.Context, v url.Values, limit int) (contacts.ContactList, error) {
	all := contacts.ContactList{Contacts: []contacts.Contact{}}
	for {
		v.Set("limit", strconv.Itoa(min(limit-len(all.Contacts), pageOfContacts)))
		var page contacts.ContactList
		if err := c.do(ctx, http.MethodGet, "/v1/contacts?"+v.Encode(), nil, &page); err != nil {
			return all, err
		}
		all.Contacts, all.Next = append(all.Contacts, page.Contacts...), page.Next
		// A server that gives the same place again would be asked for ever.
		if page.Next == "" || page.Next == v.Get("after") || len(all.Contacts) >= limit {
			break
		}
		v.Set("after", page.Next)
	}
	all.Count = len(all.Contacts)
	// Those of a user stay in the order in which the phones first registered.
	slices.SortStableFunc(all.Contacts, func(a, b contacts.Contact) int { return cmp.Compare(a.AOR, b.AOR) })
	return all, nil
}

func (p program) printContacts(l *contacts.ContactList) error {
	t := newTable("USER", "BINDING", "STATE", "UNTIL", "PUSH", "CONTACT", "PHONE")
	for i := range l.Contacts {
		c := &l.Contacts[i]
		t.add(c.AOR, c.ID, stateCell(c.State), when(c.Expires), c.Provider, c.Contact, c.UserAgent)
	}
	if err := p.printTable(t, "no phone is registered that is meant"); err != nil {
		return err
	}
	if l.Next != "" {
		fmt.Fprintf(p.stderr, "reveille: there are more: --after %s, or a larger --limit\n", visible(l.Next))
	}
	return nil
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
