package apns

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/push"
	"reveille/push/pushsim"
	"reveille/push/pushtest"
)

const (
	voipToken   = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9"
	remoteToken = "ffffffff4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9"
	param       = pushsim.TeamID + "." + pushsim.BundleID + ".voip&remote"
)

// startSim starts push services of the same credentials.
var startSim = pushtest.Sims()

func newSender(t *testing.T, sim *pushsim.Server) *Sender {
	t.Helper()
	s, err := New(Options{
		KeyP8: sim.Credentials().KeyP8(), KeyID: pushsim.KeyID, TeamID: pushsim.TeamID,
		Host: sim.URL(), RootCAs: sim.RootCAs(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func request(kind push.Kind, tokens ...push.Token) *push.Request {
	return &push.Request{
		AOR: "sip:alice@example.com", Params: push.Params{Provider: "apns", Param: param}, Tokens: tokens,
		Kind: kind, CallID: "call@192.0.2.1", PushID: "p1", Deadline: time.Now().Add(25 * time.Second),
		BoundAt: time.Now().Add(-time.Hour),
	}
}

func both() []push.Token {
	return []push.Token{{PRID: voipToken, Use: push.VoIP}, {PRID: remoteToken, Use: push.Remote}}
}

func TestConformance(t *testing.T) {
	pushtest.Run(t, func(t *testing.T) pushtest.Fixture {
		sim := startSim(t, pushsim.Options{})
		return pushtest.Fixture{
			Sender:   newSender(t, sim),
			Request:  func() *push.Request { return request(push.Call, both()[0]) },
			Set:      func(f pushsim.Fault) { sim.SetFault(voipToken, f) },
			Received: func() int { return len(sim.Pushes()) },
		}
	})
}

func TestSend_WhatIsSentForEachKind(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	s := newSender(t, sim)
	anyToken := push.Token{PRID: remoteToken, Use: push.Any}
	// A provider by a name of the operator's: nobody read what its tokens are for.
	private := func(k push.Kind) *push.Request {
		r := request(k, push.Token{PRID: voipToken, Use: push.Any})
		r.Params = push.Params{Provider: "phones", Param: pushsim.TeamID + "." + pushsim.BundleID + ".voip"}
		return r
	}
	type sent struct{ Token, App, PushType, Priority, Kind string }
	for _, c := range []struct {
		name string
		r    *push.Request
		want sent
		no   push.Class // instead of want
	}{
		{name: "call, PushKit", r: request(push.Call, both()...), want: sent{voipToken, pushsim.BundleID + ".voip", "voip", "10", "call"}},
		{name: "message", r: request(push.Message, both()...), want: sent{remoteToken, pushsim.BundleID, "background", "5", "message"}},
		{name: "in a dialog", r: request(push.MidDialog, both()...), want: sent{remoteToken, pushsim.BundleID, "background", "5", "mid_dialog"}},
		{name: "refresh", r: request(push.Refresh, both()...), want: sent{remoteToken, pushsim.BundleID, "background", "5", "refresh"}},
		{name: "call without PushKit", r: request(push.Call, anyToken), want: sent{remoteToken, pushsim.BundleID, "alert", "10", "call"}},
		{name: "refresh, PushKit alone", r: request(push.Refresh, both()[0]), no: push.Forbidden},
		{name: "cancel", r: request(push.Cancel, both()...), want: sent{remoteToken, pushsim.BundleID, "background", "5", "cancel"}},
		{name: "cancel without PushKit", r: request(push.Cancel, anyToken), want: sent{remoteToken, pushsim.BundleID, "background", "5", "cancel"}},
		{name: "call, private name", r: private(push.Call), want: sent{voipToken, pushsim.BundleID + ".voip", "voip", "10", "call"}},
		{name: "refresh, private name", r: private(push.Refresh), no: push.Forbidden},
		{name: "message, private name", r: private(push.Message), no: push.Forbidden},
		{name: "cancel, PushKit alone", r: request(push.Cancel, both()[0]), no: push.Forbidden},
	} {
		t.Run(c.name, func(t *testing.T) {
			sim.Forget()
			o := s.Send(t.Context(), c.r)
			ps := sim.Pushes()
			if c.no != 0 {
				if o.Class != c.no || len(ps) != 0 {
					t.Fatalf("class = %v, %d pushes; want %v, none", o.Class, len(ps), c.no)
				}
				return
			}
			if o.Class != push.OK || o.ID == "" {
				t.Fatalf("outcome = %+v, want ok with an ID", o)
			}
			p := ps[0]
			if d := cmp.Diff(c.want, sent{p.Token, p.App, p.PushType, p.Priority, p.Kind}); d != "" {
				t.Errorf("push (-want +got):\n%s", d)
			}
			if p.Expiration.Unix() != c.r.Deadline.Unix() {
				t.Errorf("expiration = %v, want the deadline %v", p.Expiration, c.r.Deadline)
			}
			if p.CollapseID != push.CollapseID(c.r) || strings.Contains(p.CollapseID, "192.0.2.1") {
				t.Errorf("collapse ID = %q, want the hash of the Call-ID", p.CollapseID)
			}
			if p.PushID != "p1" || strings.Contains(p.Payload, "alice") || strings.Contains(p.Payload, "call@") {
				t.Errorf("payload = %s, want the push ID and nobody's name", p.Payload)
			}
		})
	}
}

func TestSend_Certificate(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	cert, err := sim.Credentials().APNsCertificate()
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Certificate: cert, Host: sim.URL(), RootCAs: sim.RootCAs()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if o := s.Send(t.Context(), request(push.Call, both()...)); o.Class != push.OK {
		t.Errorf("outcome = %+v, want ok", o)
	}
}

func TestSend_UnknownCA(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	s, err := New(Options{
		KeyP8: sim.Credentials().KeyP8(), KeyID: pushsim.KeyID, TeamID: pushsim.TeamID,
		Host: sim.URL(), RootCAs: x509.NewCertPool(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if o := s.Send(t.Context(), request(push.Call, both()...)); o.Class != push.Network {
		t.Errorf("outcome = %+v, want network", o)
	}
}

func TestSend_WrongTeam(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	s, err := New(Options{
		KeyP8: sim.Credentials().KeyP8(), KeyID: pushsim.KeyID, TeamID: "OTHERTEAM0",
		Host: sim.URL(), RootCAs: sim.RootCAs(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if o := s.Send(t.Context(), request(push.Call, both()...)); o.Class != push.Credential || o.Reason != "InvalidProviderToken" {
		t.Errorf("outcome = %+v, want credential, InvalidProviderToken", o)
	}
}

// apns2 puts the token into the path as it is.
func TestSend_TokenCannotChangeThePath(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	s := newSender(t, sim)
	for _, prid := range []string{"", "../../token", "ab/../../token?x=1", "ab#", "abcg", strings.Repeat("a", 201), "ab cd", "аb"} {
		o := s.Send(t.Context(), request(push.Call, push.Token{PRID: prid, Use: push.VoIP}))
		if o.Class != push.Rejected || o.Status != 0 {
			t.Errorf("%q: outcome = %+v, want rejected without a request", prid, o)
		}
	}
	if n := sim.Conns(); n != 0 {
		t.Errorf("%d connections, want none", n)
	}
}

// Apple keeps a push without expiration for days.
func TestSend_ExpirationIsAlwaysSent(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	s := newSender(t, sim)
	for _, deadline := range []time.Time{{}, time.Unix(0, 0)} {
		r := request(push.Call, both()...)
		r.Deadline = deadline
		sim.Forget()
		if o := s.Send(t.Context(), r); o.Class != push.OK {
			t.Fatalf("outcome = %+v, want ok", o)
		}
		if got := sim.Pushes()[0].Expiration; got.Unix() != 1 {
			t.Errorf("deadline %v: expiration = %v, want 1 s after the epoch", deadline, got)
		}
	}
}

func TestSend_ExpiredTokenIsMintedOnce(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	s := newSender(t, sim)
	first := s.client.Token.GenerateIfExpired()

	sim.SetFault(voipToken, pushsim.Fault{Kind: pushsim.ExpireCredential, Times: 1})
	o := s.Send(t.Context(), request(push.Call, both()...))
	if o.Class != push.OK || o.Attempts != 2 {
		t.Fatalf("outcome = %+v, want ok at the second attempt", o)
	}
	if s.client.Token.Bearer == first {
		t.Error("token was not minted anew")
	}

	// A wrong clock must not make us mint for every push: APNs would answer
	// TooManyProviderTokenUpdates.
	sim.SetFault(voipToken, pushsim.Fault{Kind: pushsim.ExpireCredential})
	bearer := s.client.Token.Bearer
	sim.Forget()
	o = s.Send(t.Context(), request(push.Call, both()...))
	if o.Class != push.Credential || o.Attempts != 1 || len(sim.Pushes()) != 1 {
		t.Errorf("outcome = %+v with %d pushes, want credential after one", o, len(sim.Pushes()))
	}
	if s.client.Token.Bearer != bearer {
		t.Error("token was minted a second time within 20 minutes")
	}
}

func TestSend_GoneSinceIsComparedWithTheRegistration(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	s := newSender(t, sim)
	r := request(push.Call, both()...)
	r.BoundAt = time.Now().Add(-time.Hour).Truncate(time.Second)
	for _, c := range []struct {
		name  string
		since time.Time
		want  push.Class
	}{
		{"died after it registered", r.BoundAt.Add(time.Minute), push.Gone},
		{"died before it registered", r.BoundAt.Add(-time.Minute), push.Suspect},
	} {
		t.Run(c.name, func(t *testing.T) {
			sim.SetFault(voipToken, pushsim.Fault{Kind: pushsim.Gone, Since: c.since})
			o := s.Send(t.Context(), r)
			if o.Class != c.want || o.Reason != "Unregistered" || !o.GoneSince.Equal(c.since) {
				t.Errorf("outcome = %+v, want %v since %v", o, c.want, c.since)
			}
		})
	}
}

func TestSend_DataThatDoesNotFitIsLeftOut(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	s := newSender(t, sim)
	r := request(push.Call, both()...)
	r.Data = map[string]string{"from": `"Bob" <sip:bob@example.com>`, "aps": "mine", "kind": "mine"}
	if o := s.Send(t.Context(), r); o.Class != push.OK {
		t.Fatalf("outcome = %+v, want ok", o)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(sim.Pushes()[0].Payload), &got); err != nil {
		t.Fatal(err)
	}
	if got["from"] != r.Data["from"] || got["kind"] != "call" {
		t.Errorf("payload = %v, want the data below our own fields", got)
	}
	if _, ok := got["aps"].(map[string]any); !ok {
		t.Errorf("aps = %v, want an object", got["aps"])
	}

	r.Data["from"] = strings.Repeat("x", 6000)
	sim.Forget()
	if o := s.Send(t.Context(), r); o.Class != push.OK {
		t.Fatalf("outcome = %+v, want ok", o)
	}
	if p := sim.Pushes()[0]; strings.Contains(p.Payload, "xxx") || p.PushID != "p1" {
		t.Errorf("payload = %.80s, want it without data", p.Payload)
	}
}

func TestClassify(t *testing.T) {
	bound := time.Unix(1000, 0)
	for _, c := range []struct {
		name  string
		a     answer
		class push.Class
		scope push.Scope
	}{
		{"ok", answer{status: 200}, push.OK, 0},
		{"gone later", answer{410, "Unregistered", bound.Add(time.Second)}, push.Gone, 0},
		{"gone without a time", answer{410, "Unregistered", time.Time{}}, push.Gone, 0},
		{"gone then", answer{410, "Unregistered", bound}, push.Suspect, 0},
		{"gone, says something in between", answer{410, "", time.Time{}}, push.Rejected, 0},
		{"gone earlier", answer{410, "ExpiredToken", bound.Add(-time.Second)}, push.Suspect, 0},
		{"bad token", answer{status: 400, reason: "BadDeviceToken"}, push.Suspect, 0},
		{"not for topic", answer{status: 400, reason: "DeviceTokenNotForTopic"}, push.Suspect, 0},
		{"bad topic", answer{status: 400, reason: "BadTopic"}, push.Rejected, 0},
		{"topic disallowed", answer{status: 400, reason: "TopicDisallowed"}, push.Rejected, 0},
		{"payload", answer{status: 413, reason: "PayloadTooLarge"}, push.Rejected, 0},
		{"path", answer{status: 404, reason: "BadPath"}, push.Rejected, 0},
		{"method", answer{status: 405, reason: "MethodNotAllowed"}, push.Rejected, 0},
		{"expired", answer{status: 403, reason: "ExpiredProviderToken"}, push.Credential, 0},
		{"unknown refusal", answer{status: 403, reason: "BadEnvironmentKeyIdInToken"}, push.Credential, 0},
		{"one device", answer{status: 429, reason: "TooManyRequests"}, push.Throttled, push.ScopeToken},
		{"token updates", answer{status: 429, reason: "TooManyProviderTokenUpdates"}, push.Throttled, push.ScopeLane},
		{"internal", answer{status: 500, reason: "InternalServerError"}, push.Unavailable, 0},
		{"unavailable", answer{status: 503, reason: "Shutdown"}, push.Unavailable, 0},
		{"redirect", answer{status: 302}, push.Rejected, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			class, scope := c.a.classify(bound)
			if class != c.class || scope != c.scope {
				t.Errorf("classify = %v, %d; want %v, %d", class, scope, c.class, c.scope)
			}
		})
	}
}

func TestNew_RefusesBadCredentials(t *testing.T) {
	c, err := pushsim.NewCredentials()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := c.APNsCertificate()
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"none":        {},
		"no key ID":   {KeyP8: c.KeyP8(), TeamID: "T"},
		"no team":     {KeyP8: c.KeyP8(), KeyID: "K"},
		"not PEM":     {KeyP8: []byte("key"), KeyID: "K", TeamID: "T"},
		"certificate": {KeyP8: c.CAPEM(), KeyID: "K", TeamID: "T"},
		"both":        {KeyP8: c.KeyP8(), KeyID: "K", TeamID: "T", Certificate: cert},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A burst on a cold connection: Apple aborts what comes before the first valid
// push, so the lane must hold it back.
func TestDispatcher_WarmUpGateKeepsAppleFromAborting(t *testing.T) {
	sim := startSim(t, pushsim.Options{OneStreamFirst: true})
	d, err := push.NewDispatcher(push.Options{Apps: []push.App{{Name: "ios", Provider: "apns", Sender: newSender(t, sim)}}})
	if err != nil {
		t.Fatal(err)
	}
	const n = 100
	outcomes := make(chan push.Outcome, n)
	for i := range n {
		r := request(push.Call, both()...)
		r.CallID = time.Duration(i).String()
		if _, err := d.Submit(r, func(o push.Outcome) { outcomes <- o }); err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		if o := <-outcomes; o.Class != push.OK || o.Attempts != 1 {
			t.Errorf("outcome = %+v, want ok at the first attempt", o)
		}
	}
	if sim.Aborted() != 0 || sim.Conns() != 1 {
		t.Errorf("%d streams aborted, %d connections; want 0 and 1", sim.Aborted(), sim.Conns())
	}
	if err := d.Close(context.Background()); err != nil {
		t.Error(err)
	}
}
