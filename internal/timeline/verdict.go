package timeline

import (
	"fmt"
	"time"

	"reveille/push"
	"reveille/push/explain"
)

// The codes of a Verdict. They are stable; there may be more one day.
const (
	CodeWaiting   = "waiting"   // it is not over yet
	CodeAnswered  = "answered"  // a phone took it
	CodeKept      = "kept"      // a MESSAGE that waits for its user
	CodeCancelled = "cancelled" // it rang, and the caller gave up

	CodeUnknownUser   = "unknown_user"   // there is no such user
	CodeNotRegistered = "not_registered" // no phone is registered
	CodeNoneWanted    = "none_wanted"    // phones are registered, none as the caller wants it
	CodeNoMethod      = "no_method"      // phones are registered, none takes this method
	CodeNoLocation    = "no_location"    // the location service cannot say
	CodeForbidden     = "forbidden"      // a rule of this server
	CodeCallerRefused = "caller_refused" // the caller's credentials were not good
	CodeTooFast       = "too_fast"       // a limit of rates
	CodeOverload      = "overload"       // this server refuses
	CodeStopping      = "stopping"       // this server was stopped
	CodeTooMany       = "too_many"       // too many requests wait already

	CodeUnreachable       = "unreachable"        // a phone without push, whose connection is gone
	CodeNoToken           = "no_token"           // a phone with push and no token
	CodeTokenDead         = "token_dead"         // the push service declared the token dead
	CodeTokenSuspect      = "token_suspect"      // token and credential do not fit
	CodeNoApp             = "no_app"             // no entry of push.apps
	CodeBadParameters     = "bad_parameters"     // push parameters that cannot be read
	CodeCredential        = "credential_refused" // the push service refuses our credential
	CodePushRejected      = "push_rejected"      // the push service refuses the push
	CodeThrottled         = "throttled"          // the push service was asked too often
	CodePushUnavailable   = "push_unavailable"   // the push service has trouble
	CodePushUnreachable   = "push_unreachable"   // the push service cannot be reached
	CodePushExpired       = "push_expired"       // the push waited too long in our queue
	CodeQueueFull         = "queue_full"         // our queue for the push service is full
	CodePushNotSent       = "push_not_sent"      // the push was dropped before it was sent
	CodePushForbidden     = "push_forbidden"     // no push of this kind to this phone
	CodePushFailed        = "push_failed"        // the operator's push system reports so
	CodeRegistrationEnded = "registration_ended" // while it was waited for

	CodeDidNotWake          = "did_not_wake"         // the push was taken, and no REGISTER came
	CodeWokeLate            = "woke_late"            // it came when nobody waited any more
	CodeGaveUpEarly         = "gave_up_early"        // the caller gave up while the phone was being woken
	CodeRegisteredElsewhere = "registered_elsewhere" // it registered for another user
	CodeRegisterRefused     = "register_refused"     // it woke, and was not let register

	CodeSilent         = "silent"          // it got the request and said nothing
	CodeNoAnswer       = "no_answer"       // it rang, and nobody took the call
	CodeConnectionLost = "connection_lost" // its connection broke
	CodeBusy           = "busy"            // 486, 600
	CodeDeclined       = "declined"        // 603, 607, 608
	CodeNotAvailable   = "not_available"   // the phone said 480
	CodeMediaRefused   = "media_refused"   // 488, 606, 415
	CodePhoneRefused   = "phone_refused"   // another answer of the phone
	CodeFailed         = "failed"          // anything else
)

// Judge says what was the matter with a request, and what to do about it. It is pure.
func Judge(r *Record) Verdict {
	switch {
	case r.State != StateEnded:
		return Verdict{CodeWaiting, "The request has not ended yet.", ""}
	case r.Outcome == OutcomeAnswered:
		return answered(r)
	case r.Outcome == OutcomeKept:
		return Verdict{CodeKept, "No phone took the message in time, so it is kept, and goes to the first phone that is awake.", "`reveille messages` shows what waits."}
	case r.Outcome == OutcomeCancelled:
		return cancelled(r)
	}
	v := failed(r)
	if r.Outcome == OutcomeDiverted {
		v.Said = "The call went to the fallback. " + v.Said
	}
	return v
}

func answered(r *Record) Verdict {
	v := Verdict{Code: CodeAnswered, Said: "A phone took it."}
	for i := range r.Devices {
		switch d := &r.Devices[i]; {
		case d.Answer/100 == 2 && d.WokeMS > 0 && !d.Late:
			v.Said = "A phone took it. It had taken " + roundly(ofMS(d.WokeMS)) + " to wake."
		case d.Late:
			v.Said += " Another phone came too late" + after(ofMS(d.WokeMS)) + "."
		}
	}
	return v
}

// cancelled judges a request whose caller gave up.
func cancelled(r *Record) Verdict {
	var worst *Device
	for i := range r.Devices {
		d := &r.Devices[i]
		if !d.Ringing.IsZero() || d.Answer != 0 {
			return Verdict{CodeCancelled, "A phone rang, and the caller gave up after " + roundly(lasted(r)) + ".", ""}
		}
		if worst == nil || d.Late {
			worst = d
		}
	}
	switch {
	case worst == nil, !worst.Woke.IsZero() && !worst.Late:
		return Verdict{CodeCancelled, "The request was with a phone when the caller gave up, after " + roundly(lasted(r)) + ".", ""}
	case worst.Late:
		return late(r, worst)
	}
	if v, ok := known(r, worst); ok {
		return v
	}
	v := Verdict{
		CodeGaveUpEarly, "The caller gave up after " + roundly(lasted(r)) + ", while the phone was still being woken" + usually(worst) + ".",
		"Callers hear nothing while a phone is woken, and some give up: wake.ringback lets them hear ringing.",
	}
	return v
}

// lasted is how long the caller waited.
func lasted(r *Record) time.Duration { return r.Ended.Sub(r.Began) }

// usually says how long a phone usually takes.
func usually(d *Device) string {
	if d.UsualMS <= 0 {
		return ""
	}
	return "; this one usually takes " + roundly(ofMS(d.UsualMS))
}

// failed judges a request that came to nothing.
func failed(r *Record) Verdict {
	// What a phone said speaks for its user.
	if r.Phone {
		return refusal(r.Status, r.Reason)
	}
	var best *Verdict
	rank := 0
	for i := range r.Devices {
		if v := ofDevice(r, &r.Devices[i]); best == nil || weight(v.Code) > rank {
			best, rank = &v, weight(v.Code)
		}
	}
	if best != nil {
		return *best
	}
	return ofRequest(r)
}

// weight says which of several phones tells most: one that nearly rang.
func weight(code string) int {
	switch code {
	case CodeBusy, CodeDeclined, CodeNotAvailable, CodeMediaRefused, CodePhoneRefused:
		return 9
	case CodeNoAnswer:
		return 8
	case CodeSilent, CodeConnectionLost:
		return 7
	case CodeWokeLate, CodeRegisterRefused:
		return 6
	case CodeRegisteredElsewhere:
		return 5
	case CodeDidNotWake:
		return 4
	case CodeUnreachable, CodeFailed:
		return 1
	}
	return 3
}

// ofDevice judges one phone of a request that came to nothing.
func ofDevice(r *Record, d *Device) Verdict {
	switch {
	case d.Answer >= 300:
		return refusal(d.Answer, "")
	case d.Late:
		return late(r, d)
	}
	if v, ok := known(r, d); ok {
		return v
	}
	switch {
	case !d.Ringing.IsZero():
		return Verdict{CodeNoAnswer, "The phone rang, and nobody took the call.", ""}
	case d.End == "Too Many Requests Waiting":
		return Verdict{CodeTooMany, "Too many requests wait for phones already, of this user or all.", "limits.parked and limits.parked_per_aor bound them; `reveille parked` shows who waits."}
	case d.End == "Server Is Stopping":
		return Verdict{CodeStopping, "The server was stopped while the phone was being woken.", ""}
	case d.End == "Device Connection Lost", d.End == "Flow Failed":
		return Verdict{CodeConnectionLost, "The phone's connection broke when the request was sent to it, and it did not come back.", "Look at the phone's network, and at connections in the log."}
	case !d.Woke.IsZero(), !d.Sent.IsZero() && !d.TimedOut:
		return Verdict{
			CodeSilent, "The phone was awake and got the request" + onFlow(d) + ", but never answered it.",
			"The app has to take the INVITE after its REGISTER. `reveille trace` shows what goes to the phone and comes from it.",
		}
	case d.Class == classForbidden:
		return Verdict{
			CodePushForbidden, "No push may be sent to this phone for a request of this kind, and it did not register by itself.",
			explain.Outcome(d.Provider, push.Outcome{Class: push.Forbidden, Reason: d.Reason}).Do,
		}
	case d.TimedOut && d.Class == "", d.TimedOut && d.Reason == reasonCanceled:
		return untaken(r, d)
	case d.TimedOut:
		return Verdict{
			CodeDidNotWake, fmt.Sprintf("The push service took the push, and the phone did not register within %s%s.", roundly(waited(r, d)), usually(d)),
			explain.Wake(false, false).Do,
		}
	}
	return ofRequest(r)
}

func onFlow(d *Device) string {
	if d.Flow == "" || d.Woke.IsZero() {
		return ""
	}
	return " on its new connection"
}

// waited is how long a phone was waited for after its push.
func waited(r *Record, d *Device) time.Duration {
	end := d.Deadline
	if end.IsZero() || !r.Ended.IsZero() && r.Ended.Before(end) {
		end = r.Ended
	}
	from := d.Asked
	if from.IsZero() {
		from = r.Began
	}
	return max(end.Sub(from), 0)
}

func late(r *Record, d *Device) Verdict {
	took, wait := roundly(ofMS(d.WokeMS)), roundly(waited(r, d))
	v := Verdict{CodeWokeLate, "The phone woke too late: it registered " + took + " after the push, and was waited for " + wait + ".", "Give phones more time: push.wait."}
	if r.Outcome == OutcomeCancelled {
		v.Said = "The phone woke after the caller gave up: " + took + " after the push, and the caller waited " + wait + "."
		v.Do = "Callers hear nothing while a phone is woken, and some give up: wake.ringback lets them hear ringing."
	}
	if d.UsualMS > 0 {
		v.Said += " It usually takes " + roundly(ofMS(d.UsualMS)) + "."
	}
	return v
}

// known judges a phone of which it is known why it could not come; ok is false if
// nothing is.
func known(r *Record, d *Device) (v Verdict, ok bool) {
	if s := refusedStep(r, d); s != nil && d.Woke.IsZero() {
		return Verdict{
			CodeRegisterRefused, fmt.Sprintf("The phone woke and tried to register, and was refused: %d %s.", s.Status, s.Reason),
			"Look at the phone's user name and password, or at the rule that refused it.",
		}, true
	}
	if d.Elsewhere != "" {
		return Verdict{
			CodeRegisteredElsewhere, "The phone registered as " + d.Elsewhere + ": it belongs to that user now, and releases no calls to this one.",
			"The app's user has changed. The old registration ends by itself, or with `reveille bindings rm`.",
		}, true
	}
	if d.Class == NotSent {
		return lacking(d), true
	}
	if class := classOf(d.Class); class != 0 && class != push.OK && class != push.Forbidden && d.Reason != reasonCanceled {
		return ofPush(d, class), true
	}
	if s := unregistered(r, d); s != nil && d.Woke.IsZero() {
		return Verdict{
			CodeRegistrationEnded, "The phone's registration ended while it was waited for: " + s.Reason + ".",
			"The phone unregistered, was logged out, or its registration expired.",
		}, true
	}
	return v, false
}

func refusedStep(r *Record, d *Device) *Step {
	for i := range r.Steps {
		if s := &r.Steps[i]; s.Kind == StepRegister && s.Status >= 300 && s.Binding == d.Binding {
			return s
		}
	}
	return nil
}

func unregistered(r *Record, d *Device) *Step {
	for i := range r.Steps {
		if s := &r.Steps[i]; s.Kind == StepUnregister && s.Binding == d.Binding {
			return s
		}
	}
	return nil
}

// refusal judges an answer of a phone.
func refusal(status int, reason string) Verdict {
	said := fmt.Sprint(status)
	if reason != "" {
		said += " " + reason
	}
	switch status {
	case 486, 600:
		return Verdict{CodeBusy, "The phone is busy: it answered " + said + ".", ""}
	case 603, 607, 608:
		return Verdict{CodeDeclined, "The call was declined on the phone: it answered " + said + ".", ""}
	case 480:
		return Verdict{CodeNotAvailable, "The phone got the request and is not available: it answered " + said + ".", "Look whether the app is set to do not disturb, or logged out."}
	case 488, 606, 415:
		return Verdict{CodeMediaRefused, "The phone does not take what the caller offers: it answered " + said + ".", "Compare the codecs and the encryption of both sides; `media` converts between kinds of encryption."}
	case 408, 487:
		return Verdict{CodeNoAnswer, "Nobody took the call: the phone answered " + said + ".", ""}
	}
	return Verdict{CodePhoneRefused, "The phone, or a next hop, answered " + said + ".", ""}
}

// ofRequest judges a request by its final answer, of this server.
func ofRequest(r *Record) Verdict {
	switch {
	case r.Rule != "":
		return ofRule(r)
	case r.Lookup == "error":
		return Verdict{CodeNoLocation, "The location service could not say which phones are registered.", "Look at the store in the log."}
	case r.Lookup == "method":
		return Verdict{CodeNoMethod, "Phones are registered, and none of them takes " + r.Method + ".", "Their Allow says what they take; proxy.method_filter has them left out."}
	case r.Status == 404:
		return Verdict{CodeUnknownUser, "There is no such user here.", "Look for a misspelt name or domain, and at the user source."}
	case r.Lookup == "none" && r.Reason == "No Device As Wanted":
		return Verdict{CodeNoneWanted, "Phones are registered, and none of them is as the caller wants it (RFC 3841).", ""}
	case r.Lookup == "none":
		return Verdict{CodeNotRegistered, "No phone of the user is registered.", "The app has to run once and register; look at its user name, password and server."}
	case r.Status == 403:
		return Verdict{CodeForbidden, "A rule of this server forbids it: " + phrase(r) + ".", "Look at access and at who the caller is."}
	case r.Status == 503:
		return Verdict{CodeOverload, "The server refused the request: " + phrase(r) + ".", "Look at overload, and at `reveille status`."}
	case r.Status == 408 || r.Reason == "No Answer" || r.Reason == "No Answer From Device":
		return Verdict{CodeNoAnswer, "Nobody took the call: a phone got the request, and nobody answered it.", ""}
	case r.Reason == "Device Connection Lost" || r.Reason == "Flow Failed":
		return Verdict{CodeConnectionLost, "The phone's connection broke when the request was sent to it.", "Look at the phone's network, and at connections in the log."}
	case r.Reason == "Server Is Stopping":
		return Verdict{CodeStopping, "The server was stopped.", ""}
	}
	return Verdict{CodeFailed, "The caller was told " + phrase(r) + ".", ""}
}

func phrase(r *Record) string {
	if r.Reason == "" {
		return fmt.Sprint(r.Status)
	}
	return fmt.Sprintf("%d %s", r.Status, r.Reason)
}
