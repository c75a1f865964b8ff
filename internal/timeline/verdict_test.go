package timeline

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"reveille/internal/event"
	"reveille/push"
	"reveille/push/explain"
)

// failedCall is a call that came to nothing, to one phone.
func failedCall(status int, reason string, change func(*Record, *Device)) Record {
	began := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	r := Record{Summary: Summary{
		Method: "INVITE", AOR: alice, Asleep: true, Lookup: "push_only", Phones: 1, Began: began, Ended: began.Add(25 * time.Second),
		State: StateEnded, Outcome: OutcomeFailed, Status: status, Reason: reason,
		Devices: []Device{{
			Binding: phone, AOR: alice, Provider: "fcm", Parked: began, Asked: began, Deadline: began.Add(25 * time.Second), UsualMS: 3000,
		}},
	}}
	if change != nil {
		change(&r, &r.Devices[0])
	}
	return r
}

// refusedCall is a call that got no further than a rule.
func refusedCall(status int, reason string, rule event.Rule) Record {
	return failedCall(status, reason, func(r *Record, _ *Device) {
		r.From, r.Devices, r.Lookup, r.Asleep, r.Rule = "sip:bob@example.com", nil, "", false, rule.String()
		r.Steps = []Step{{Kind: StepReceived, Flow: "udp:192.0.2.9:5060"}, {Kind: StepRefused, Status: status, Reason: reason}}
	})
}

func TestJudge(t *testing.T) {
	codes := map[string]bool{}
	taken := func(d *Device) { d.Class, d.Attempts, d.Taken = classOK, 1, d.Asked }
	step := func(kind string, status int, reason string) Step {
		return Step{Kind: kind, Binding: phone, Status: status, Reason: reason}
	}
	none := func(lookup string) func(*Record, *Device) {
		return func(r *Record, _ *Device) { r.Devices, r.Lookup, r.Asleep = nil, lookup, false }
	}
	for _, tt := range []struct {
		code string
		said string // part of it
		r    Record
	}{
		{CodeWaiting, "not ended", failedCall(0, "", func(r *Record, _ *Device) { r.State, r.Outcome = StateWaiting, "" })},
		{CodeAnswered, "3.1 s to wake", failedCall(200, "", func(r *Record, d *Device) { r.Outcome, d.Answer, d.WokeMS = OutcomeAnswered, 200, 3100 })},
		{CodeAnswered, "Another phone came too late 9.4 s after", failedCall(200, "", func(r *Record, d *Device) { r.Outcome, d.Late, d.WokeMS = OutcomeAnswered, true, 9400 })},
		{CodeKept, "kept", failedCall(202, "Kept", func(r *Record, _ *Device) { r.Outcome = OutcomeKept })},
		{CodeCancelled, "rang, and the caller gave up after 25 s", failedCall(487, "", func(r *Record, d *Device) { r.Outcome, d.Ringing = OutcomeCancelled, r.Began.Add(time.Second) })},
		{CodeCancelled, "with a phone", failedCall(487, "", func(r *Record, d *Device) { r.Outcome, d.Woke = OutcomeCancelled, r.Began.Add(time.Second) })},
		{CodeGaveUpEarly, "gave up after 6 s, while the phone was still being woken; this one usually takes 3 s", failedCall(487, "", func(r *Record, d *Device) {
			taken(d)
			r.Outcome, r.Ended = OutcomeCancelled, r.Began.Add(6*time.Second)
		})},
		{CodeWokeLate, "after the caller gave up: 9.4 s after the push, and the caller waited 6 s", failedCall(487, "", func(r *Record, d *Device) {
			taken(d)
			r.Outcome, r.Ended, d.Late, d.WokeMS, d.Woke = OutcomeCancelled, r.Began.Add(6*time.Second), true, 9400, r.Began
		})},
		{CodeWokeLate, "registered 26 s after the push, and was waited for 25 s", failedCall(480, "Device Did Not Wake", func(r *Record, d *Device) {
			taken(d)
			d.TimedOut, d.Late, d.WokeMS, d.Woke = true, true, 26000, r.Began
		})},
		{CodeDidNotWake, "did not register within 25 s; this one usually takes 3 s", failedCall(480, "Device Did Not Wake", func(_ *Record, d *Device) {
			taken(d)
			d.TimedOut = true
		})},
		{CodeDidNotWake, "The call went to the fallback. The push service took", failedCall(200, "", func(r *Record, d *Device) {
			taken(d)
			d.TimedOut, r.Outcome = true, OutcomeDiverted
		})},
		{CodeForbidden, "The caller, sip:bob@example.com at udp:192.0.2.9:5060, was refused before anybody looked for a phone: the access list acl.source denies its address. It was told 403.", refusedCall(403, "", event.RuleSource)},
		{CodeForbidden, "not among auth.trusted", refusedCall(403, "", event.RuleTrusted)},
		{CodeForbidden, "the program of hooks.route said so, or did not answer. It was told 480 No Way Known.", refusedCall(480, "No Way Known", event.RuleRouteHook)},
		{CodeCallerRefused, "its password is wrong.", refusedCall(407, "password", event.RuleCredentials)},
		{CodeCallerRefused, "no user of the name that it gave", refusedCall(407, "no_user", event.RuleCredentials)},
		{CodeCallerRefused, "cannot be taken (algorithm)", refusedCall(407, "algorithm", event.RuleCredentials)},
		{CodeTooFast, "its address sent too much", refusedCall(480, "Too Many Requests", event.RuleRate)},
		{CodeTooFast, "the user was called too often", refusedCall(480, "Too Many Requests", event.RulePerUser)},
		{CodeOverload, "too much to do. It was told 503.", refusedCall(503, "", event.RuleOverload)},
		{CodePushUnreachable, "The push service never answered, though it was asked 3 times.", failedCall(480, "Device Did Not Wake", func(_ *Record, d *Device) {
			d.TimedOut, d.Class, d.Reason, d.Attempts = true, push.Network.String(), reasonTimeout, 3
		})},
		{CodePushUnreachable, "The push service never answered, though it was asked 2 times.", failedCall(480, "Device Did Not Wake", func(r *Record, d *Device) {
			d.TimedOut, d.Class, d.Reason, d.Attempts = true, push.Shed.String(), reasonCanceled, 2
			r.Steps = []Step{{Kind: StepAttempt, Binding: phone, Attempt: 2, Class: push.Network.String(), Reason: reasonTimeout}}
		})},
		{CodePushNotSent, "had not left this server when the time was over", failedCall(480, "Device Did Not Wake", func(_ *Record, d *Device) {
			d.TimedOut, d.Class, d.Reason = true, push.Shed.String(), reasonCanceled
		})},
		{CodeCredential, "The certificate of push.apps ios expired on 2026-11-20, so no phone", failedCall(480, "", func(_ *Record, d *Device) {
			d.Class, d.App, d.Expired = push.Network.String(), "ios", time.Date(2026, 11, 20, 1, 0, 0, 0, time.UTC)
		})},
		{CodePushUnreachable, "The push service never answered: when the time was over", failedCall(480, "Device Did Not Wake", func(_ *Record, d *Device) { d.TimedOut = true })},
		{CodeRegisteredElsewhere, "registered as sip:carol@example.com", failedCall(480, "Device Did Not Wake", func(_ *Record, d *Device) {
			taken(d)
			d.TimedOut, d.Elsewhere = true, "sip:carol@example.com"
		})},
		{CodeRegisterRefused, "refused: 401 password", failedCall(480, "Device Did Not Wake", func(r *Record, d *Device) {
			taken(d)
			d.TimedOut = true
			r.Steps = []Step{step(StepRegister, 401, "password")}
		})},
		{CodeRegistrationEnded, "ended while it was waited for", failedCall(480, "Registration Ended", func(r *Record, d *Device) {
			taken(d)
			r.Steps = []Step{step(StepUnregister, 0, "operator")}
		})},
		{CodeNoToken, "no push token", failedCall(480, "Device Unreachable", func(_ *Record, d *Device) { d.Class, d.Reason = NotSent, "NoToken" })},
		{CodeTokenDead, "declared the phone's token dead", failedCall(480, "Device Unreachable", func(_ *Record, d *Device) { d.Class, d.Reason = NotSent, "DeadToken" })},
		{CodeNoApp, "(pn-provider fcm)", failedCall(480, "Device Unreachable", func(_ *Record, d *Device) { d.Class, d.Reason = NotSent, "NoApp" })},
		{CodeBadParameters, "cannot be read", failedCall(480, "Device Unreachable", func(_ *Record, d *Device) { d.Class, d.Reason = NotSent, "BadParameters" })},
		{CodePushForbidden, "wake no phone", failedCall(480, "Device Unreachable", func(_ *Record, d *Device) { d.Class = NotSent })},
		{CodeUnreachable, "no live connection", failedCall(480, "Device Unreachable", func(_ *Record, d *Device) { d.Provider, d.Class, d.Reason = "", NotSent, "NoToken" })},
		{CodeCredential, "Google", failedCall(480, "Push Failed", func(_ *Record, d *Device) { d.Class, d.Reason, d.Attempts = "credential", "THIRD_PARTY_AUTH_ERROR", 1 })},
		{CodeCredential, "(apns: ExpiredProviderToken)", failedCall(480, "Push Failed", func(_ *Record, d *Device) {
			d.Provider, d.Class, d.Reason, d.Attempts = "apns", "credential", "ExpiredProviderToken", 1
		})},
		{CodeQueueFull, "queue for the push service is full", failedCall(480, "Push Failed", func(_ *Record, d *Device) { d.Class, d.Reason = "shed", "QueueFull" })},
		{CodeTokenSuspect, "credential", failedCall(480, "Push Failed", func(_ *Record, d *Device) { d.Class = "suspect" })},
		{CodePushFailed, "", failedCall(480, "Push Failed", func(_ *Record, d *Device) { d.Class, d.Reason = "rejected", "Reported" })},
		{CodePushForbidden, "did not register by itself", failedCall(480, "Device Did Not Wake", func(_ *Record, d *Device) { d.Class, d.Reason, d.TimedOut = "forbidden", "NoTokenForKind", true })},
		{CodeTooMany, "Too many", failedCall(480, "Too Many Requests Waiting", func(_ *Record, d *Device) { d.End = "Too Many Requests Waiting" })},
		{CodeStopping, "stopped", failedCall(480, "Server Is Stopping", func(_ *Record, d *Device) { d.End = "Server Is Stopping" })},
		{CodeConnectionLost, "connection broke", failedCall(480, "Device Connection Lost", func(_ *Record, d *Device) { d.End = "Device Connection Lost" })},
		{CodeSilent, "on its new connection, but never answered", failedCall(408, "No Answer From Device", func(r *Record, d *Device) {
			taken(d)
			d.Woke, d.Sent, d.Flow, d.End = r.Began, r.Began, "tcp", "No Answer From Device"
		})},
		{CodeNoAnswer, "rang", failedCall(480, "No Answer", func(r *Record, d *Device) { d.Woke, d.Ringing = r.Began, r.Began })},
		{CodeBusy, "486 Busy Here", failedCall(486, "Busy Here", func(r *Record, d *Device) { r.Phone, d.Answer = true, 486 })},
		{CodeBusy, "600", failedCall(480, "Device Did Not Wake", func(_ *Record, d *Device) { d.Answer = 600 })},
		{CodeDeclined, "603", failedCall(603, "Decline", func(r *Record, _ *Device) { r.Phone = true })},
		{CodeNotAvailable, "480", failedCall(480, "Temporarily Unavailable", func(r *Record, _ *Device) { r.Phone = true })},
		{CodeMediaRefused, "488", failedCall(488, "Not Acceptable Here", func(r *Record, _ *Device) { r.Phone = true })},
		{CodePhoneRefused, "500", failedCall(500, "Oops", func(r *Record, _ *Device) { r.Phone = true })},
		{CodeUnknownUser, "no such user", failedCall(404, "", none("none"))},
		{CodeNotRegistered, "No phone of the user", failedCall(480, "Not Registered", none("none"))},
		{CodeNoneWanted, "as the caller wants it", failedCall(480, "No Device As Wanted", none("none"))},
		{CodeNoMethod, "none of them takes INVITE", failedCall(405, "", none("method"))},
		{CodeNoLocation, "could not say", failedCall(503, "", none("error"))},
		{CodeForbidden, "403 Contact Is Not Yours", failedCall(403, "Contact Is Not Yours", none(""))},
		{CodeOverload, "503", failedCall(503, "Overloaded", none(""))},
		{CodeNoAnswer, "nobody answered", failedCall(408, "No Answer From Device", none("found"))},
		{CodeConnectionLost, "broke", failedCall(480, "Device Connection Lost", none("found"))},
		{CodeStopping, "stopped", failedCall(480, "Server Is Stopping", none("found"))},
		{CodeFailed, "483 Too Many Hops", failedCall(483, "Too Many Hops", none(""))},
		{CodeThrottled, "", failedCall(480, "", func(_ *Record, d *Device) { d.Class = "throttled" })},
		{CodePushUnavailable, "", failedCall(480, "", func(_ *Record, d *Device) { d.Class = "unavailable" })},
		{CodePushRejected, "", failedCall(480, "", func(_ *Record, d *Device) { d.Class = "rejected" })},
		{CodePushExpired, "", failedCall(480, "", func(_ *Record, d *Device) { d.Class = "expired" })},
		{CodePushNotSent, "", failedCall(480, "", func(_ *Record, d *Device) { d.Class = "shed" })},
	} {
		got := Judge(&tt.r)
		if got.Code != tt.code || !strings.Contains(got.Said, tt.said) || got.Said == "" {
			t.Errorf("%d %s: %+v, want %s: …%s…", tt.r.Status, tt.r.Reason, got, tt.code, tt.said)
		}
		codes[got.Code] = true
	}
	for _, code := range allCodes(t) {
		if !codes[code] {
			t.Errorf("no case is for the code %s", code)
		}
	}
}

// allCodes reads the codes from the source: a constant cannot be asked for.
func allCodes(t *testing.T) (list []string) {
	t.Helper()
	b, err := os.ReadFile("verdict.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\tCode\w+ += "(\w+)"`).FindAllStringSubmatch(string(b), -1) {
		list = append(list, m[1])
	}
	if len(list) < 30 {
		t.Fatalf("%d codes are found", len(list))
	}
	return list
}

// TestJudge_CodesAreDocumented: programs that read them have a list.
func TestJudge_CodesAreDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range allCodes(t) {
		if !strings.Contains(string(b), "`"+code+"`") {
			t.Errorf("docs/operations.md does not say what %s means", code)
		}
	}
}

// TestJudge_EveryClassOfPush: none is left without words, nor taken for another.
func TestJudge_EveryClassOfPush(t *testing.T) {
	seen := map[string]push.Class{}
	for c := push.OK; c.String() != "unknown"; c++ {
		if classOf(c.String()) != c {
			t.Errorf("%s is not read", c)
		}
		r := failedCall(480, "Push Failed", func(_ *Record, d *Device) { d.Class, d.TimedOut = c.String(), c == push.OK || c == push.Forbidden })
		v := Judge(&r)
		if v.Said == "" || v.Code == CodeFailed || v.Do == "" && c != push.Forbidden {
			t.Errorf("%s: %+v", c, v)
		}
		if other, twice := seen[v.Code]; twice {
			t.Errorf("%s and %s are both %s", c, other, v.Code)
		}
		seen[v.Code] = c
	}
	if classOK != push.OK.String() || classGone != push.Gone.String() || classForbidden != push.Forbidden.String() || !explain.Known("fcm", reasonTimeout) || !explain.Known("fcm", reasonCanceled) {
		t.Error("the classes have other names")
	}
}

// TestJudge_WhoTellsMost: of several phones the one that nearly rang.
func TestJudge_WhoTellsMost(t *testing.T) {
	r := failedCall(480, "Device Did Not Wake", func(r *Record, d *Device) {
		d.Class, d.TimedOut = classOK, true
		r.Devices = append(r.Devices, Device{Binding: "2", Answer: 486}, Device{Binding: "3", Class: NotSent})
	})
	if v := Judge(&r); v.Code != CodeBusy {
		t.Errorf("%+v", v)
	}
}

// TestTypes_AreDocumented: they are what others read.
func TestTypes_AreDocumented(t *testing.T) {
	for _, typ := range []reflect.Type{
		reflect.TypeFor[Record](), reflect.TypeFor[Summary](), reflect.TypeFor[Device](), reflect.TypeFor[Step](), reflect.TypeFor[Verdict](),
		reflect.TypeFor[Waiting](), reflect.TypeFor[Minute](), reflect.TypeFor[Hour](), reflect.TypeFor[Ending](),
	} {
		for f := range typ.Fields() {
			if !f.Anonymous && (f.Tag.Get("doc") == "" || f.Tag.Get("json") == "") {
				t.Errorf("%s.%s has no name or no words in JSON", typ.Name(), f.Name)
			}
		}
	}
}
