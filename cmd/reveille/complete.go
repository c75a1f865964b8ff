package main

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"reveille/internal/admin"
	"reveille/internal/contacts"
)

// A completer completes an argument.
type completer = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective)

// completionCommand prints what makes a shell complete command lines.
func (p program) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print what makes a shell complete command lines of this program",
		Long: "Print what makes a shell complete command lines of this program. Users, calls and the like are asked of the\n" +
			"running server that the line names, within a second; if it does not answer there are none.",
		Example: "  reveille completion bash >/etc/bash_completion.d/reveille\n" +
			"  reveille completion zsh >/usr/local/share/zsh/site-functions/_reveille\n" +
			"  reveille completion fish >/etc/fish/completions/reveille.fish",
		Args:      exactly(1, "one of bash, zsh and fish"),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(p.stdout, true)
			case "zsh":
				return root.GenZshCompletion(p.stdout)
			case "fish":
				return root.GenFishCompletion(p.stdout, true)
			}
			return usageError{errUnknownShell}
		},
	}
}

// completeTime bounds how long a shell waits, completeMost how much it gets.
const (
	completeTime = time.Second
	completeMost = "100"
)

// asked completes the first argument by what a running server answers; a failure is
// no answer.
func asked[Answer any](p program, path func(begun string) string, names func(*Answer) []string) completer {
	return func(cmd *cobra.Command, args []string, begun string) (all []string, _ cobra.ShellCompDirective) {
		const only = cobra.ShellCompDirectiveNoFileComp
		if len(args) > 0 {
			return nil, only
		}
		c, err := p.reach(targetOf(cmd))
		if err != nil {
			return nil, only
		}
		ctx, cancel := context.WithTimeout(context.Background(), completeTime)
		defer cancel()
		var answer Answer
		if err := c.do(ctx, http.MethodGet, path(begun), nil, &answer); err != nil {
			return nil, only
		}
		for _, name := range names(&answer) {
			all = append(all, visible(name))
		}
		return all, only
	}
}

// targetOf is the target that the flags of a command name.
func targetOf(cmd *cobra.Command) (t target) {
	for name, value := range map[string]*string{
		"config": &t.config, "store": &t.store, "server": &t.server, "token-file": &t.tokenFile, "cert": &t.cert, "key": &t.key, "cacert": &t.caCert,
	} {
		if f := cmd.Flags().Lookup(name); f != nil {
			*value = f.Value.String()
		}
	}
	return t
}

// completeAOR completes users who have phones.
func (p program) completeAOR() completer {
	return asked(p, func(begun string) string {
		return "/v1/aors?" + url.Values{"q": {begun}, "limit": {completeMost}}.Encode()
	},
		func(l *contacts.UserList) (names []string) {
			for i := range l.Users {
				names = append(names, l.Users[i].AOR)
			}
			return names
		})
}

// completeCall completes the ids of the last calls.
func (p program) completeCall() completer {
	return asked(p, func(string) string { return "/v1/calls?limit=" + completeMost }, func(l *admin.CallList) (names []string) {
		for i := range l.Calls {
			c := &l.Calls[i]
			names = append(names, c.ID+"\t"+c.Method+" "+c.AOR)
		}
		return names
	})
}

// completeProvider completes the push services of a running server.
func (p program) completeProvider() completer {
	return asked(p, func(string) string { return "/v1/providers" }, func(l *admin.Lanes) (names []string) {
		for i := range l.Lanes {
			names = append(names, l.Lanes[i].Provider)
		}
		return names
	})
}

// completeFlags gives all commands below cmd the completion of flags that mean the
// same everywhere.
func (p program) completeFlags(cmd *cobra.Command) {
	for name, f := range map[string]completer{"aor": p.completeAOR(), "provider": p.completeProvider()} {
		if cmd.Flags().Lookup(name) != nil {
			// The flag is there, and completed once.
			_ = cmd.RegisterFlagCompletionFunc(name, anyArguments(f))
		}
	}
	for _, c := range cmd.Commands() {
		p.completeFlags(c)
	}
}

// anyArguments is f for a flag, which may stand behind arguments.
func anyArguments(f completer) completer {
	return func(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		return f(cmd, nil, begun)
	}
}

// completeUsers completes the names of the users of the users file.
func (p program) completeUsers(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	users, err := p.listUsers(targetOf(cmd))
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, u := range users {
		names = append(names, u.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
