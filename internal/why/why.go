// Package why answers the question of an operator why a user's phone did not ring: from
// what became of the last requests, what is registered now, and how the push services
// are, it makes one verdict in words. It is pure; app gathers the facts.
package why

import (
	"fmt"
	"strings"
	"time"

	"reveille/internal/timeline"
	"reveille/push"
	"reveille/push/explain"
)

// Facts are what is known of a user.
type Facts struct {
	AOR string
	// Now is the time of the question, Started that of the server's start: what was
	// before nobody remembers.
	Now, Started time.Time
	// Unknown: there is no such user, for certain.
	Unknown bool
	// Phones are the user's registrations.
	Phones []Phone
	// Calls are the last Records, the latest first.
	Calls []timeline.Record
	// Endings are registrations that ended and did not come back, the latest last.
	Endings []timeline.Ending
	// Queues are the queues to push services of which some phone has need, as far as
	// something is the matter with them.
	Queues []Queue
}

// A Phone is a registration.
type Phone struct {
	Binding   string    `json:"binding" doc:"the phone's identity here"`
	State     string    `json:"state" doc:"registered, or dormant: it has ended, and the phone may still be woken"`
	Awake     bool      `json:"awake" doc:"whether a request would be sent to it without a push"`
	Instance  string    `json:"instance,omitempty" doc:"+sip.instance"`
	UserAgent string    `json:"user_agent,omitempty" doc:"User-Agent"`
	Provider  string    `json:"provider,omitempty" doc:"pn-provider"`
	App       string    `json:"app,omitempty" doc:"the name in push.apps of what pushes to it"`
	Updated   time.Time `json:"updated" doc:"when it last registered"`
	Expires   time.Time `json:"expires" doc:"when its registration ends"`
	// Lacks is as in event.Sleeper; without a Provider it says nothing.
	Lacks string `json:"lacks,omitempty" doc:"why nothing wakes it: NoToken, DeadToken, NoApp or BadParameters"`
	// Elsewhere are other users who have its push token.
	Elsewhere []string `json:"elsewhere,omitempty" doc:"other users with its push token, if push.token_owner has them looked up"`
	Wake      *Habit   `json:"wake,omitempty" doc:"how it woke until now, if that is known"`
}

// The states of a Phone.
const (
	Registered = "registered"
	Dormant    = "dormant"
)

// A Habit is what was learned of how a phone wakes, since the server started.
type Habit struct {
	Last         time.Time `json:"last,omitzero" doc:"when it last woke"`
	UsualMS      float64   `json:"usual_ms" doc:"how long after a push it comes, on average"`
	Wakes        int       `json:"wakes" doc:"pushes after which it came in time"`
	Failures     int       `json:"failures" doc:"pushes after which it did not"`
	InRow        int       `json:"in_row,omitempty" doc:"how many of these were the last ones"`
	FailingSince time.Time `json:"failing_since,omitzero" doc:"when the first of the last ones was"`
}

// A Queue is a queue to a push service.
type Queue struct {
	App         string    `json:"app" doc:"the name in push.apps"`
	Provider    string    `json:"provider" doc:"pn-provider"`
	Part        string    `json:"part,omitempty" doc:"part of the push service, such as a browser's"`
	Class       string    `json:"class,omitempty" doc:"the class of the answer for which it rests"`
	Reason      string    `json:"reason,omitempty" doc:"the push service's own word"`
	LastOK      time.Time `json:"last_ok,omitzero" doc:"when the push service last took a push"`
	LastFailure time.Time `json:"last_failure,omitzero" doc:"when it last did not"`
	Failures    int       `json:"failures" doc:"how many attempts failed since"`
	Said        string    `json:"said,omitempty" doc:"what it means, in words"`
	Do          string    `json:"do,omitempty" doc:"what to do about it, in words"`
	Expired     time.Time `json:"expired,omitzero" doc:"when the app's certificate ended, if it has"`
}

// A Report is the answer.
type Report struct {
	AOR     string            `json:"aor" doc:"the user"`
	At      time.Time         `json:"at" doc:"when it was asked"`
	Since   time.Time         `json:"since" doc:"since when the server runs: what was before is not known"`
	Verdict timeline.Verdict  `json:"verdict" doc:"the answer; its code is one of those of calls, or fine"`
	Phones  []Phone           `json:"phones" doc:"the user's registrations"`
	Endings []timeline.Ending `json:"endings" doc:"registrations that ended, or lost their token, and did not come back, the latest last"`
	Queues  []Queue           `json:"queues" doc:"queues to the push services of these phones with which something is the matter"`
	Calls   []timeline.Record `json:"calls" doc:"the last requests that met a sleeping phone or failed, the latest first"`
}

// CodeFine says that nothing is in the way of a call.
const CodeFine = "fine"

// Judge makes the report.
func Judge(f *Facts) Report {
	return Report{
		AOR: f.AOR, At: f.Now.UTC(), Since: f.Started.UTC(), Verdict: verdict(f),
		// Empty lists, not null, for programs that read them.
		Phones: append([]Phone{}, f.Phones...), Endings: append([]timeline.Ending{}, f.Endings...),
		Queues: append([]Queue{}, f.Queues...), Calls: append([]timeline.Record{}, f.Calls...),
	}
}

// verdict is that of the last call that failed, as far as nothing better is known now.
func verdict(f *Facts) timeline.Verdict {
	now := present(f)
	last, refused := lastCall(f), lastRefused(f)
	switch {
	case last == nil && refused == nil:
		return now
	case last == nil:
		last, refused = refused, nil
	case refused != nil && well(last):
		// What nobody was told of since it went well is what is asked for.
		last, refused = refused, nil
	}
	then := *last.Verdict
	when := fmt.Sprintf("The last %s, %s ago: ", last.Method, ago(f.Now.Sub(last.Began)))
	if refused != nil {
		now.Said += fmt.Sprintf(" Since then, %s ago: %s", ago(f.Now.Sub(refused.Began)), refused.Verdict.Said)
	}
	if well(last) {
		now.Said = when + then.Said + " " + now.Said
		return now
	}
	if now.Code != CodeFine && explains(now.Code, then.Code) {
		return now
	}
	if now.Code == CodeFine {
		then.Said += " " + now.Said
	}
	then.Said = when + then.Said
	return then
}

// well reports whether a request came to a good end.
func well(r *timeline.Record) bool {
	return r.Verdict.Code == timeline.CodeAnswered || r.Verdict.Code == timeline.CodeKept
}

// lastRefused is the last request that a rule refused before anybody looked for a phone,
// nil if one that got further came later. Anybody can cause such: one alone must not hide
// what became of a call.
func lastRefused(f *Facts) *timeline.Record {
	for i := range f.Calls {
		r := &f.Calls[i]
		switch {
		case r.Verdict == nil || r.Lookup == "binding":
		case r.Rule != "":
			return r
		default:
			return nil
		}
	}
	return nil
}

// lastCall is the last request that has a verdict, and that no rule refused: one from
// outside of any dialog, if there is one, for that is what rings.
func lastCall(f *Facts) (last *timeline.Record) {
	for i := range f.Calls {
		r := &f.Calls[i]
		switch {
		case r.Verdict == nil || r.Rule != "":
		case r.Lookup != "binding":
			return r
		case last == nil:
			last = r
		}
	}
	return last
}

// explains reports whether what is the matter now tells more than what was said of the
// last call.
func explains(now, then string) bool {
	switch then {
	case timeline.CodeDidNotWake, timeline.CodeGaveUpEarly:
		// The push was taken: nothing of this server was in the way but this.
		return now == timeline.CodeRegisteredElsewhere || now == timeline.CodeNotRegistered
	case timeline.CodeNotRegistered, timeline.CodeNoToken, timeline.CodeUnknownUser, timeline.CodeRegistrationEnded, timeline.CodeUnreachable:
		return true
	}
	return now == then
}

// present is what is the matter now.
func present(f *Facts) timeline.Verdict {
	if f.Unknown && len(f.Phones) == 0 {
		return timeline.Verdict{
			Code: timeline.CodeUnknownUser, Said: "There is no such user here.", Do: "Look for a misspelt name or domain, and at the user source.",
		}
	}
	if len(f.Phones) == 0 {
		return absent(f)
	}
	var worst timeline.Verdict
	well, awake, doubt := 0, 0, ""
	for i := range f.Phones {
		p := &f.Phones[i]
		v, bad := ofPhone(f, p)
		switch {
		case !bad:
			well++
			if p.Awake {
				awake++
			} else {
				doubt = doubtOf(f, p)
			}
		case worst.Code == "":
			worst = v
		}
	}
	if well == 0 {
		return worst
	}
	said := fmt.Sprintf("Now %s registered and can be reached, %d of them without a push.", number(well, "phone is", "phones are"), awake)
	if well == 1 {
		said = "Now one phone is registered and awake."
		switch {
		case awake > 0:
		case doubt != "":
			said = "Now one phone is registered and sleeps; " + doubt + "."
		default:
			said = "Now one phone is registered, sleeps, and can be woken."
		}
	}
	switch rest := len(f.Phones) - well; rest {
	case 0:
	case 1:
		said += " Another one cannot be reached: " + worst.Said
	default:
		said += fmt.Sprintf(" %d others cannot be reached; of the first: %s", rest, worst.Said)
	}
	return timeline.Verdict{Code: CodeFine, Said: said, Do: worst.Do}
}

// absent judges a user without phones.
func absent(f *Facts) timeline.Verdict {
	const come = "The app has to run once and register; look at its user name, password and server."
	v := timeline.Verdict{Code: timeline.CodeNotRegistered, Do: come}
	if len(f.Endings) == 0 {
		v.Said = "No phone is registered, and none has been since the server started, at " + clock(f.Started) + "."
		return v
	}
	e := f.Endings[len(f.Endings)-1]
	for i := range f.Endings {
		if x := f.Endings[i]; x.Action != timeline.TokenDead && x.Cause == "token_moved" {
			e = x
		}
	}
	switch since := clock(e.At); {
	case e.Cause == "token_moved":
		v.Code, v.Do = timeline.CodeRegisteredElsewhere, "The app's user has changed. Who wants calls to this user has to log in again."
		v.Said = "The phone is registered under another account since " + since + "."
		if e.MovedTo != "" {
			v.Said = "The phone is registered under another account, " + e.MovedTo + ", since " + since + "."
		}
	case e.Cause == "operator":
		v.Said = "No phone is registered: an operator removed the last at " + since + "."
	case e.Action == "expired" || e.Cause == "expiry":
		v.Said = "No phone is registered: the last registration expired at " + since + ", and the app did not come back."
		if dead := deadToken(f, e.Binding); dead != nil {
			v.Code = timeline.CodeTokenDead
			v.Said = "No phone is registered: the push service declared its token dead at " + clock(dead.At) + ", and the registration expired at " + since + "."
		}
	case e.Cause == "register":
		v.Said = "No phone is registered: the last unregistered itself at " + since + "."
	default:
		v.Said = "No phone is registered: the last registration ended at " + since + " (" + e.Cause + ")."
	}
	return v
}

func deadToken(f *Facts, binding string) *timeline.Ending {
	for i := range f.Endings {
		if e := &f.Endings[i]; e.Action == timeline.TokenDead && e.Binding == binding {
			return e
		}
	}
	return nil
}

// failures is how many wakes in a row show that something is the matter with a phone.
const failures = 3

// ofPhone judges one phone. bad is false if nothing is the matter with it.
func ofPhone(f *Facts, p *Phone) (v timeline.Verdict, bad bool) {
	const again = "The app has to run once and register with a new token."
	switch {
	case len(p.Elsewhere) > 0:
		return timeline.Verdict{
			Code: timeline.CodeRegisteredElsewhere,
			Said: "The phone is registered under another account, too: " + strings.Join(p.Elsewhere, ", ") + ". Whoever logged in last has it, and it wakes for nobody else.",
			Do:   "push.token_owner can have the last user take the phone; `reveille bindings rm` removes the old registration.",
		}, true
	case p.Awake:
		return v, false
	}
	if dead := deadToken(f, p.Binding); dead != nil && p.Lacks == "NoToken" {
		return timeline.Verdict{
			Code: timeline.CodeTokenDead, Said: "The phone sleeps, and its push token is dead since " + clock(dead.At) + ": the push service said so.", Do: again,
		}, true
	}
	if p.Lacks != "" || p.Provider == "" {
		r := timeline.Record{Summary: timeline.Summary{
			State: timeline.StateEnded, Outcome: timeline.OutcomeFailed,
			Devices: []timeline.Device{{Binding: p.Binding, Provider: p.Provider, Class: timeline.NotSent, Reason: p.Lacks}},
		}}
		return timeline.Judge(&r), true
	}
	for i := range f.Queues {
		if l := &f.Queues[i]; l.App == p.App && (l.Class != "" || !l.Expired.IsZero()) {
			return ofQueue(l), true
		}
	}
	if w := p.Wake; w != nil && w.InRow >= failures && !p.Updated.After(w.FailingSince) {
		return timeline.Verdict{
			Code: timeline.CodeDidNotWake,
			Said: fmt.Sprintf("The phone has not woken for %d pushes in a row, since %s.", w.InRow, clock(w.FailingSince)),
			Do:   explain.Wake(false, false).Do,
		}, true
	}
	return v, false
}

// doubtOf says why nobody knows whether a push would wake a phone, empty if there is no
// reason to doubt it.
func doubtOf(f *Facts, p *Phone) string {
	for i := range f.Queues {
		if l := &f.Queues[i]; l.App == p.App && l.Failures > 0 {
			return "its push service did not take the last push"
		}
	}
	if w := p.Wake; w != nil && !w.FailingSince.IsZero() && !p.Updated.After(w.FailingSince) {
		return "the last push did not wake it"
	}
	return ""
}

// ofQueue judges a push service to which nothing is sent.
func ofQueue(l *Queue) timeline.Verdict {
	r := timeline.Record{Summary: timeline.Summary{
		State: timeline.StateEnded, Outcome: timeline.OutcomeFailed,
		Devices: []timeline.Device{{Provider: l.Provider, Class: l.Class, Reason: l.Reason, App: l.App, Expired: l.Expired}},
	}}
	if !l.Expired.IsZero() {
		r.Devices[0].Class = push.Credential.String()
		return timeline.Judge(&r)
	}
	v := timeline.Judge(&r)
	v.Said = "Nothing is pushed with the credential of push.apps " + l.App + " just now. " + v.Said
	return v
}

// QueueOf is how a report shows a queue; ok is false if nothing is the matter with it.
func QueueOf(h push.LaneHealth, now time.Time) (l Queue, ok bool) {
	l = Queue{
		App: h.App, Provider: h.Provider, Part: h.Part, LastOK: h.LastOK, LastFailure: h.LastFailure, Failures: h.Failures,
		Expired: h.Expired.UTC(),
	}
	if h.PausedUntil.After(now) {
		l.Class, l.Reason = h.PausedFor.String(), h.LastReason
	}
	if h.Failures == 0 && l.Class == "" || !h.LastFailure.After(h.LastOK) {
		return l, false
	}
	w := explain.Outcome(h.Provider, push.Outcome{Class: h.PausedFor, Reason: h.LastReason, Attempts: 1})
	if l.Class != "" || explain.Known(h.Provider, h.LastReason) {
		l.Said, l.Do = w.Said, w.Do
	}
	return l, true
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	}
	return fmt.Sprintf("%d h", int(d.Hours()))
}

func number(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
