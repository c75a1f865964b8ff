package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"reveille/configs"
	"reveille/internal/admin"
	"reveille/internal/app"
	"reveille/internal/auth"
)

// usersCommand holds what is done to the users of a users file.
func (p program) usersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "users",
		Short: "Add, change, remove and list the users of the users file",
		Long: "Add, change, remove and list the users of the users file (auth.users_file). What is not about the user in\n" +
			"question stays as it is, comments too. The file holds digests in place of passwords, of the kinds that the\n" +
			"configuration offers phones (auth.algorithms). A running server is told to take over the change.",
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	cmd.AddCommand(p.usersAddCommand(), p.usersPasswordCommand(), p.usersRemoveCommand(), p.usersListCommand())
	return cmd
}

// A usersOrder is what a command about users was told.
type usersOrder struct {
	target
	account  auth.Account
	stdin    bool // the password comes from standard input
	noReload bool
	json     bool
}

// flags adds the flags that all commands that change users have.
func (o *usersOrder) flags(cmd *cobra.Command) {
	configFlag(cmd, &o.target)
	f := cmd.Flags()
	f.StringVar(&o.account.Realm, "realm", "", "where the user logs in, if not in auth.realm")
	f.BoolVar(&o.noReload, "no-reload", false, "do not tell the running server")
	jsonFlag(cmd, &o.json)
}

func (o *usersOrder) passwordFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.stdin, "password-stdin", false, "read the password from the first line of standard input")
}

func (p program) usersAddCommand() *cobra.Command {
	var o usersOrder
	cmd := &cobra.Command{
		Use:     "add NAME",
		Short:   "Add a user; the password is asked for",
		Example: "  reveille users add alice\n  reveille users add bob --aor sip:sales@example.com --password-stdin <bob.password",
		Args:    exactly(1, "one name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.account.Name = args[0]
			return p.changeUsers(cmd, &o, "added", func(cfg *configs.Config, f *usersFile) error {
				if err := checkName(o.account.Name, cfg); err != nil {
					return err
				}
				return f.free(&o.account)
			}, func(cfg *configs.Config, f *usersFile, password string) ([]byte, error) {
				return f.add(hashed(o.account, cfg, password))
			})
		},
	}
	o.flags(cmd)
	o.passwordFlag(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&o.account.AORs, "aor", nil, "a further address that the user may register; may be repeated")
	f.IntVar(&o.account.MaxContacts, "max-contacts", 0, "how many phones each address may have; 0 is registrar.max_contacts")
	f.StringVar(&o.account.DisplayName, "display-name", "", "how the user is called in front of others")
	return cmd
}

func (p program) usersPasswordCommand() *cobra.Command {
	var o usersOrder
	cmd := &cobra.Command{
		Use:               "passwd NAME",
		Short:             "Change the password of a user; it is asked for",
		Args:              exactly(1, "one name"),
		ValidArgsFunction: p.completeUsers,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.account.Name = args[0]
			return p.changeUsers(cmd, &o, "changed", func(_ *configs.Config, f *usersFile) error {
				_, err := f.find(o.account.Name, o.account.Realm)
				return err
			}, func(cfg *configs.Config, f *usersFile, password string) ([]byte, error) {
				i, err := f.find(o.account.Name, o.account.Realm)
				if err != nil {
					return nil, err
				}
				return f.setPassword(i, hashed(f.accounts[i], cfg, password))
			})
		},
	}
	o.flags(cmd)
	o.passwordFlag(cmd)
	return cmd
}

func (p program) usersRemoveCommand() *cobra.Command {
	var o usersOrder
	cmd := &cobra.Command{
		Use:               "rm NAME",
		Short:             "Remove a user; phones stay registered until they would have to log in again",
		Args:              exactly(1, "one name"),
		ValidArgsFunction: p.completeUsers,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.account.Name = args[0]
			return p.changeUsers(cmd, &o, "removed", nil, func(_ *configs.Config, f *usersFile, _ string) ([]byte, error) {
				i, err := f.find(o.account.Name, o.account.Realm)
				if err != nil {
					return nil, err
				}
				return f.remove(i)
			})
		},
	}
	o.flags(cmd)
	return cmd
}

// A usersChange is what became of a change, for programs.
type usersChange struct {
	Name     string `json:"name"`
	Realm    string `json:"realm"`
	Did      string `json:"did"` // added, changed or removed
	File     string `json:"file"`
	Reloaded bool   `json:"reloaded"` // the running server has taken it over
}

// changeUsers edits the users file. What before says keeps a person from being asked
// for a password in vain; nil asks for none.
func (p program) changeUsers(cmd *cobra.Command, o *usersOrder, did string, before func(*configs.Config, *usersFile) error,
	edit func(cfg *configs.Config, f *usersFile, password string) ([]byte, error),
) error {
	cfg, path, err := p.usersFileOf(o.target)
	if err != nil {
		return err
	}
	if err := checkRealm(o.account.Realm, cfg); err != nil {
		return err
	}
	var password string
	if before != nil {
		f, err := readUsers(cfg, path)
		if err == nil {
			err = before(cfg, f)
		}
		if err == nil {
			password, err = p.newPassword(o.stdin)
		}
		if err != nil {
			return err
		}
	}
	err = editFile(path, func(text []byte) ([]byte, error) {
		f, err := parseUsers(string(cfg.Auth.UsersFile), text, cfg.Realm())
		if err != nil {
			return nil, err
		}
		return edit(cfg, f, password)
	}, func(draft string) error { return checkDraft(cfg, draft) })
	if err != nil {
		return err
	}
	done := usersChange{Name: o.account.Name, Realm: o.account.Realm, Did: did, File: path}
	if done.Realm == "" {
		done.Realm = cfg.Realm()
	}
	var note string
	if !o.noReload {
		done.Reloaded, note, err = p.reloadAfter(cmd, cfg)
	}
	if o.json {
		return errors.Join(printJSON(p.stdout, done), err)
	}
	fmt.Fprintf(p.stdout, "%s: %s\n", visible(done.Name), did)
	if note != "" {
		fmt.Fprintln(p.stderr, "reveille:", note)
	}
	return err
}

// usersFileOf returns the configuration and the path of its users file.
func (p program) usersFileOf(t target) (cfg *configs.Config, path string, err error) {
	if cfg, err = p.stored(t); err != nil {
		return nil, "", err
	}
	if cfg.Auth.UsersFile == "" {
		return nil, "", errors.New("the configuration names no users file; hint: make one by (umask 077; echo 'users:' >users.yaml) and name it as auth.users_file")
	}
	return cfg, string(cfg.Auth.UsersFile), nil
}

func readUsers(cfg *configs.Config, path string) (*usersFile, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseUsers(string(cfg.Auth.UsersFile), text, cfg.Realm())
}

// checkDraft has the server's own check read a file that is to be the users file.
func checkDraft(cfg *configs.Config, draft string) error {
	next := *cfg
	next.Auth.UsersFile = configs.SecretFile(draft)
	if err := app.CheckUsers(&next); err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), draft, string(cfg.Auth.UsersFile)))
	}
	return nil
}

// reloadAfter tells the running server to read its files again; note says why that
// was not to be done.
func (p program) reloadAfter(cmd *cobra.Command, cfg *configs.Config) (reloaded bool, note string, err error) {
	socket := cfg.ControlSocket()
	if socket == "" {
		return false, "the server has no control socket; the change is taken over at the next reload (SIGHUP) or start", nil
	}
	err = p.interruptible(cmd.Context(), func(ctx context.Context) error {
		var done admin.Reloaded
		return controlOn(socket).do(ctx, http.MethodPost, "/v1/reload", nil, &done)
	})
	switch {
	case noServer(err):
		return false, "no server is running; the change is taken over when it starts", nil
	case err != nil:
		return false, "", fmt.Errorf("the users file was changed, but the running server has not taken it over: %w", err)
	}
	return true, "", nil
}

// hashed is an account with the digests of a password that phones may be asked for.
func hashed(a auth.Account, cfg *configs.Config, password string) auth.Account {
	realm := a.Realm
	if realm == "" {
		realm = cfg.Realm()
	}
	names := slices.Clone(cfg.Auth.Algorithms)
	for _, o := range cfg.Auth.Offers {
		names = append(names, o.Algorithms...)
	}
	a.Password, a.HA1MD5, a.HA1SHA256, a.HA1SHA512256 = "", "", "", ""
	for _, name := range names {
		switch alg, _ := auth.ParseAlgorithm(string(name)); alg {
		case auth.MD5:
			a.HA1MD5 = alg.HA1(a.Name, realm, password)
		case auth.SHA256:
			a.HA1SHA256 = alg.HA1(a.Name, realm, password)
		case auth.SHA512256:
			a.HA1SHA512256 = alg.HA1(a.Name, realm, password)
		}
	}
	return a
}

// checkName reports what is no name to log in with.
func checkName(name string, cfg *configs.Config) error {
	const what = "; hint: a name is what the phone logs in with and stands before the @ of the address, such as alice"
	switch {
	case name == "":
		return usageError{errors.New("the name is empty" + what)}
	case strings.Contains(name, "@"):
		return usageError{fmt.Errorf("%q is an address%s; further addresses are given by --aor", visible(name), what)}
	case strings.ContainsFunc(name, func(r rune) bool { return r == ':' || unicode.IsSpace(r) || !unicode.IsPrint(r) }):
		// RFC 7616 §3.4.4: a colon would make what is hashed ambiguous.
		return usageError{fmt.Errorf("%q holds a colon, a blank or a control character%s", visible(name), what)}
	case !cfg.Registrar.AOR.CaseSensitive && name != strings.ToLower(name):
		return usageError{fmt.Errorf("%q is not in lower case, and registrar.aor.case_sensitive is false; hint: write %s", name, strings.ToLower(name))}
	}
	return nil
}

// checkRealm reports a realm in which nobody could log in.
func checkRealm(realm string, cfg *configs.Config) error {
	known := []string{cfg.Realm()}
	for _, r := range cfg.Realms() {
		known = append(known, r)
	}
	slices.Sort(known)
	known = slices.Compact(known)
	if realm != "" && !slices.Contains(known, realm) {
		return usageError{fmt.Errorf("%q is the realm of no domain; hint: known here: %s", visible(realm), strings.Join(known, ", "))}
	}
	return nil
}
