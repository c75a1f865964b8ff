package why

import (
	"strings"
	"testing"
	"time"

	"reveille/internal/timeline"
	"reveille/push"
)

func now() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

func ended(code string, change func(*timeline.Record)) timeline.Record {
	r := timeline.Record{Summary: timeline.Summary{
		Method: "INVITE", Began: now().Add(-5 * time.Minute), State: timeline.StateEnded, Outcome: timeline.OutcomeFailed,
		Verdict: &timeline.Verdict{Code: code, Said: "Then " + code + ".", Do: "Do."},
	}}
	if change != nil {
		change(&r)
	}
	return r
}

// ruled makes a Record one of a request that a rule refused.
func ruled(r *timeline.Record) { r.Rule = "acl.source" }

func TestJudge(t *testing.T) {
	asleep := Phone{Binding: "1", Provider: "fcm", App: "android", Updated: now().Add(-time.Hour)}
	awake := asleep
	awake.Awake = true
	with := func(p Phone, change func(*Phone)) Phone {
		change(&p)
		return p
	}
	end := func(action, cause string) timeline.Ending {
		return timeline.Ending{At: now().Add(-time.Hour), Action: action, Cause: cause, Binding: "1"}
	}
	for _, tt := range []struct {
		name, code string
		facts      Facts
		said       []string
	}{
		{"unknown", timeline.CodeUnknownUser, Facts{Unknown: true}, []string{"no such user"}},
		{"never seen", timeline.CodeNotRegistered, Facts{}, []string{"none has been since the server started, at 2026-11-22 10:00:00 UTC"}},
		{"expired", timeline.CodeNotRegistered, Facts{Endings: []timeline.Ending{end("expired", "expiry")}}, []string{"expired at 2026-11-22 11:00:00 UTC"}},
		{"removed", timeline.CodeNotRegistered, Facts{Endings: []timeline.Ending{end("removed", "operator")}}, []string{"an operator removed the last"}},
		{"unregistered", timeline.CodeNotRegistered, Facts{Endings: []timeline.Ending{end("removed", "register")}}, []string{"unregistered itself"}},
		{"connection ended", timeline.CodeNotRegistered, Facts{Endings: []timeline.Ending{end("removed", "flow")}}, []string{"(flow)"}},
		{"moved", timeline.CodeRegisteredElsewhere, Facts{Endings: []timeline.Ending{{At: now(), Action: "removed", Cause: "token_moved", MovedTo: "sip:c@example.com"}, end("removed", "register")}}, []string{"under another account, sip:c@example.com"}},
		{"dead, then expired", timeline.CodeTokenDead, Facts{Endings: []timeline.Ending{end(timeline.TokenDead, "dead_token"), end("expired", "expiry")}}, []string{"token dead at", "expired at"}},
		{"awake", CodeFine, Facts{Phones: []Phone{awake}}, []string{"one phone is registered and awake"}},
		{"asleep", CodeFine, Facts{Phones: []Phone{asleep}}, []string{"can be woken"}},
		{"one of two", CodeFine, Facts{Phones: []Phone{awake, with(asleep, func(p *Phone) { p.Lacks = "NoToken" })}}, []string{"Another one cannot be reached: The phone sleeps and has no push token"}},
		{"token dead since", timeline.CodeTokenDead, Facts{
			Phones: []Phone{with(asleep, func(p *Phone) { p.Lacks = "NoToken" })}, Endings: []timeline.Ending{end(timeline.TokenDead, "dead_token")},
			Calls: []timeline.Record{ended(timeline.CodeNoToken, nil)},
		}, []string{"dead since 2026-11-22 11:00:00 UTC"}},
		{"no app", timeline.CodeNoApp, Facts{Phones: []Phone{with(asleep, func(p *Phone) { p.Lacks = "NoApp" })}}, []string{"push.apps"}},
		{"nothing to wake it by", timeline.CodeUnreachable, Facts{Phones: []Phone{{Binding: "1"}}}, []string{"no live connection"}},
		{"with others, too", timeline.CodeRegisteredElsewhere, Facts{
			Phones: []Phone{with(awake, func(p *Phone) { p.Elsewhere = []string{"sip:c@example.com"} })}, Calls: []timeline.Record{ended(timeline.CodeDidNotWake, nil)},
		}, []string{"another account, too: sip:c@example.com"}},
		{"lane rests", timeline.CodeCredential, Facts{Phones: []Phone{asleep}, Queues: []Queue{{App: "android", Provider: "fcm", Class: "credential"}}}, []string{"push.apps android just now", "credential"}},
		{"its certificate has expired", timeline.CodeCredential, Facts{
			Phones: []Phone{asleep}, Queues: []Queue{{App: "android", Provider: "fcm", Failures: 2, Expired: now().AddDate(0, 0, -3)}},
			Calls: []timeline.Record{ended(timeline.CodeCredential, nil)},
		}, []string{"The certificate of push.apps android expired on 2026-11-19"}},
		{"lane of others rests", CodeFine, Facts{Phones: []Phone{asleep}, Queues: []Queue{{App: "android-test", Provider: "fcm", Class: "credential"}}}, []string{"can be woken"}},
		{"never wakes", timeline.CodeDidNotWake, Facts{Phones: []Phone{with(asleep, func(p *Phone) { p.Wake = &Habit{InRow: 4, FailingSince: now().Add(-30 * time.Minute)} })}}, []string{"4 pushes in a row, since 2026-11-22 11:30"}},
		{"did not wake the last time", CodeFine, Facts{Phones: []Phone{with(asleep, func(p *Phone) { p.Wake = &Habit{InRow: 1, FailingSince: now().Add(-30 * time.Minute)} })}}, []string{"sleeps; the last push did not wake it."}},
		{"its push service failed, and does not rest", CodeFine, Facts{Phones: []Phone{asleep}, Queues: []Queue{{App: "android", Provider: "fcm", Failures: 1}}}, []string{"sleeps; its push service did not take the last push."}},
		{"came since", CodeFine, Facts{Phones: []Phone{with(asleep, func(p *Phone) { p.Wake = &Habit{InRow: 4, FailingSince: now().Add(-2 * time.Hour)} })}}, nil},
		{"a call failed, and all is well now", timeline.CodeBusy, Facts{Phones: []Phone{awake}, Calls: []timeline.Record{ended(timeline.CodeBusy, nil)}}, []string{"The last INVITE, 5 min ago: Then busy.", "Now one phone"}},
		{"a call was answered", CodeFine, Facts{Phones: []Phone{awake}, Calls: []timeline.Record{ended(timeline.CodeAnswered, nil)}}, []string{"5 min ago: Then answered. Now one phone"}},
		{"a call from outside of a dialog goes first", timeline.CodeBusy, Facts{
			Phones: []Phone{awake}, Calls: []timeline.Record{ended(timeline.CodeFailed, func(r *timeline.Record) { r.Lookup = "binding" }), ended(timeline.CodeBusy, nil)},
		}, nil},
		{"refused since it went well", timeline.CodeForbidden, Facts{
			Phones: []Phone{asleep}, Calls: []timeline.Record{ended(timeline.CodeForbidden, ruled), ended(timeline.CodeAnswered, nil)},
		}, []string{"The last INVITE, 5 min ago: Then forbidden.", "can be woken"}},
		{"nothing but refused", timeline.CodeForbidden, Facts{Phones: []Phone{asleep}, Calls: []timeline.Record{ended(timeline.CodeForbidden, ruled)}}, []string{"Then forbidden."}},
		{"refused, which hides no failure", timeline.CodeDidNotWake, Facts{
			Phones: []Phone{asleep}, Calls: []timeline.Record{ended(timeline.CodeForbidden, ruled), ended(timeline.CodeDidNotWake, nil)},
		}, []string{"Then did_not_wake.", "Since then, 5 min ago: Then forbidden."}},
		{"refused before it went well", CodeFine, Facts{
			Phones: []Phone{asleep}, Calls: []timeline.Record{ended(timeline.CodeAnswered, nil), ended(timeline.CodeForbidden, ruled)},
		}, []string{"Then answered. Now one phone"}},
		{"one that is not over", CodeFine, Facts{Phones: []Phone{asleep}, Calls: []timeline.Record{ended("", func(r *timeline.Record) { r.Verdict = nil })}}, nil},
		{"not registered then, nor now", timeline.CodeNotRegistered, Facts{Endings: []timeline.Ending{end("expired", "expiry")}, Calls: []timeline.Record{ended(timeline.CodeNotRegistered, nil)}}, []string{"expired at"}},
		{"what was is not explained by what is", timeline.CodeCredential, Facts{Endings: []timeline.Ending{end("expired", "expiry")}, Calls: []timeline.Record{ended(timeline.CodeCredential, nil)}}, []string{"Then credential_refused"}},
	} {
		tt.facts.AOR, tt.facts.Now, tt.facts.Started = "sip:alice@example.com", now(), now().Add(-2*time.Hour)
		r := Judge(&tt.facts)
		if r.Verdict.Code != tt.code {
			t.Errorf("%s: %+v, want %s", tt.name, r.Verdict, tt.code)
		}
		for _, part := range tt.said {
			if !strings.Contains(r.Verdict.Said, part) {
				t.Errorf("%s: %q does not say %q", tt.name, r.Verdict.Said, part)
			}
		}
		if r.Phones == nil || r.Calls == nil || r.Endings == nil || r.Queues == nil {
			t.Errorf("%s: a list is null", tt.name)
		}
	}
}

func TestQueueOf(t *testing.T) {
	good := push.LaneHealth{App: "a", Provider: "apns", LastOK: now()}
	if _, bad := QueueOf(good, now()); bad {
		t.Error("one that works is shown")
	}
	resting := push.LaneHealth{App: "a", Provider: "apns", Failures: 3, LastFailure: now(), LastReason: "ExpiredProviderToken", PausedFor: push.Credential, PausedUntil: now().Add(time.Minute)}
	if q, bad := QueueOf(resting, now()); !bad || q.Class != "credential" || q.Said == "" || q.Do == "" {
		t.Errorf("%+v, %v", q, bad)
	}
	recovered := resting
	recovered.LastOK, recovered.PausedUntil, recovered.Failures = now().Add(time.Second), time.Time{}, 0
	if q, bad := QueueOf(recovered, now()); bad {
		t.Errorf("%+v", q)
	}
}
