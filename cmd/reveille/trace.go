package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"reveille/internal/admin"
	"reveille/internal/trace"
)

// traceCommand follows the SIP messages of a user.
func (p program) traceCommand() *cobra.Command {
	var t target
	var q traceQuery
	cmd := &cobra.Command{
		Use:   "trace AOR",
		Short: "Follow the SIP messages of a user",
		Long: "Follow the SIP messages of a user, until interrupted: those that name the user, and all others of the same\n" +
			"calls and registrations, on both sides of the server. An arrow to the right is a message that arrived, one to\n" +
			"the left one that left. Passwords, push tokens, keys and bodies other than session descriptions are hidden.\n" +
			"It takes the role admin.",
		Example: "  reveille trace sip:alice@example.com\n" +
			"  reveille trace alice@example.com --brief",
		Args: exactly(1, "one user, such as sip:alice@example.com"),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.aor = args[0]
			return p.ask(cmd, t, func(ctx context.Context, c control) error { return p.followTrace(ctx, c, q) })
		},
	}
	t.flags(cmd)
	cmd.Flags().BoolVar(&q.brief, "brief", false, "only a line for each message")
	cmd.Flags().BoolVar(&q.bodies, "bodies", false, "show bodies, such as the text of a MESSAGE")
	cmd.Flags().BoolVar(&q.json, "json", false, "print each message as a line of JSON, for programs")
	return cmd
}

// A traceQuery says what is shown, and how.
type traceQuery struct {
	aor                 string
	brief, bodies, json bool
}

func (q traceQuery) path() string {
	v := url.Values{"aor": {q.aor}}
	if q.bodies {
		v.Set("bodies", "true")
	}
	return "/v1/trace?" + v.Encode()
}

func (p program) followTrace(ctx context.Context, c control, q traceQuery) error {
	err := c.stream(ctx, q.path(), nil, func(kind string, data []byte) error {
		switch kind {
		case admin.TraceLost:
			var gap admin.TraceGap
			if err := json.Unmarshal(data, &gap); err != nil {
				return fmt.Errorf("read a trace: %w", err)
			}
			fmt.Fprintf(p.stderr, "reveille: %d messages came too fast and are missing here, some perhaps of others\n", gap.Messages)
			return nil
		case admin.TraceMessage:
		default:
			return nil // Of a later version.
		}
		if q.json {
			return printJSONLine(p.stdout, json.RawMessage(data))
		}
		var m trace.Shown
		if err := json.Unmarshal(data, &m); err != nil {
			return fmt.Errorf("read a trace: %w", err)
		}
		_, err := fmt.Fprint(p.stdout, p.traceText(m, q.brief))
		return err
	})
	switch {
	case ctx.Err() != nil:
		return nil // Interrupted, which is how it ends.
	case err == nil:
		return errStreamEnded
	}
	return err
}

// traceText is a message for people: a line with the peer on the left and us on the
// right, and the message below it.
func (p program) traceText(m trace.Shown, brief bool) string {
	arrow, c := "-->", green
	if m.Direction == trace.Out {
		arrow, c = "<--", yellow
	}
	var more string
	if m.Again {
		more = " (again)"
	}
	if m.Error != "" {
		more, c = " (not sent: "+visible(m.Error)+")", red
	}
	head := fmt.Sprintf("%s %-3s %s %s %s  ", m.At.Local().Format("15:04:05.000"), visible(m.Transport), visible(m.Remote), arrow, visible(m.Local))
	text := p.painted(c, head) + p.painted(bold, visible(m.First)) + more + "\n"
	if brief {
		return text
	}
	_, rest, _ := strings.Cut(strings.ReplaceAll(m.Message, "\r\n", "\n"), "\n")
	for line := range strings.Lines(strings.TrimRight(rest, "\n")) {
		text += "    " + visible(strings.TrimRight(line, "\n")) + "\n"
	}
	return text + "\n"
}
