package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reveille/internal/admin"
	"reveille/internal/event"
)

// eventsCommand follows the events of a running server.
func (p program) eventsCommand() *cobra.Command {
	var t target
	var q eventQuery
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Follow what happens on a running server",
		Long: "Follow what happens on a running server, until interrupted. docs/events.md lists the types of events.\n" +
			"Refreshes of phones are shown only if a type asks for them.",
		Example: "  reveille events --aor sip:alice@example.com\n" +
			"  reveille events --type 'push.*' --type binding.refreshed --json",
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.ask(cmd, t, func(ctx context.Context, c control) error { return p.followEvents(ctx, c, q) })
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVar(&q.aor, "aor", "", "only those about this user")
	cmd.Flags().StringArrayVar(&q.types, "type", nil, "only types that match, such as 'binding.*'; a leading ! leaves out; may be repeated")
	cmd.Flags().StringVar(&q.after, "after", "", "begin after the event with this id, as far as it is kept")
	cmd.Flags().BoolVar(&q.json, "json", false, "print each event as a line of JSON, for programs")
	return cmd
}

// An eventQuery says which events are shown, and how.
type eventQuery struct {
	aor, after string
	types      []string
	json       bool
}

// path is that of the stream.
func (q eventQuery) path() string {
	types := q.types
	if len(types) == 0 {
		types = []string{"!" + event.TypeRefreshed}
	}
	v := url.Values{"type": types}
	if q.aor != "" {
		v.Set("aor", q.aor)
	}
	return "/v1/events?" + v.Encode()
}

// errStreamEnded says that the server stopped.
var errStreamEnded = errors.New("the server ended the stream")

func (p program) followEvents(ctx context.Context, c control, q eventQuery) error {
	header := http.Header{}
	if q.after != "" {
		header.Set("Last-Event-ID", q.after)
	}
	err := c.stream(ctx, q.path(), header, func(kind string, data []byte) error {
		switch kind {
		case "missing":
			fmt.Fprintln(p.stderr, "reveille: some events since then are no longer kept")
			return nil
		case "slow":
			return errors.New("events came faster than they were read")
		}
		if q.json {
			return printJSONLine(p.stdout, json.RawMessage(data))
		}
		line, err := eventLine(data)
		if err == nil {
			_, err = fmt.Fprintln(p.stdout, line)
		}
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

// maxEvent bounds one event, in bytes.
const maxEvent = 1 << 20

// stream reads server-sent events until the server ends them. Comments are left out.
func (c control) stream(ctx context.Context, path string, header http.Header, each func(kind string, data []byte) error) error {
	resp, err := c.open(ctx, http.MethodGet, path, header, http.NoBody)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxEvent)
	var kind string
	var data []byte
	for lines.Scan() {
		field, value, _ := bytes.Cut(lines.Bytes(), []byte(": "))
		switch {
		case len(lines.Bytes()) == 0:
			if len(data) > 0 {
				if err := each(kind, data); err != nil {
					return err
				}
			}
			kind, data = "", nil
		case string(field) == "event":
			kind = string(value)
		case string(field) == "data":
			data = bytes.Clone(value)
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read the stream of the server on %s: %w", c.name, cleaned(err))
	}
	return nil
}

// eventLine is an event for people: when, what, about whom, and the rest.
func eventLine(data []byte) (string, error) {
	var e event.Envelope
	var fields map[string]any
	if err := json.Unmarshal(data, &e); err != nil {
		return "", fmt.Errorf("read an event: %w", err)
	}
	if err := json.Unmarshal(e.Data, &fields); err != nil {
		return "", fmt.Errorf("read an event: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %-20s", e.Time.Local().Format("15:04:05.000"), e.Type)
	if aor, ok := fields["aor"].(string); ok {
		fmt.Fprintf(&b, " %s", aor)
	}
	var names []string
	for name := range fields {
		if name != "aor" && name != "domain" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, " %s=%s", name, fieldText(fields[name]))
	}
	return visible(b.String()), nil
}

// fieldText is the value of a field on a line: what comes from strangers is quoted.
func fieldText(v any) string {
	switch v := v.(type) {
	case string:
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return t.Local().Format(time.RFC3339)
		}
		if v != "" && !strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r == '"' || r == '=' || r >= 0x7f }) {
			return v
		}
		return fmt.Sprintf("%q", v)
	case map[string]any:
		if remote, ok := v["remote"].(string); ok {
			return fmt.Sprintf("%v:%s", v["transport"], remote)
		}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return string(b)
}

// wokenCommand reports what became of a push that a program of the operator's sent.
func (p program) wokenCommand() *cobra.Command {
	var t target
	var r admin.WakeReport
	cmd := &cobra.Command{
		Use:   "woken {--push-id ID | --aor AOR} {delivered|gone|failed}",
		Short: "Report what became of a push that a program of yours sent",
		Long: "Report what became of a push that a program of yours sent (docs/events.md). gone forgets the token, and\n" +
			"failed and gone tell callers at once who wait for the push.",
		Args: exactly(1, "one result: delivered, gone or failed"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Result = args[0]
			if err := r.Check(); err != nil {
				return usageError{err}
			}
			return p.ask(cmd, t, func(ctx context.Context, c control) error {
				return c.do(ctx, http.MethodPost, "/v1/woken", r, nil)
			})
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVar(&r.PushID, "push-id", "", "the push, as its event named it")
	cmd.Flags().StringVar(&r.AOR, "aor", "", "all phones of a user")
	cmd.Flags().StringVar(&r.Binding, "binding", "", "with --aor: only this phone, as events name it")
	cmd.Flags().StringVar(&r.Reason, "reason", "", "why, for events and logs")
	return cmd
}
