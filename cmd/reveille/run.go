package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"reveille/configs"
)

// Exit codes, as other programs may rely on them.
const (
	exitOK      = 0
	exitFailed  = 1 // the server could not start or stop as it should
	exitUsage   = 2 // wrong arguments
	exitInvalid = 3 // the configuration has problems
)

// A program is everything that commands take from outside, so that a test can
// run them in process.
type program struct {
	input          io.Reader // standard input; nil is empty
	stdout, stderr io.Writer
	screen         screen
	lookupEnv      func(string) (string, bool)
	// readPassword asks a person for a password without showing it; nil if nobody
	// is there to be asked.
	readPassword func(question string) (string, error)
	// defaultConfig is looked at if nothing names a server; empty for none.
	defaultConfig string
	// signals delivers SIGTERM, SIGINT and SIGHUP.
	signals <-chan os.Signal
	// newServer builds what serve runs; nil leaves the command out.
	// Its reload is what the server's HTTP call for a reload does.
	newServer func(cfg *configs.Config, log *slog.Logger, reload reloader) (server, error)
	// check reports why newServer would refuse a configuration that is well
	// formed, and warnings what is unlikely to be meant; nil for nothing.
	check    func(cfg *configs.Config) error
	warnings func(cfg *configs.Config) []string
	// demo shows a phone being woken, start to end; nil leaves the command out.
	demo func(ctx context.Context, out io.Writer) error
}

// run runs one command line and returns the exit code.
func run(args []string, p program) int {
	root := &cobra.Command{
		Use:           "reveille",
		Short:         "SIP registrar and home proxy for phones that sleep (RFC 8599)",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE:          group,
	}
	root.SetArgs(args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	add := func(id, title string, commands ...*cobra.Command) {
		root.AddGroup(&cobra.Group{ID: id, Title: title})
		for _, c := range commands {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	run := []*cobra.Command{p.checkCommand(), p.configCommand(), p.reloadCommand(), p.usersCommand(), p.importCommand()}
	if p.newServer != nil {
		run = append(run, p.serveCommand())
	}
	if p.demo != nil {
		run = append(run, p.demoCommand())
	}
	add("run", "Run a server:", run...)
	add("see", "See how it is:", p.statusCommand(), p.whyCommand(), p.callsCommand(), p.parkedCommand(), p.providersCommand(),
		p.messagesCommand(), p.eventsCommand(), p.traceCommand(), p.statsCommand(), p.dumpCommand())
	add("do", "Do something about it:", p.bindingsCommand(), p.wakeCommand(), p.pushCommand(), p.wokenCommand(), p.bansCommand(), p.flushCommand())
	add("more", "More:", p.loadCommand(), p.versionCommand(), p.completionCommand(), p.manCommand())
	root.AddCommand(p.cliDocsCommand())
	tolerate(root)
	p.completeFlags(root)
	err := root.ExecuteContext(context.Background())
	if err != nil && !errors.Is(err, errReported) {
		fmt.Fprintln(p.stderr, "reveille:", err)
	}
	return exitCode(err)
}

// group answers for a command that only holds others: with help, or with an
// error if it was given something that it does not hold.
func group(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown command %q; see %s --help", args[0], cmd.CommandPath())}
	}
	return cmd.Help()
}

// tolerate has commands that only hold others pass over flags, so that a mistyped
// command is told of and not its flags.
func tolerate(cmd *cobra.Command) {
	cmd.FParseErrWhitelist.UnknownFlags = cmd.HasSubCommands()
	for _, c := range cmd.Commands() {
		tolerate(c)
	}
}

// usageError is a mistake on the command line.
type usageError struct{ error }

// errReported is returned by a command that has told the user already.
var errReported = errors.New("reported")

func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, configs.ErrInvalid):
		return exitInvalid
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, errReported):
		return exitFailed
	}
	return exitFailed
}

// exactly wants n arguments.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("%s takes %s; see %s --help", cmd.CommandPath(), what, cmd.CommandPath())}
		}
		return nil
	}
}

// load reads a configuration, prints its warnings, and has it checked by the
// server. Without a file it is the built-in one, which listens on loopback only.
func (p program) load(file string) (*configs.Config, error) {
	if file == "" {
		return configs.Default(), nil
	}
	cfg, warnings, err := configs.Load(file, configs.Env{Lookup: p.lookupEnv})
	for _, w := range warnings {
		fmt.Fprintln(p.stderr, w)
	}
	if err != nil {
		return nil, err
	}
	if p.warnings != nil {
		for _, w := range p.warnings(cfg) {
			fmt.Fprintf(p.stderr, "%s: warning: %s\n", file, w)
		}
	}
	if p.check != nil {
		if err := p.check(cfg); err != nil {
			return nil, unusable{file, err}
		}
	}
	return cfg, nil
}

// unusable is a configuration that the server would refuse.
type unusable struct {
	file string
	err  error
}

// Error returns one problem a line, as configs.Problems does.
func (u unusable) Error() string {
	return u.file + ": " + strings.ReplaceAll(u.err.Error(), "\n", "\n"+u.file+": ")
}

// Is makes errors.Is(err, configs.ErrInvalid) true.
func (u unusable) Is(target error) bool { return target == configs.ErrInvalid }

// Unwrap returns what the server says.
func (u unusable) Unwrap() error { return u.err }
