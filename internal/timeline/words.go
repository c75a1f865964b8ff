package timeline

import (
	"fmt"
	"strings"
	"time"
)

// words are a step in plain words.
func (r *record) words(s *step) string {
	switch s.kind {
	case StepReceived:
		return r.receivedWords()
	case StepForwarded:
		return "The request was sent to a phone that was awake."
	case StepSilent:
		return "The phone, which had a live connection, said nothing: it is woken."
	case StepParked:
		return "The phone sleeps. The request waits for it" + r.untilWords(s) + "."
	case StepPush:
		return "A push was asked for" + r.byWords(s) + "."
	case StepAttempt:
		return fmt.Sprintf("Attempt %d at the push service took %s: %s.", s.attempt, roundly(s.took), pushWords(s))
	case StepPushOutcome:
		return r.outcomeWords(s)
	case StepReport:
		return "The push system reports: " + join(s.class, s.reason) + "."
	case StepRegister:
		if s.status != 0 {
			return fmt.Sprintf("The phone tried to register, and was refused: %d %s.", s.status, s.reason)
		}
		return "The phone registered" + after(s.took) + "."
	case StepUnregister:
		return "The phone's registration ended: " + endingWords(s.class, s.reason, s.flow) + "."
	case StepElsewhere:
		return "The same phone registered as " + s.reason + "."
	case StepWoken:
		if s.reason != "" {
			return "The phone's connection is alive again" + after(s.took) + "."
		}
		return "The phone is back" + after(s.took) + "."
	case StepReleased:
		return "The request was sent to the phone."
	case StepRinging:
		return fmt.Sprintf("The caller hears %d.", s.status)
	case StepRingback:
		return "The caller hears ringing, though the phone is still being woken."
	case StepTimedOut:
		return "The phone did not register in time."
	case StepUnreachable:
		return "The phone has no live connection, and nothing can wake it: " + lackWords(s.reason) + "."
	case StepBranchEnded:
		if s.class == phonesWord {
			return "The phone answered " + answer(s) + "."
		}
		return "The phone was given up: " + s.reason + "."
	case StepDiverted:
		return "Nobody took the call (" + s.reason + "): it goes to the fallback."
	case StepAnswered:
		if s.reason == "Kept" {
			return "The message is kept, and its sender was told so."
		}
		return "Answered: " + answer(s) + "."
	case StepCancelled:
		return "The caller gave up."
	case StepFailed:
		if s.status == 0 {
			return "Nobody waits for an answer any more."
		}
		return "The caller was told " + answer(s) + "."
	case StepRefused:
		return "The caller was told " + answer(s) + ", and nobody looked for a phone."
	case StepLate:
		return "The phone registered" + after(s.took) + ", when nobody waited for it any more."
	}
	return s.kind
}

func (r *record) receivedWords() string {
	var found string
	switch r.Lookup {
	case "found":
		found = "; " + count(r.Phones, "phone is", "phones are") + " registered"
	case "push_only":
		found = "; " + count(r.Phones, "phone is", "phones are") + " registered, and all of them sleep"
	case "none":
		found = "; no phone is registered"
	case "method":
		found = "; no phone takes this method"
	case "error":
		found = "; the location service could not say who is registered"
	case "binding":
		found = "; it is for one phone, by a dialog or GRUU"
	}
	to := r.To
	if r.AOR != "" {
		to = r.AOR
	}
	return fmt.Sprintf("%s from %s for %s%s.", r.Method, orUnknown(r.From), orUnknown(to), found)
}

func (r *record) untilWords(s *step) string {
	d := r.at(s.device)
	if d == nil || d.Deadline.IsZero() || d.Parked.IsZero() {
		return ""
	}
	return ", " + roundly(d.Deadline.Sub(d.Parked)) + " at the most"
}

func (r *record) byWords(s *step) string {
	d := r.at(s.device)
	if d == nil || d.Provider == "" {
		return ""
	}
	if d.UsualMS > 0 {
		return " by " + d.Provider + "; this phone usually takes " + roundly(ofMS(d.UsualMS))
	}
	return " by " + d.Provider
}

func (r *record) outcomeWords(s *step) string {
	if d := r.at(s.device); d != nil && d.SentAs != "" {
		return "The push of another request was sent for this one, too: " + pushWords(s) + "."
	}
	return "The push came to this: " + pushWords(s) + "."
}

func pushWords(s *step) string {
	w := join(s.class, s.reason)
	if s.status != 0 {
		w += fmt.Sprintf(", HTTP %d", s.status)
	}
	return w
}

func endingWords(action, cause, movedTo string) string {
	switch {
	case cause == "token_moved" && movedTo != "":
		return "its push token belongs to " + movedTo + " now"
	case cause == "token_moved":
		return "its push token belongs to another user now"
	case cause == "operator":
		return "an operator removed it"
	case cause == "register":
		return "the phone unregistered, or another took its place"
	case action == "dormant":
		return "it expired, and the phone may still be woken"
	case cause == "expiry" || action == "expired":
		return "it expired"
	case cause == "dead_token":
		return "its push token is dead"
	case cause == "flow":
		return "its connection ended"
	}
	return join(action, cause)
}

// lackWords say what event.Sleeper.Lacks means.
func lackWords(lacks string) string {
	switch lacks {
	case "NoToken":
		return "it gave no push token, or the push service declared it dead"
	case "DeadToken":
		return "the push service declared its token dead"
	case "NoApp":
		return "no entry of push.apps is for its app"
	case "BadParameters":
		return "its push parameters cannot be read"
	}
	return "requests of this kind wake no phone"
}

func answer(s *step) string {
	if s.reason != "" {
		return fmt.Sprintf("%d %s", s.status, s.reason)
	}
	return fmt.Sprint(s.status)
}

func after(took time.Duration) string {
	if took <= 0 {
		return ""
	}
	return " " + roundly(took) + " after the push"
}

// roundly is a time for people.
func roundly(d time.Duration) string {
	switch {
	case d < 995*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Seconds()), ".0") + " s"
	}
	return d.Round(time.Second).String()
}

func ofMS(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func join(a, b string) string {
	if b == "" {
		return a
	}
	if a == "" {
		return b
	}
	return a + ", " + b
}

func orUnknown(s string) string {
	if s == "" {
		return "somebody"
	}
	return s
}
