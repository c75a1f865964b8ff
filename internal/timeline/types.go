package timeline

import "time"

// The states of a Record.
const (
	// StateWaiting: a phone is being woken, and somebody waits for it.
	StateWaiting = "waiting"
	// StateDelivered: the request is with a phone, or with the last of several that had
	// to be woken, and there is no final answer.
	StateDelivered = "delivered"
	// StateEnded: the request has its answer, or its sender gave up. What comes too late
	// is added to it all the same.
	StateEnded = "ended"
)

// The outcomes of a Record that has ended.
const (
	// OutcomeAnswered: a phone took it.
	OutcomeAnswered = "answered"
	// OutcomeKept: a MESSAGE was taken for later.
	OutcomeKept = "kept"
	// OutcomeDiverted: a fallback such as voicemail took it.
	OutcomeDiverted = "diverted"
	// OutcomeCancelled: the caller gave up.
	OutcomeCancelled = "cancelled"
	// OutcomeFailed: it came to nothing.
	OutcomeFailed = "failed"
)

// A Record is what became of one request. It is a copy, and its receiver's to change.
type Record struct {
	Summary
	Steps []Step `json:"steps" doc:"what happened, in order"`
	// Dropped is how many steps did not fit.
	Dropped int `json:"dropped,omitempty" doc:"how many steps were left out, because there were too many"`
}

// A Summary is a Record without its steps.
type Summary struct {
	ID     string `json:"id" doc:"names the record; a later one of a node has a greater one"`
	CallID string `json:"call_id" doc:"Call-ID of the request"`
	Method string `json:"method" doc:"INVITE, MESSAGE, …"`
	From   string `json:"from,omitempty" doc:"who sent it, without parameters"`
	To     string `json:"to,omitempty" doc:"whom it is for, without parameters"`
	AOR    string `json:"aor,omitempty" doc:"the user who was called; absent if it is for none"`
	// Lookup is what the look-up of the user's phones came to.
	Lookup  string    `json:"lookup,omitempty" doc:"what the look-up of the user's phones came to: found, push_only (all have to be woken), none, method (none takes it), error; or binding for a request that names one phone"`
	Phones  int       `json:"phones,omitempty" doc:"how many phones the look-up found"`
	Asleep  bool      `json:"asleep" doc:"whether it met a phone that had to be woken"`
	Began   time.Time `json:"began" doc:"when it arrived"`
	Ended   time.Time `json:"ended,omitzero" doc:"when it ended"`
	State   string    `json:"state" doc:"waiting (for a phone to wake), delivered (and not answered yet) or ended"`
	Outcome string    `json:"outcome,omitempty" doc:"answered, kept, diverted, cancelled or failed, if it has ended"`
	Status  int       `json:"status,omitempty" doc:"SIP status of the final answer"`
	Reason  string    `json:"reason,omitempty" doc:"phrase of the final answer"`
	Phone   bool      `json:"by_phone,omitempty" doc:"whether the final answer is a phone's or next hop's, not this server's"`
	// Rule is event.Call.Rule.
	Rule    string   `json:"rule,omitempty" doc:"the key of the configuration that refused it before anybody looked for a phone, as in request.refused"`
	Devices []Device `json:"devices" doc:"the phones that had to be woken, and those that failed"`
	Verdict *Verdict `json:"verdict,omitempty" doc:"what was the matter, if it has ended"`
}

// A Device is what happened to one of the phones of a Record.
type Device struct {
	Binding  string `json:"binding" doc:"the phone's identity here"`
	AOR      string `json:"aor,omitempty" doc:"the user whose phone it is"`
	Instance string `json:"instance,omitempty" doc:"+sip.instance"`
	Provider string `json:"provider,omitempty" doc:"pn-provider"`
	PushID   string `json:"push_id,omitempty" doc:"names the push, as in events"`
	SentAs   string `json:"sent_as,omitempty" doc:"the push of another request that was sent for this one, too"`

	Parked   time.Time `json:"parked,omitzero" doc:"since when the request waited for it"`
	Asked    time.Time `json:"asked,omitzero" doc:"when the push was asked for"`
	Deadline time.Time `json:"deadline,omitzero" doc:"until when it was waited for"`
	// Taken is when the push service took the push, zero if it did not, or it is not
	// known yet.
	Taken    time.Time `json:"taken,omitzero" doc:"when the push service took the push"`
	Class    string    `json:"class,omitempty" doc:"what became of the push, as in push.outcome; not_sent if it was not even tried"`
	Status   int       `json:"status,omitempty" doc:"HTTP status"`
	Reason   string    `json:"reason,omitempty" doc:"the push service's own word"`
	Proven   bool      `json:"proven,omitempty" doc:"whether the push service took another push with this credential within the last hour"`
	Attempts int       `json:"attempts,omitempty" doc:"how often the push was sent"`
	App      string    `json:"app,omitempty" doc:"the name in push.apps, if its certificate has expired and that may be why the push failed"`
	Expired  time.Time `json:"expired,omitzero" doc:"when that was"`

	Woke     time.Time `json:"woke,omitzero" doc:"when it was back"`
	WokeMS   float64   `json:"woke_ms,omitempty" doc:"how long after the push it was back"`
	Late     bool      `json:"late,omitempty" doc:"whether it came when nobody waited for it any more"`
	TimedOut bool      `json:"timed_out,omitempty" doc:"whether it was waited for in vain"`
	// UsualMS and SpreadMS are what was known of it before.
	UsualMS  float64 `json:"usual_ms,omitempty" doc:"how long it usually takes to wake"`
	SpreadMS float64 `json:"spread_ms,omitempty" doc:"mean deviation from that"`
	// Sent is the last time that the request left for the phone.
	Sent    time.Time `json:"sent,omitzero" doc:"when the request was sent to it"`
	Ringing time.Time `json:"ringing,omitzero" doc:"when it rang"`
	// Answer is its final answer.
	Answer int `json:"answer,omitempty" doc:"SIP status of its final answer"`
	// End is why it could not have the request, if it was for none of the above.
	End  string `json:"end,omitempty" doc:"why this server gave it up, if it did"`
	Flow string `json:"flow,omitempty" doc:"where it was when it came back"`
	// Elsewhere is the other user under whom the device registered.
	Elsewhere string `json:"elsewhere,omitempty" doc:"the other user under whom it registered meanwhile"`
}

// The kinds of Step.
const (
	StepReceived    = "received"     // the request arrived, and may be passed on
	StepForwarded   = "forwarded"    // it was sent to a phone that was awake
	StepSilent      = "silent"       // that phone said nothing, and is woken
	StepParked      = "parked"       // it waits for a phone
	StepPush        = "push"         // a push was asked for
	StepAttempt     = "attempt"      // the push service was asked, and answered
	StepPushOutcome = "push_outcome" // what became of the push
	StepReport      = "report"       // what the operator's push system reported
	StepRegister    = "register"     // the phone registered
	StepUnregister  = "unregister"   // its registration ended
	StepElsewhere   = "elsewhere"    // it registered under another user
	StepWoken       = "woken"        // the phone is back
	StepReleased    = "released"     // the request that waited was sent to it
	StepRinging     = "ringing"      // the caller hears ringing
	StepRingback    = "ringback"     // the caller hears ringing, and the phone is still being woken
	StepTimedOut    = "timed_out"    // the phone was waited for in vain
	StepUnreachable = "unreachable"  // the phone sleeps, and nothing wakes it
	StepBranchEnded = "branch_ended" // the phone has failed; others may go on
	StepDiverted    = "diverted"     // it goes elsewhere, such as to voicemail
	StepAnswered    = "answered"     // a phone took it
	StepCancelled   = "cancelled"    // the caller gave up
	StepFailed      = "failed"       // the caller was told that it came to nothing
	StepRefused     = "refused"      // the caller was told no, and nobody looked for a phone
	StepLate        = "late"         // a phone came when nobody waited for it any more
)

// A Step is one thing that happened.
type Step struct {
	At       time.Time `json:"at" doc:"when"`
	OffsetMS float64   `json:"offset_ms" doc:"time since the request arrived"`
	Kind     string    `json:"kind" doc:"received, forwarded, silent, parked, push, attempt, push_outcome, report, register, unregister, elsewhere, woken, released, ringing, ringback, timed_out, unreachable, branch_ended, diverted, answered, cancelled, failed, refused or late"`
	Binding  string    `json:"binding,omitempty" doc:"the phone concerned"`
	PushID   string    `json:"push_id,omitempty" doc:"the push concerned"`
	Provider string    `json:"provider,omitempty" doc:"pn-provider, of a push"`
	Attempt  int       `json:"attempt,omitempty" doc:"which one it was, from 1"`
	Status   int       `json:"status,omitempty" doc:"SIP status; of an attempt or the outcome of a push, HTTP status"`
	Class    string    `json:"class,omitempty" doc:"of an attempt or the outcome of a push, as in push.outcome"`
	Reason   string    `json:"reason,omitempty" doc:"phrase of an answer, or the push service's own word"`
	Flow     string    `json:"flow,omitempty" doc:"where the request or the REGISTER came from, or where the request went"`
	// TookMS is how long an attempt took, or since its push a phone.
	TookMS float64 `json:"took_ms,omitempty" doc:"how long it took: an attempt its answer, a phone from the push on"`
	Text   string  `json:"text" doc:"the same in words"`
}

// A Verdict says what was the matter with a request.
type Verdict struct {
	Code string `json:"code" doc:"stable, for programs; see operations.md"`
	Said string `json:"said" doc:"what was the matter, in words"`
	Do   string `json:"do,omitempty" doc:"what to do about it, in words"`
}

// A Waiting is a phone that is being woken while a request waits for it.
type Waiting struct {
	ID       string    `json:"id" doc:"of the record"`
	CallID   string    `json:"call_id" doc:"Call-ID of the request"`
	Method   string    `json:"method" doc:"INVITE, MESSAGE, …"`
	From     string    `json:"from,omitempty" doc:"who sent it, without parameters"`
	AOR      string    `json:"aor,omitempty" doc:"the user whose phone it is"`
	Binding  string    `json:"binding" doc:"the phone"`
	Provider string    `json:"provider,omitempty" doc:"pn-provider"`
	Since    time.Time `json:"since" doc:"since when it waits"`
	Deadline time.Time `json:"deadline,omitzero" doc:"until when it waits"`
	// Class is what became of the push; empty if that is not known yet.
	Class string `json:"class,omitempty" doc:"what became of the push, as in push.outcome; absent while it is not known"`
}

// NotSent is the class of a push that was not even tried, as nothing wakes the phone.
const NotSent = "not_sent"

// The keys of Minute.Failed that are no classes of pushes, besides NotSent.
const (
	// FailedTimeout: the push service took the push, or did not say, and the phone did
	// not come in time.
	FailedTimeout = "timed_out"
	// FailedCancelled: nobody waited any more, as the caller gave up or somebody else
	// took the call.
	FailedCancelled = "cancelled"
)

// A Minute is what happened to pushes for requests within one minute of the clock.
// Pushes that keep a registration alive are not among them: nobody waits for those.
type Minute struct {
	At    time.Time `json:"at" doc:"when the minute began"`
	Asked int       `json:"asked" doc:"how many phones were to be woken"`
	Woke  int       `json:"woke" doc:"how many came while somebody waited"`
	Late  int       `json:"late" doc:"how many came too late"`
	// Failed counts by class of the push's outcome, or FailedTimeout and others.
	Failed map[string]int `json:"failed,omitempty" doc:"how many did not come, by why: a class of push.outcome, not_sent, timed_out (no REGISTER in time) or cancelled (nobody waited any more)"`
	P50MS  float64        `json:"p50_ms,omitempty" doc:"half of those that woke took no longer than this"`
	P95MS  float64        `json:"p95_ms,omitempty" doc:"95 of 100"`
	P99MS  float64        `json:"p99_ms,omitempty" doc:"99 of 100"`
	MaxMS  float64        `json:"max_ms,omitempty" doc:"the slowest"`
}

// Hour is the last sixty minutes, the oldest first, each of them whole but the last.
type Hour struct {
	Minutes []Minute `json:"minutes" doc:"the last sixty minutes, the oldest first; the last has not ended"`
	// Total is all of them together; At is when the first began.
	Total Minute `json:"total" doc:"all of them together"`
}
