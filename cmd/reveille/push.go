package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"reveille/internal/admin"
	"reveille/internal/app"
	"reveille/push"
)

// pushCommand holds what is done about pushes.
func (p program) pushCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "push", Short: "Try whether pushes get through", Args: cobra.ArbitraryArgs, RunE: group}
	cmd.AddCommand(p.pushTestCommand())
	return cmd
}

// A serverName names a running server by its configuration or by its store.
type serverName struct{ config, store string }

// flags adds the two flags for it.
func (s *serverName) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.config, "config", "", "the server's configuration file")
	cmd.Flags().StringVar(&s.store, "store", "", "store.dir of a server that leaves control.socket at its default")
}

// A pushOrder is what `push test` was told.
type pushOrder struct {
	serverName
	test             admin.PushTest
	token, tokenFile string
	within           time.Duration
	json             bool
}

func (p program) pushTestCommand() *cobra.Command {
	var o pushOrder
	cmd := &cobra.Command{
		Use:   "test {--config FILE | --store DIR} {AOR | --provider NAME [--param P] {--token T | --token-file FILE}}",
		Short: "Send one push to each phone of a user, or to a token, and say what the push service answered",
		Long: "Send one push to each phone of a user, or to a token, and say what the push service answered, what that\n" +
			"means and what to do about it. The running server is asked over its control socket, so that its credentials\n" +
			"and its connections are what is tried. If none is running, a push to a token is sent with the credentials\n" +
			"of the configuration. A token that the push service declares dead is forgotten, as ever.\n\n" +
			"By default the push is one that refreshes a registration. With --kind call it says that a call comes:\n" +
			"phones may ring, and iPhones do. A VoIP token is pushed to in no other way.",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
			case 1:
				o.test.AOR = args[0]
			default:
				return usageError{errors.New("name one user")}
			}
			return p.interruptible(cmd.Context(), func(ctx context.Context) error { return p.testPush(ctx, o) })
		},
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.test.Provider, "provider", "", "pn-provider of a token: apns, fcm, webpush or one of yours")
	f.StringVar(&o.test.Param, "param", "", "its pn-param")
	f.StringVar(&o.token, "token", "", "the token, unescaped; others on this machine can see it while the command runs")
	f.StringVar(&o.tokenFile, "token-file", "", "a file that holds the token; - reads standard input")
	f.StringVar(&o.test.Kind, "kind", push.Refresh.String(), "what the push is for: call, message or refresh")
	f.DurationVar(&o.within, "within", 20*time.Second, "how long it may take")
	f.BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

// testPush runs `push test`.
func (p program) testPush(ctx context.Context, o pushOrder) error {
	if err := o.complete(p.stdin()); err != nil {
		return usageError{err}
	}
	cfg, err := p.stored(o.config, o.store)
	if err != nil {
		return err
	}
	c := control{cfg.ControlSocket()}
	if o.test.Kind == push.Call.String() {
		fmt.Fprintln(p.stderr, "reveille: this push says that a call comes; phones may ring, and iPhones do")
	}
	var answer admin.PushResults
	err = errNoSocket
	if c.socket != "" {
		err = c.do(ctx, http.MethodPost, "/v1/push", o.test, &answer)
	}
	if o.test.AOR == "" && o.config != "" && (errors.Is(err, errNoSocket) || noServer(err)) {
		fmt.Fprintf(p.stderr, "reveille: no server is running; the push is sent with the credentials of %s\n", o.config)
		var r admin.PushResult
		r, err = app.TestPush(ctx, cfg, o.test)
		answer.Results = []admin.PushResult{r}
	}
	if err != nil {
		return err
	}
	if o.json {
		err = printJSON(p.stdout, answer)
	} else {
		for i := range answer.Results {
			printPush(p.stdout, &answer.Results[i])
		}
	}
	for i := range answer.Results {
		if !answer.Results[i].OK() {
			err = errors.Join(err, errReported)
		}
	}
	return err
}

// complete reads the token and checks the whole.
func (o *pushOrder) complete(stdin io.Reader) (err error) {
	switch {
	case o.test.AOR != "" && (o.test.Provider != "" || o.test.Param != "" || o.token != "" || o.tokenFile != ""):
		return errors.New("name either a user, or a provider and a token")
	case o.token != "" && o.tokenFile != "":
		return errors.New("name the token by one of --token and --token-file")
	case o.tokenFile != "":
		if o.token, err = readToken(o.tokenFile, stdin); err != nil {
			return err
		}
	}
	o.test.PRID = o.token
	if o.test.Seconds, err = wholeSeconds(o.within); err != nil {
		return err
	}
	return o.test.Check()
}

// maxToken bounds a token in bytes, and its file.
const maxToken = 8 << 10

// readToken reads a token from a file, or from stdin if that is called "-".
func readToken(file string, stdin io.Reader) (string, error) {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		// It was only read.
		defer func() { _ = f.Close() }()
		stdin = f
	}
	b, err := io.ReadAll(io.LimitReader(stdin, maxToken))
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// wholeSeconds is a time that is asked for, in seconds, at least one.
func wholeSeconds(d time.Duration) (int, error) {
	if d < time.Second || d > admin.MaxWait {
		return 0, fmt.Errorf("%s is not between 1s and %s", d, admin.MaxWait)
	}
	return int((d + time.Second - 1) / time.Second), nil
}

// printPush says what became of a push.
func printPush(w io.Writer, r *admin.PushResult) {
	fmt.Fprintln(w, heading(r))
	var facts []string
	if r.Reason != "" {
		facts = append(facts, r.Reason)
	}
	if r.Status != 0 {
		facts = append(facts, fmt.Sprintf("HTTP %d", r.Status))
	}
	if r.Class != admin.NotSent {
		facts = append(facts, counted(r.Attempts, "attempt"), fmt.Sprintf("%d ms", r.ElapsedMS))
	}
	if r.RetryAfterMS > 0 {
		facts = append(facts, fmt.Sprintf("again after %s", time.Duration(r.RetryAfterMS)*time.Millisecond))
	}
	fmt.Fprintf(w, "  %s: %s\n", strings.ReplaceAll(r.Class, "_", " "), visible(strings.Join(facts, ", ")))
	if r.Cause != "" {
		fmt.Fprintf(w, "  Cause: %s\n", visible(r.Cause))
	}
	fmt.Fprintf(w, "  %s\n", r.Said)
	if r.Do != "" {
		fmt.Fprintf(w, "  What to do: %s\n", r.Do)
	}
}

// heading says whose push it was.
func heading(r *admin.PushResult) string {
	who := []string{r.Provider}
	if r.Param != "" {
		who = append(who, r.Param)
	}
	s := strings.Join(who, " ")
	if r.AOR != "" {
		s = r.AOR + ", " + s
	}
	if r.UserAgent != "" {
		s += ", " + r.UserAgent
	}
	return visible(s) + " (" + r.Kind + ")"
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// visible is s less what would do something to a terminal: phones choose it.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
