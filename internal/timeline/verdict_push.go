package timeline

import (
	"time"

	"reveille/push"
	"reveille/push/explain"
)

// untaken judges a phone that was waited for in vain, and of whose push nothing was known
// by then, or which was called off between two attempts.
func untaken(r *Record, d *Device) Verdict {
	const look = "Look whether a firewall lets this server reach it, and at its status page; `reveille providers` shows how it is."
	var last *Step
	for i := range r.Steps {
		if s := &r.Steps[i]; s.Kind == StepAttempt && s.Binding == d.Binding {
			last = s
		}
	}
	switch {
	case last != nil && classOf(last.Class) != 0:
		tried := *d
		tried.Reason, tried.Status, tried.Attempts = last.Reason, last.Status, max(d.Attempts, last.Attempt)
		return ofPush(&tried, classOf(last.Class))
	case d.Class == "":
		return Verdict{CodePushUnreachable, "The push service never answered: when the time was over it had not said whether it took the push.", look}
	}
	return Verdict{CodePushNotSent, "The push had not left this server when the time was over.", "`reveille providers` shows which queue is long, or rests, and why."}
}

// neverAnswered says so of a push service that was asked so often.
func neverAnswered(attempts int) string {
	return "The push service never answered, though it was asked " + count(attempts, "time", "times") + "."
}

// lacking judges a phone that nothing can wake.
func lacking(d *Device) Verdict {
	const again = "The app has to run once and register with a new token."
	switch {
	case d.Provider == "":
		return Verdict{
			CodeUnreachable, "The phone has no live connection, and registered nothing by which it could be woken.",
			"A phone that sleeps has to register with pn-provider, pn-param and pn-prid (RFC 8599); any other has to keep its connection alive.",
		}
	case d.Reason == "DeadToken":
		return Verdict{CodeTokenDead, "The push service has declared the phone's token dead, so no push was sent.", again}
	case d.Reason == "NoApp":
		return Verdict{
			CodeNoApp, "No entry of push.apps is for the phone's app (pn-provider " + d.Provider + "), so no push was sent.",
			"An entry of push.apps must have the pn-provider, and a pattern that the pn-param fits. GET /v1/aors/USER?push=true shows it to the role admin.",
		}
	case d.Reason == "BadParameters":
		return Verdict{CodeBadParameters, "The push parameters that the phone registered cannot be read.", "docs/push.md says how they are written."}
	case d.Reason == "NoToken":
		return Verdict{
			CodeNoToken, "The phone sleeps and has no push token: it gave none, or the push service declared the last one dead.", again,
		}
	}
	return Verdict{CodePushForbidden, "The phone sleeps, and requests of this kind wake no phone.", ""}
}

// ofPush judges a phone whose push failed.
func ofPush(d *Device, class push.Class) Verdict {
	if !d.Expired.IsZero() {
		return Verdict{
			CodeCredential, "The certificate of push.apps " + d.App + " expired on " + d.Expired.UTC().Format(time.DateOnly) + ", so no phone of that app can be woken.",
			"Make a new one in Apple's developer account, or better a key (.p8), which does not expire; a reload takes it over.",
		}
	}
	o := push.Outcome{Class: class, Reason: d.Reason, Status: d.Status, Attempts: d.Attempts, Proven: d.Proven}
	w := explain.Outcome(d.Provider, o)
	v := Verdict{Code: codeOfPush(o), Said: w.Said, Do: w.Do}
	if d.Reason == reasonTimeout && d.Attempts > 0 {
		v.Said = neverAnswered(d.Attempts)
	} else if d.Reason != "" && explain.Known(d.Provider, d.Reason) {
		v.Said += " (" + d.Provider + ": " + d.Reason + ")"
	}
	return v
}

func codeOfPush(o push.Outcome) string {
	switch o.Class {
	case push.Gone:
		return CodeTokenDead
	case push.Suspect:
		if o.Proven {
			return CodeTokenDead
		}
		return CodeTokenSuspect
	case push.Credential:
		return CodeCredential
	case push.Rejected:
		if o.Reason == "Reported" {
			return CodePushFailed
		}
		return CodePushRejected
	case push.Throttled:
		return CodeThrottled
	case push.Unavailable:
		return CodePushUnavailable
	case push.Network:
		return CodePushUnreachable
	case push.Expired:
		return CodePushExpired
	case push.Shed:
		switch o.Reason {
		case "QueueFull":
			return CodeQueueFull
		case "NoApp":
			return CodeNoApp
		case "DeadToken":
			return CodeTokenDead
		}
		return CodePushNotSent
	case push.Forbidden:
		return CodePushForbidden
	case push.OK:
	}
	return CodeDidNotWake
}

// classOf reads the name of a class; 0 if it is none.
func classOf(name string) push.Class {
	for c := push.OK; c <= push.Forbidden; c++ {
		if c.String() == name {
			return c
		}
	}
	return 0
}
