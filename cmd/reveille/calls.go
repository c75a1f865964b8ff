package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reveille/internal/admin"
	"reveille/internal/timeline"
)

// callsCommand shows what became of requests that met a sleeping phone.
func (p program) callsCommand() *cobra.Command {
	cmd := p.callsListCommand()
	cmd.Use, cmd.Short = "calls", "Show what became of calls that met a sleeping phone, or failed"
	cmd.Long = "Show what became of calls and other requests that met a sleeping phone, or failed, the latest first. The server\n" +
		"keeps the last ones in memory (calls.keep)."
	cmd.Example = "  reveille calls --aor alice --outcome failed\n  reveille calls show 20epm7hue4l"
	cmd.AddCommand(p.callsListCommand(), p.callsShowCommand())
	return cmd
}

func (p program) callsListCommand() *cobra.Command {
	var aor, callID, outcome, before string
	var limit int
	cmd := listCommand(p, listing[admin.CallList]{
		Command: cobra.Command{
			Use: "list", Short: "List them, the latest first",
			Example: "  reveille calls list --aor sip:alice@example.com\n  reveille calls list --outcome failed --limit 20",
		},
		path: func([]string) string {
			v := url.Values{"limit": {strconv.Itoa(limit)}}
			for name, value := range map[string]string{"aor": aor, "call_id": callID, "outcome": outcome, "before": before} {
				if value != "" {
					v.Set(name, value)
				}
			}
			return "/v1/calls?" + v.Encode()
		},
		print: func(l *admin.CallList) error {
			t := newTable("TIME", "ID", "METHOD", "FROM", "USER", "OUTCOME", "VERDICT")
			for i := range l.Calls {
				c := &l.Calls[i]
				t.add(when(c.Began), c.ID, c.Method, c.From, c.AOR, outcomeOf(c), saidOf(c))
			}
			if err := p.printTable(t, "no call is known that met a sleeping phone or failed"); err != nil {
				return err
			}
			if l.Next != "" {
				fmt.Fprintf(p.stderr, "reveille: there are more: --before %s\n", visible(l.Next))
			}
			return nil
		},
	})
	f := cmd.Flags()
	f.StringVar(&aor, "aor", "", "only those to this user")
	f.StringVar(&callID, "call-id", "", "only those with this Call-ID")
	f.StringVar(&outcome, "outcome", "", "only those: answered, kept, diverted, cancelled, failed, waiting, delivered, ended, or the code of a verdict")
	f.StringVar(&before, "before", "", "only those before the call with this id")
	f.IntVar(&limit, "limit", 30, "how many, 1 to 1000")
	return cmd
}

// outcomeOf is how a call ended, or how it stands.
func outcomeOf(c *timeline.Summary) cell {
	text := c.Outcome
	if text == "" {
		text = c.State
	}
	if c.Status != 0 {
		text += " " + strconv.Itoa(c.Status)
	}
	switch c.Outcome {
	case "answered", "kept":
		return cell{text, green}
	case "failed":
		return cell{text, red}
	case "":
		return cell{text, yellow}
	}
	return cell{text, plain}
}

func saidOf(c *timeline.Summary) string {
	if c.Verdict == nil {
		return ""
	}
	return c.Verdict.Said
}

func (p program) callsShowCommand() *cobra.Command {
	return listCommand(p, listing[timeline.Record]{
		Command: cobra.Command{
			Use: "show ID", Short: "Show what happened to one of them, step by step",
			Long:              "Show what happened to one of them, step by step. ID is that of `reveille calls list`, or a Call-ID.",
			Args:              exactly(1, "one id"),
			ValidArgsFunction: p.completeCall(),
			Example:           "  reveille calls show 20epm7hue4l",
		},
		path:  func(args []string) string { return "/v1/calls/" + url.PathEscape(args[0]) },
		print: func(r *timeline.Record) error { return p.printCall(r) },
	})
}

// printCall draws the timeline of a call.
func (p program) printCall(r *timeline.Record) error {
	fmt.Fprintf(p.stdout, "%s  %s → %s\n", p.painted(bold, visible(r.Method)), visible(r.From), visible(whom(r)))
	fmt.Fprintf(p.stdout, "%s\n\n", p.painted(faint, visible(fmt.Sprintf("%s  call %s, Call-ID %s", when(r.Began), r.ID, r.CallID))))
	offsets := make([]string, len(r.Steps))
	width := 0
	for i := range r.Steps {
		offsets[i] = offset(r.Steps[i].OffsetMS)
		width = max(width, len(offsets[i]))
	}
	for i := range r.Steps {
		s := &r.Steps[i]
		bar := "├─"
		if i == len(r.Steps)-1 {
			bar = "└─"
		}
		fmt.Fprintf(p.stdout, "%s  %s%s %s %s\n", p.painted(faint, s.At.Local().Format("15:04:05.000")),
			strings.Repeat(" ", width-len(offsets[i])), offsets[i], bar, p.painted(paintOf(s), visible(s.Text)))
	}
	if r.Dropped > 0 {
		fmt.Fprintf(p.stdout, "and %s that were not kept\n", counted(r.Dropped, "step"))
	}
	fmt.Fprintln(p.stdout)
	if r.Verdict == nil {
		fmt.Fprintln(p.stdout, p.painted(yellow, "It is not over yet."))
		return nil
	}
	p.printVerdict(r.Verdict, r.Outcome == "failed")
	return nil
}

// whom is the user who was called, or what was.
func whom(r *timeline.Record) string {
	if r.AOR != "" {
		return r.AOR
	}
	return r.To
}

// offset is a time since the beginning, for people.
func offset(ms float64) string {
	if ms < 1000 {
		return fmt.Sprintf("+%.0f ms", ms)
	}
	return fmt.Sprintf("+%.2f s", ms/1000)
}

// paintOf is the colour of a step.
func paintOf(s *timeline.Step) paint {
	switch s.Kind {
	case "failed", "timed_out", "silent":
		return red
	case "answered", "woken", "ringing":
		return green
	case "parked", "push", "attempt", "push_outcome", "late", "elsewhere":
		return yellow
	}
	return plain
}

// printVerdict says what was the matter, and what to do about it.
func (p program) printVerdict(v *timeline.Verdict, bad bool) {
	c := green
	if bad {
		c = red
	}
	fmt.Fprintln(p.stdout, p.painted(c, visible(v.Said)))
	p.printMend(v.Do)
}

// parkedCommand shows for whom callers wait.
func (p program) parkedCommand() *cobra.Command {
	var t target
	var asJSON, follow bool
	cmd := &cobra.Command{
		Use:     "parked",
		Short:   "Show the phones that are being woken while a caller waits",
		Example: "  reveille parked --follow",
		Args:    exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.ask(cmd, t, func(ctx context.Context, c control) error { return p.showParked(ctx, c, asJSON, follow) })
		},
	}
	t.flags(cmd)
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVar(&follow, "follow", false, "show them again every second, until interrupted; with --json a line each time")
	return cmd
}

// followEvery is how often --follow looks.
const followEvery = time.Second

func (p program) showParked(ctx context.Context, c control, asJSON, follow bool) error {
	for {
		var l admin.ParkedList
		err := c.do(ctx, http.MethodGet, "/v1/parked", nil, &l)
		switch {
		case err != nil && follow && ctx.Err() != nil:
			return nil // Interrupted, which is how it ends.
		case err != nil:
			return err
		case asJSON && follow:
			err = printJSONLine(p.stdout, l)
		case asJSON:
			return printJSON(p.stdout, l)
		default:
			err = p.printParked(&l, time.Now())
		}
		if err != nil || !follow {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followEvery):
		}
		if !asJSON {
			fmt.Fprintln(p.stdout)
		}
	}
}

func (p program) printParked(l *admin.ParkedList, now time.Time) error {
	t := newTable("CALL", "METHOD", "FROM", "USER", "PROVIDER", "WAITS", "LEFT", "PUSH")
	for i := range l.Parked {
		w := &l.Parked[i]
		left := cell{"-", plain}
		if !w.Deadline.IsZero() {
			left.text = fmt.Sprintf("%.0f s", max(0, w.Deadline.Sub(now).Seconds()))
		}
		t.add(w.ID, w.Method, w.From, w.AOR, w.Provider, fmt.Sprintf("%.0f s", max(0, now.Sub(w.Since).Seconds())), left, w.Class)
	}
	if err := p.printTable(t, "nobody waits for a phone"); err != nil {
		return err
	}
	if more := l.Total - len(l.Parked); more > 0 {
		fmt.Fprintf(p.stdout, "and %d more\n", more)
	}
	return nil
}
