package app

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reveille/configs"
	"reveille/internal/admin"
	"reveille/push"
	"reveille/push/pushsim"
)

func TestPushTest_PhonesOfAUser(t *testing.T) {
	r := newRig(t)
	r.register(r.phone("alice", "udp", "one"))
	r.register(r.phone("alice", "tcp", "two"))
	r.register(r.phone("bob", "udp", ""))
	r.sim.SetFault("two", pushsim.Fault{Kind: pushsim.BadToken})

	results, err := r.testPush(t.Context(), admin.PushTest{AOR: "alice@EXAMPLE.com", Kind: "message"})
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 2 {
		t.Fatalf("%d results, want one for each phone: %+v", len(results), results)
	}
	slices.SortFunc(results, func(a, b admin.PushResult) int { return strings.Compare(a.Class, b.Class) })
	ok, bad := results[0], results[1]
	if !ok.OK() || ok.Status != 200 || ok.Attempts != 1 || ok.AOR != "sip:alice@example.com" || ok.Binding == "" || ok.PushID == "" || ok.ID == "" {
		t.Errorf("the phone that took it: %+v", ok)
	}
	if bad.OK() || bad.Class != push.Suspect.String() || !strings.Contains(bad.Said, "another Firebase project") && !strings.Contains(bad.Said, "registration token") || bad.Do == "" {
		t.Errorf("the phone that did not: %+v", bad)
	}
	if n := r.pushes("one"); n != 1 {
		t.Errorf("%d pushes to the good token, want 1", n)
	}
	for _, p := range r.sim.Pushes() {
		if p.Kind != "message" {
			t.Errorf("a push of kind %q", p.Kind)
		}
	}
	for _, aor := range []string{"bob@example.com", "nobody@example.com"} {
		if _, err := r.testPush(t.Context(), admin.PushTest{AOR: aor, Kind: "refresh"}); !errors.Is(err, admin.ErrNoPhone) {
			t.Errorf("%s: %v, want %v", aor, err, admin.ErrNoPhone)
		}
	}
}

// A dead token that a test finds is forgotten like any other, and the next test
// says so.
func TestPushTest_DeadToken(t *testing.T) {
	r := newRig(t)
	r.register(r.phone("alice", "udp", "dead"))
	r.sim.SetFault("dead", pushsim.Fault{Kind: pushsim.Gone})
	ask := func() (admin.PushResult, error) {
		results, err := r.testPush(t.Context(), admin.PushTest{AOR: "alice@example.com", Kind: "refresh"})
		if err != nil {
			return admin.PushResult{}, err
		}
		return results[0], nil
	}
	first, err := ask()
	if err != nil || first.Class != push.Gone.String() || !strings.Contains(first.Said, "dead") {
		t.Fatalf("first: %+v, %v", first, err)
	}
	second, err := ask()
	if err != nil || second.Class != admin.NotSent || second.Said == "" {
		t.Errorf("second: %+v, %v", second, err)
	}
	if n := len(r.sim.Pushes()); n != 1 {
		t.Errorf("%d pushes, want 1", n)
	}
}

func TestPushTest_Token(t *testing.T) {
	r := newRig(t)
	to := func(provider, param, token string) admin.PushTest {
		return admin.PushTest{Provider: provider, Param: param, PRID: token, Kind: "call"}
	}
	for _, tt := range []struct {
		name  string
		test  admin.PushTest
		fault pushsim.FaultKind
		class string
		said  string
	}{
		{"taken", to("fcm", pushsim.ProjectID, "good"), pushsim.Accept, "ok", "took the push"},
		{"refused", to("fcm", pushsim.ProjectID, "refused"), pushsim.Refuse, "credential", "own credential"},
		{"no such app", to("fcm", "other-project", "good"), pushsim.Accept, admin.NotSent, "No app of push.apps"},
		{"no such service", to("apns", "TEAM.com.example.phone.voip", "abcdef"), pushsim.Accept, admin.NotSent, "No app of push.apps"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r.sim.SetFault(tt.test.PRID, pushsim.Fault{Kind: tt.fault})
			results, err := r.testPush(t.Context(), tt.test)
			if err != nil {
				t.Fatal(err)
			}
			direct, err := TestPush(t.Context(), r.config(), tt.test)
			if err != nil {
				t.Fatal(err)
			}
			for how, got := range map[string]admin.PushResult{"by the server": results[0], "without": direct} {
				if got.Class != tt.class || !strings.Contains(got.Said, tt.said) {
					t.Errorf("%s: %+v", how, got)
				}
			}
		})
	}
	if _, err := TestPush(t.Context(), configs.Default(), admin.PushTest{Kind: "call"}); err == nil {
		t.Error("a test of nothing was made")
	}
}

// What is handed over needs a server whose events are heard.
func TestTestPush_WithoutServerNothingIsHandedOver(t *testing.T) {
	cfg := configs.Default()
	cfg.Push.Apps = []configs.App{{Name: "own", Provider: "acme", Event: &configs.Event{}}}
	r, err := TestPush(t.Context(), cfg, admin.PushTest{Provider: "acme", PRID: "token", Kind: "call"})
	if err != nil || r.Class != "rejected" || !strings.Contains(r.Said, "program") {
		t.Errorf("result %+v, %v; want words about the program that is not asked", r, err)
	}
}

// A push system may report about a push before its outcome was read: whoever
// reports is not kept waiting for that.
func TestTrial_ReportsNeverWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTrial(push.Call, "acme", "")
		x.end(push.Outcome{Class: push.OK})
		x.end(push.Outcome{Class: push.Gone})
		r, err := x.wait(t.Context())
		if err != nil || r.Class != "ok" {
			t.Errorf("result %+v, %v; want the push service's word", r, err)
		}
	})
}

func TestWakePhones(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.sleeper("alice", "tcp", "wakes")
	lazy := r.phone("bob", "tcp", "sleeps-on")
	r.register(lazy)
	lazy.Sleep()
	r.eventually("bob's phone sleeps", func() bool { return r.metric("reveille_transport_connections") == 0 })

	results, err := r.wakePhones(t.Context(), admin.WakeOrder{AOR: "alice@example.com", Kind: "refresh"})
	if err != nil {
		t.Fatal(err)
	}
	if w := results[0]; len(results) != 1 || !w.OK() || !w.Registered || w.Then == "" || w.RegisteredMS > patience.Milliseconds() {
		t.Errorf("alice: %+v", results)
	}
	results, err = r.wakePhones(t.Context(), admin.WakeOrder{AOR: "bob@example.com", Kind: "refresh", Seconds: 1})
	if err != nil {
		t.Fatal(err)
	}
	if w := results[0]; len(results) != 1 || !w.OK() || w.Registered || w.Awake || !strings.Contains(w.Then, "did not register") || w.Do == "" {
		t.Errorf("bob: %+v", results)
	}
	// Nobody waits for a push that came to nothing.
	r.sim.SetFault("sleeps-on", pushsim.Fault{Kind: pushsim.Refuse})
	began := time.Now()
	results, err = r.wakePhones(t.Context(), admin.WakeOrder{AOR: "bob@example.com", Kind: "call"})
	if err != nil || results[0].OK() || results[0].Then != "" || time.Since(began) > wakeWait/2 {
		t.Errorf("refused: %+v, %v", results, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.wakePhones(ctx, admin.WakeOrder{AOR: "bob@example.com", Kind: "message"}); err == nil {
		t.Error("nobody waited, and there is a result")
	}
}

func TestLanesOf(t *testing.T) {
	now := time.Now()
	lanes := lanesOf([]push.LaneHealth{
		{App: "a", Provider: "apns", Limit: 1},
		{App: "b", Provider: "apns", LastFailure: now, LastReason: "InvalidProviderToken", PausedFor: push.Credential, PausedUntil: now.Add(time.Minute)},
		{App: "c", Provider: "fcm", LastFailure: now, LastReason: "UNAVAILABLE"},
		{App: "d", Provider: "fcm", LastFailure: now, LastReason: "SOMETHING_NEW"},
		{App: "e", Provider: "fcm", LastFailure: now, LastReason: "UNAVAILABLE", LastOK: now.Add(time.Second)},
	}, now)
	for i, want := range []struct{ paused, said string }{
		{"", ""}, {"credential", "does not accept the token"}, {"", "trouble"}, {"", ""}, {"", ""},
	} {
		if l := lanes[i]; l.PausedFor != want.paused || !strings.Contains(l.Said, want.said) || want.said == "" && l.Said != "" {
			t.Errorf("%+v", l)
		}
	}
}
