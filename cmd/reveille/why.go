package main

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"reveille/internal/timeline"
	"reveille/internal/why"
)

// whyCommand says why a user's phone did not ring.
func (p program) whyCommand() *cobra.Command {
	var calls int
	cmd := listCommand(p, listing[why.Report]{
		Command: cobra.Command{
			Use:   "why AOR",
			Short: "Say why a user's phone did not ring",
			Long: "Say why a user's phone did not ring: first what is the matter and what to do about it, then what that was\n" +
				"found from: the phones that are registered, the push services, and the last calls. The exit code is 1 if\n" +
				"something is the matter, or if it cannot be said.",
			Example:           "  reveille why sip:alice@example.com",
			Args:              exactly(1, "one user"),
			ValidArgsFunction: p.completeAOR(),
		},
		path: func(args []string) string {
			return "/v1/why?" + url.Values{"aor": {args[0]}, "calls": {strconv.Itoa(calls)}}.Encode()
		},
		print: func(r *why.Report) error { return p.printWhy(r) },
		after: func(r *why.Report) error {
			if healthy(&r.Verdict) {
				return nil
			}
			return errReported
		},
	})
	cmd.Flags().IntVar(&calls, "calls", 5, "how many of the last calls to show, 1 to 50")
	return cmd
}

// healthy reports whether nothing is the matter.
func healthy(v *timeline.Verdict) bool {
	switch v.Code {
	case why.CodeFine, timeline.CodeAnswered, timeline.CodeKept, timeline.CodeCancelled, timeline.CodeWaiting:
		return true
	}
	return false
}

func (p program) printWhy(r *why.Report) error {
	fmt.Fprintln(p.stdout, p.painted(bold, visible(r.AOR)))
	p.printVerdict(&r.Verdict, !healthy(&r.Verdict))
	fmt.Fprintf(p.stdout, "%s\n", p.painted(faint, "The server runs since "+when(r.Since)+"; what was before is not known."))
	p.heading("Phones")
	t := newTable("BINDING", "STATE", "REGISTERED", "UNTIL", "PUSH", "WAKES", "PHONE")
	for i := range r.Phones {
		b := &r.Phones[i]
		t.add(b.Binding, phoneState(b), when(b.Updated), when(b.Expires), b.Provider, phoneHabit(b.Wake), b.UserAgent)
	}
	err := p.printTable(t, "none is registered")
	if len(r.Endings) > 0 {
		p.heading("Registrations that ended, or lost their token")
		for _, e := range r.Endings {
			fmt.Fprintf(p.stdout, "%s\n", visible(endingText(e)))
		}
	}
	if len(r.Queues) > 0 {
		p.heading("Push services")
		for i := range r.Queues {
			q := &r.Queues[i]
			fmt.Fprintf(p.stdout, "%s: %s\n", visible(q.App), visible(q.Said))
			p.printMend(q.Do)
		}
	}
	p.heading("Last calls")
	t = newTable("TIME", "ID", "METHOD", "FROM", "OUTCOME", "VERDICT")
	for i := range r.Calls {
		c := &r.Calls[i].Summary
		t.add(when(c.Began), c.ID, c.Method, c.From, outcomeOf(c), saidOf(c))
	}
	return errors.Join(err, p.printTable(t, "none met a sleeping phone or failed"))
}

// heading begins a part of what is shown.
func (p program) heading(s string) { fmt.Fprintf(p.stdout, "\n%s\n", p.painted(bold, s)) }

func phoneState(b *why.Phone) cell {
	switch {
	case b.Lacks != "":
		return cell{"cannot be woken: " + b.Lacks, red}
	case b.State != "registered":
		return cell{b.State, yellow}
	case b.Awake:
		return cell{"awake", green}
	}
	return cell{"asleep", plain}
}

func phoneHabit(h *why.Habit) cell {
	switch {
	case h == nil:
		return cell{"", plain}
	case !h.FailingSince.IsZero():
		return cell{"not since " + when(h.FailingSince), red}
	case h.Wakes == 0:
		return cell{"never, " + pushes(h.Failures), red}
	}
	return cell{fmt.Sprintf("by %d of %s, %s", h.Wakes, pushes(h.Wakes+h.Failures), lasting(h.UsualMS)), plain}
}

func pushes(n int) string {
	if n == 1 {
		return "1 push"
	}
	return fmt.Sprintf("%d pushes", n)
}

// lasting is a time in milliseconds, for people.
func lasting(ms float64) string {
	if ms < 1000 {
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f s", ms/1000)
}

// endingText says how a registration ended, or lost its token.
func endingText(e timeline.Ending) string {
	text := e.Action + " (" + e.Cause + ")"
	switch {
	case e.Action == timeline.TokenDead:
		text = "the push service declared the token dead"
	case e.Cause == "token_moved":
		text = "another user logged in with the push token"
		if e.MovedTo != "" {
			text = e.MovedTo + " logged in with the push token"
		}
	case e.Cause == "operator":
		text = "an operator removed it"
	case e.Cause == "register":
		text = "the phone unregistered itself"
	case e.Cause == "expiry":
		text = "it expired"
	}
	if e.UserAgent != "" {
		text += ", " + e.UserAgent
	}
	return when(e.At) + "  " + text
}
