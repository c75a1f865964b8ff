package app

import (
	"errors"
	"strings"
	"testing"

	"reveille/internal/contacts"
	"reveille/internal/event"
	"reveille/internal/phone"
	"reveille/internal/timeline"
	"reveille/internal/why"
	"reveille/push/pushsim"
)

// asks returns what an operator hears who asks why alice's phone did not ring.
func (r *rig) asks() why.Report {
	r.t.Helper()
	report, err := r.why(r.within(), "alice@example.com", 5)
	if err != nil {
		r.t.Fatal(err)
	}
	return report
}

// TestWhy_FaultsMadeOnPurpose breaks one thing after another, and asks.
func TestWhy_FaultsMadeOnPurpose(t *testing.T) {
	const token = "token-of-alice"
	asleep := func(r *rig) *phone.Phone {
		p := r.phone("alice", "tcp", token)
		r.register(p)
		p.Sleep()
		return p
	}
	// A push has this long to be taken, on a machine that is busy, too.
	soon := []string{`push: {wait: {invite: {default: 4s}}, apps: @apps}`}
	call := func(r *rig) {
		r.t.Helper()
		if err := ring(r, r.caller()); err == nil {
			r.t.Error("the phone rang")
		}
	}
	for _, tt := range []struct {
		name, code string
		more       []string
		fault      func(*rig)
		// said are parts of the verdict, in order; last is that of the last call, if it has one.
		said []string
		last string
	}{
		{
			name: "nobody is registered", code: timeline.CodeNotRegistered, fault: call,
			said: []string{"No phone is registered", "since the server started"}, last: timeline.CodeNotRegistered,
		},
		{
			name: "no such user", code: timeline.CodeUnknownUser,
			more:  []string{`auth: {mode: {registrar: required, proxy: required}, users: [{name: bob, password: secret}], limit: {per_source: 0}}`},
			fault: call, said: []string{"There is no such user"}, last: timeline.CodeUnknownUser,
		},
		{
			name: "the token is dead", code: timeline.CodeTokenDead, fault: func(r *rig) {
				asleep(r)
				r.sim.SetFault(token, pushsim.Fault{Kind: pushsim.Gone})
				call(r)
			}, said: []string{"token is dead", "since 20"}, last: timeline.CodeTokenDead,
		},
		{
			name: "the token was dead before", code: timeline.CodeTokenDead, fault: func(r *rig) {
				asleep(r)
				r.sim.SetFault(token, pushsim.Fault{Kind: pushsim.Gone})
				call(r)
				r.eventually("the token is forgotten", func() bool { return r.asks().Phones[0].Lacks == "NoToken" })
				call(r)
			}, said: []string{"push token is dead since 20", "the push service said so"}, last: timeline.CodeNoToken,
		},
		{
			name: "the provider refuses the key", code: timeline.CodeCredential, fault: func(r *rig) {
				asleep(r)
				r.sim.SetFault(token, pushsim.Fault{Kind: pushsim.Refuse})
				call(r)
			}, said: []string{"credential"}, last: timeline.CodeCredential,
		},
		{
			name: "the phone woke too late", code: timeline.CodeWokeLate, more: soon, fault: func(r *rig) {
				p := asleep(r)
				call(r)
				// Over the connection or socket that it opens now: an event tells of it.
				r.register(p)
			}, said: []string{"The phone woke too late: it registered", "after the push, and was waited for"}, last: timeline.CodeWokeLate,
		},
		{
			name: "the phone never woke", code: timeline.CodeDidNotWake, more: soon, fault: func(r *rig) {
				asleep(r)
				call(r)
			}, said: []string{"The push service took the push, and the phone did not register within"}, last: timeline.CodeDidNotWake,
		},
		{
			name: "the phone registered under another account", code: timeline.CodeRegisteredElsewhere,
			more: []string{threeUsers, `push: {token_owner: last, apps: @apps}`}, fault: func(r *rig) {
				asleep(r)
				r.register(r.phone("carol", "tcp", token))
				r.eventually("alice has lost the phone", func() bool { return len(r.asks().Phones) == 0 })
				call(r)
			}, said: []string{"registered under another account, sip:carol@example.com, since"}, last: timeline.CodeNotRegistered,
		},
		{
			name: "the provider does not answer", code: timeline.CodePushUnreachable, more: soon, fault: func(r *rig) {
				asleep(r)
				r.sim.SetFault(token, pushsim.Fault{Kind: pushsim.BlackHole})
				call(r)
			}, said: []string{"push service"}, last: timeline.CodePushUnreachable,
		},
		{
			name: "the phone is busy", code: timeline.CodeBusy, fault: func(r *rig) {
				p := r.phone("alice", "tcp", token, func(o *phone.Options) { o.Reject = 486 })
				r.register(p)
				p.Sleep()
				r.onPush(token, func() {
					if err := p.Wake(r.t.Context()); err != nil && r.t.Context().Err() == nil {
						r.t.Error(err)
					}
				})
				call(r)
			},
			// It has long to wake, on a machine that is busy, too.
			more: []string{`push: {wait: {invite: {default: 60s}}, apps: @apps}`},
			said: []string{"The phone is busy: it answered 486"}, last: timeline.CodeBusy,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, tt.more...)
			tt.fault(r)
			// What is registered is told after it is answered.
			r.eventually("the verdict "+tt.code, func() bool { return r.asks().Verdict.Code == tt.code })
			report := r.asks()
			at := 0
			for _, part := range tt.said {
				i := strings.Index(report.Verdict.Said[at:], part)
				if i < 0 {
					t.Fatalf("%q does not say %q", report.Verdict.Said, part)
				}
				at += i
			}
			if len(report.Calls) == 0 || report.Calls[0].Verdict.Code != tt.last || len(report.Calls[0].Steps) < 2 {
				t.Errorf("calls: %+v, want the last to be %s", report.Calls, tt.last)
			}
			t.Logf("%s: %s %s", report.Verdict.Code, report.Verdict.Said, report.Verdict.Do)
		})
	}
}

// caller is bob's phone, which is awake.
func (r *rig) caller() *phone.Phone {
	r.t.Helper()
	p := r.phone("bob", "udp", "")
	r.register(p)
	return p
}

// TestCalls_OfTheAPI: what the calls below /v1 get.
func TestCalls_OfTheAPI(t *testing.T) {
	r := newRig(t)
	const token = "token-of-alice"
	r.sleeper("alice", "tcp", token)
	if err := ring(r, r.caller()); err != nil {
		t.Fatal(err)
	}
	c := r.timelineCalls()
	list, more, err := c.Calls(timeline.Query{AOR: "alice@EXAMPLE.com", Outcome: timeline.OutcomeAnswered})
	if err != nil || more || len(list) != 1 || list[0].AOR != "sip:alice@example.com" || list[0].Devices[0].WokeMS <= 0 {
		t.Fatalf("%+v, %v, %v", list, more, err)
	}
	if strings.Contains(list[0].From+list[0].To, token) {
		t.Error("a token is told")
	}
	rec, ok := c.Call(list[0].CallID)
	if !ok || rec.ID != list[0].ID {
		t.Errorf("by Call-ID: %+v", rec)
	}
	want := []string{timeline.StepReceived, timeline.StepParked, timeline.StepPush, timeline.StepAttempt, timeline.StepWoken, timeline.StepReleased, timeline.StepAnswered}
	at := 0
	for _, s := range rec.Steps {
		if s.Text == "" || s.OffsetMS < 0 {
			t.Errorf("%+v", s)
		}
		if at < len(want) && s.Kind == want[at] {
			at++
		}
	}
	// The answer of the push service may come behind the phone that it woke.
	if at < 3 || !hasStep(&rec, timeline.StepAnswered) {
		t.Errorf("steps: %+v", rec.Steps)
	}
	if report := r.asks(); report.Verdict.Code != why.CodeFine || len(report.Phones) != 1 || report.Phones[0].Wake == nil {
		t.Errorf("%+v", report)
	}
	if h := c.Hour(); h.Total.Asked != 1 || h.Total.Woke != 1 {
		t.Errorf("%+v", h.Total)
	}
	if list, n := c.Parked(10); n != 0 || len(list) != 0 {
		t.Errorf("%+v wait", list)
	}
	if _, err := r.why(t.Context(), "alice@elsewhere.example", 5); !errors.Is(err, contacts.ErrNoUser) {
		t.Errorf("of another domain: %v", err)
	}
	// What has ended is explained before the server does.
	if err := r.Stop(r.within()); err != nil {
		t.Fatal(err)
	}
	if got := r.events.explained(); len(got) != 1 || got[0].ID != rec.ID || got[0].Outcome != timeline.OutcomeAnswered || got[0].Woke <= got[0].Pushed || got[0].Took < got[0].Woke {
		t.Errorf("explained: %+v", got)
	}
}

// explained are the requests that were explained.
func (e *events) explained() (list []event.Explained) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, x := range e.all {
		if c, ok := x.(event.Explained); ok {
			list = append(list, c)
		}
	}
	return list
}

func hasStep(r *timeline.Record, kind string) bool {
	for i := range r.Steps {
		if r.Steps[i].Kind == kind {
			return true
		}
	}
	return false
}
