package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

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

// A pushOrder is what `push test` was told.
type pushOrder struct {
	target
	test     admin.PushTest
	pridFile string
	within   time.Duration
	json     bool
}

func (p program) pushTestCommand() *cobra.Command {
	var o pushOrder
	cmd := &cobra.Command{
		Use:   "test {AOR | --provider NAME [--param P] {--prid TOKEN | --prid-file FILE}}",
		Short: "Send one push to each phone of a user, or to a token, and say what the push service answered",
		Long: "Send one push to each phone of a user, or to a token, and say what the push service answered, what that\n" +
			"means and what to do about it. The running server is asked over its control socket, so that its credentials\n" +
			"and its connections are what is tried. If none is running, a push to a token is sent with the credentials\n" +
			"of the configuration. A token that the push service declares dead is forgotten, as ever.\n\n" +
			"By default the push is one that refreshes a registration. With --kind call it says that a call comes:\n" +
			"phones may ring, and iPhones do. A VoIP token is pushed to in no other way.",
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: p.completeAOR(),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
			case 1:
				o.test.AOR = args[0]
			default:
				return usageError{errors.New("name one user")}
			}
			return p.testPush(cmd, o)
		},
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.test.Provider, "provider", "", "pn-provider of a token: apns, fcm, webpush or one of yours")
	f.StringVar(&o.test.Param, "param", "", "its pn-param")
	f.StringVar(&o.test.PRID, "prid", "", "the token (pn-prid), unescaped; others on this machine can see it while the command runs")
	f.StringVar(&o.pridFile, "prid-file", "", "a file that holds the token; - reads standard input")
	f.StringVar(&o.test.Kind, "kind", push.Refresh.String(), "what the push is for: call, message or refresh")
	f.DurationVar(&o.within, "within", 20*time.Second, "how long it may take")
	jsonFlag(cmd, &o.json)
	markFile(cmd, "prid-file")
	return cmd
}

// testPush runs `push test`.
func (p program) testPush(cmd *cobra.Command, o pushOrder) error {
	if err := o.complete(p.stdin()); err != nil {
		return usageError{err}
	}
	t, err := p.named(o.target)
	if err != nil {
		return err
	}
	if o.test.Kind == push.Call.String() {
		fmt.Fprintln(p.stderr, "reveille: this push says that a call comes; phones may ring, and iPhones do")
	}
	var answer admin.PushResults
	err = p.ask(cmd, t, func(ctx context.Context, c control) error {
		return c.do(ctx, http.MethodPost, "/v1/push", o.test, &answer)
	})
	if o.test.AOR == "" && t.config != "" && (errors.Is(err, errNoSocket) || noServer(err)) {
		fmt.Fprintf(p.stderr, "reveille: no server is running; the push is sent with the credentials of %s\n", t.config)
		var r admin.PushResult
		r, err = p.pushHere(cmd, t, o.test)
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

// pushHere sends a push with the credentials of a configuration.
func (p program) pushHere(cmd *cobra.Command, t target, test admin.PushTest) (r admin.PushResult, err error) {
	cfg, err := p.stored(t)
	if err != nil {
		return r, err
	}
	err = p.interruptible(cmd.Context(), func(ctx context.Context) (err error) {
		r, err = app.TestPush(ctx, cfg, test)
		return err
	})
	return r, err
}

// complete reads the token and checks the whole.
func (o *pushOrder) complete(stdin io.Reader) (err error) {
	switch {
	case o.test.AOR != "" && (o.test.Provider != "" || o.test.Param != "" || o.test.PRID != "" || o.pridFile != ""):
		return errors.New("name either a user, or a provider and a token")
	case o.test.PRID != "" && o.pridFile != "":
		return errors.New("name the token by one of --prid and --prid-file")
	case o.pridFile != "":
		if o.test.PRID, err = readSecret(o.pridFile, stdin); err != nil {
			return fmt.Errorf("read the token: %w", err)
		}
	}
	if o.test.Seconds, err = wholeSeconds(o.within); err != nil {
		return err
	}
	return o.test.Check()
}

// maxSecret bounds a token or password in bytes, and its file.
const maxSecret = 8 << 10

// readSecret reads a file that holds one text, or stdin if that is called "-" and
// stdin is not nil.
func readSecret(file string, stdin io.Reader) (string, error) {
	if file != "-" || stdin == nil {
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		// It was only read.
		defer func() { _ = f.Close() }()
		stdin = f
	}
	b, err := io.ReadAll(io.LimitReader(stdin, maxSecret+1))
	if err != nil {
		return "", err
	}
	switch text := strings.TrimSpace(string(b)); {
	case len(b) > maxSecret:
		return "", fmt.Errorf("%s is longer than %d bytes", file, maxSecret)
	case text == "":
		return "", fmt.Errorf("%s is empty", file)
	default:
		return text, nil
	}
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
	fmt.Fprintf(w, "  %s: %s\n", visible(strings.ReplaceAll(r.Class, "_", " ")), visible(strings.Join(facts, ", ")))
	if r.Cause != "" {
		fmt.Fprintf(w, "  Cause: %s\n", visible(r.Cause))
	}
	fmt.Fprintf(w, "  %s\n", visible(r.Said))
	if r.Do != "" {
		fmt.Fprintf(w, "  What to do: %s\n", visible(r.Do))
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
	return visible(s + " (" + r.Kind + ")")
}
