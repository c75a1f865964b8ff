package fcm

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/push"
	"reveille/push/pushsim"
	"reveille/push/pushtest"
)

const token = "dEvIcE:APA91bHun4MxP5egoKMwt2KZFBaFUH-1RYqx"

// startSim starts push services of the same credentials.
var startSim = pushtest.Sims()

func newCredentials(t *testing.T) *pushsim.Credentials {
	t.Helper()
	c, err := pushsim.NewCredentials()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newSender(t *testing.T, sim *pushsim.Server) *Sender {
	t.Helper()
	s, err := New(t.Context(), Options{
		ServiceAccountJSON: sim.ServiceAccountJSON(), Endpoint: sim.FCMEndpoint(), RootCAs: sim.RootCAs(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func request(kind push.Kind) *push.Request {
	return &push.Request{
		AOR: "sip:alice@example.com", Params: push.Params{Provider: "fcm", Param: pushsim.ProjectID},
		Tokens: []push.Token{{PRID: token}}, Kind: kind, CallID: "call@192.0.2.1", PushID: "p1",
		Deadline: time.Now().Add(25 * time.Second),
	}
}

func TestConformance(t *testing.T) {
	pushtest.Run(t, func(t *testing.T) pushtest.Fixture {
		sim := startSim(t, pushsim.Options{})
		return pushtest.Fixture{
			Sender:   newSender(t, sim),
			Request:  func() *push.Request { return request(push.Call) },
			Set:      func(f pushsim.Fault) { sim.SetFault(token, f) },
			Received: func() int { return len(sim.Pushes()) },
		}
	})
}

func TestSend_WhatIsSentForEachKind(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	s := newSender(t, sim)
	for _, c := range []struct {
		kind               push.Kind
		priority, collapse string
	}{
		{push.Call, "high", ""},
		{push.Message, "high", ""},
		{push.MidDialog, "high", ""},
		{push.Cancel, "high", ""},
		{push.Refresh, "normal", "refresh"},
	} {
		t.Run(c.kind.String(), func(t *testing.T) {
			sim.Forget()
			r := request(c.kind)
			r.Data = map[string]string{"caller": "Bob", "from": "x", "message_type": "x", "google.x": "x", "gcm.y": "y"}
			o := s.Send(t.Context(), r)
			if o.Class != push.OK || !strings.HasPrefix(o.ID, "projects/") {
				t.Fatalf("outcome = %+v, want ok with a name", o)
			}
			p := sim.Pushes()[0]
			if p.Priority != c.priority || p.CollapseID != c.collapse || p.Token != token || p.Kind != c.kind.String() {
				t.Errorf("push = %+v, want priority %q, collapse key %q", p, c.priority, c.collapse)
			}
			if left := time.Until(p.Expiration); left < 20*time.Second || left > 27*time.Second {
				t.Errorf("expires in %v, want the time to the deadline", left)
			}
			var body struct {
				Message struct {
					Data         map[string]string `json:"data"`
					Notification any               `json:"notification"`
				} `json:"message"`
			}
			if err := json.Unmarshal([]byte(p.Payload), &body); err != nil {
				t.Fatal(err)
			}
			delete(body.Message.Data, "expires_at")
			want := map[string]string{"caller": "Bob", "kind": c.kind.String(), "push_id": "p1"}
			if d := cmp.Diff(want, body.Message.Data); d != "" || body.Message.Notification != nil {
				t.Errorf("data (-want +got):\n%s", d)
			}
		})
	}
}

// FCM refuses what it would have to keep for more than four weeks.
func TestMessage_TimeToLiveIsOneThatFCMTakes(t *testing.T) {
	now := time.Now()
	for after, want := range map[time.Duration]time.Duration{time.Minute: time.Minute, 30 * 24 * time.Hour: 28 * 24 * time.Hour} {
		r := request(push.Refresh)
		r.Deadline = now.Add(after)
		if got := *(&Sender{}).message(r, r.Tokens[0], now).Android.TTL; got != want {
			t.Errorf("time to live %v for %v, want %v", got, after, want)
		}
	}
}

func TestSend_DataThatDoesNotFitIsLeftOut(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	s := newSender(t, sim)
	r := request(push.Call)
	r.Data = map[string]string{"x": strings.Repeat("x", 5000)}
	if o := s.Send(t.Context(), r); o.Class != push.OK {
		t.Fatalf("outcome = %+v, want ok", o)
	}
	if p := sim.Pushes()[0]; strings.Contains(p.Payload, "xxx") || p.PushID != "p1" {
		t.Errorf("payload = %.80s, want it without data", p.Payload)
	}
}

func TestSend_RevokedAccessTokenIsReplacedOnce(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	s := newSender(t, sim)
	if o := s.Send(t.Context(), request(push.Call)); o.Class != push.OK {
		t.Fatalf("outcome = %+v, want ok", o)
	}
	sim.RevokeBearers()
	if o := s.Send(t.Context(), request(push.Call)); o.Class != push.OK || o.Attempts != 2 {
		t.Fatalf("outcome = %+v, want ok at the second attempt", o)
	}
	sim.RevokeBearers()
	if o := s.Send(t.Context(), request(push.Call)); o.Class != push.Credential || o.Attempts != 1 {
		t.Errorf("outcome = %+v, want credential: a token was dropped within the minute", o)
	}
}

func TestSend_TokenServer(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	other := startSim(t, pushsim.Options{Credentials: newCredentials(t)})
	for _, c := range []struct {
		name    string
		account []byte
		want    push.Class
	}{
		// Signed with a key that the server does not know.
		{"refuses", bytes.ReplaceAll(other.ServiceAccountJSON(), []byte(other.TokenURL()), []byte(sim.TokenURL())), push.Credential},
		{"is not there", bytes.ReplaceAll(sim.ServiceAccountJSON(), []byte(sim.TokenURL()), []byte("https://127.0.0.1:1/token")), push.Network},
		{"is something else", bytes.ReplaceAll(sim.ServiceAccountJSON(), []byte(sim.TokenURL()), []byte(sim.URL()+"/nothing")), push.Credential},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := New(t.Context(), Options{ServiceAccountJSON: c.account, Endpoint: sim.FCMEndpoint(), RootCAs: sim.RootCAs()})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			o := s.Send(t.Context(), request(push.Call))
			if o.Class != c.want || o.Err == nil {
				t.Errorf("outcome = %+v, want %v", o, c.want)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %v: somebody retried", took)
			}
			if n := len(sim.Pushes()); n != 0 {
				t.Errorf("%d pushes without access token", n)
			}
		})
	}
}

func TestSend_DryRun(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	s, err := New(t.Context(), Options{
		ServiceAccountJSON: sim.ServiceAccountJSON(), Endpoint: sim.FCMEndpoint() + "/", RootCAs: sim.RootCAs(), DryRun: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if o := s.Send(t.Context(), request(push.Call)); o.Class != push.OK {
		t.Fatalf("outcome = %+v, want ok", o)
	}
	if p := sim.Pushes()[0]; !strings.Contains(p.Payload, `"validate_only":true`) {
		t.Errorf("message = %s, want it to be checked alone", p.Payload)
	}
}

func TestSend_OtherProject(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	s, err := New(t.Context(), Options{
		ServiceAccountJSON: sim.ServiceAccountJSON(), ProjectID: "other", Endpoint: sim.FCMEndpoint(), RootCAs: sim.RootCAs(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if o := s.Send(t.Context(), request(push.Call)); o.Class != push.Credential || o.Reason != "PERMISSION_DENIED" {
		t.Errorf("outcome = %+v, want credential, PERMISSION_DENIED", o)
	}
}

func TestTokens_RenewedAheadWithoutWaiting(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	s := newSender(t, sim)
	first, err := s.tokens.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.tokens.mu.Lock()
	s.tokens.current.Expiry = time.Now().Add(renewAhead / 2)
	s.tokens.mu.Unlock()
	// Still good: it is used while the next is fetched.
	if got, err := s.tokens.get(t.Context()); err != nil || got != first {
		t.Fatalf("get = %v, want the same token", err)
	}
	s.tokens.mu.Lock()
	f := s.tokens.fetch
	s.tokens.mu.Unlock()
	if f != nil {
		<-f.done
	}
	if got, err := s.tokens.get(t.Context()); err != nil || got == first {
		t.Errorf("get = %v, want another token", err)
	}
}

func TestTokens_WaitEndsWithContext(t *testing.T) {
	s := newSender(t, startSim(t, pushsim.Options{}))
	s.tokens.fetch = &fetch{done: make(chan struct{})} // never ends
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if o := s.Send(ctx, request(push.Call)); o.Class != push.Network || o.Reason != "Timeout" {
		t.Errorf("outcome = %+v, want network, Timeout", o)
	}
}

func TestClassify(t *testing.T) {
	detail := func(status, code string) string {
		return `{"error":{"status":"` + status + `","message":"m","details":[{"errorCode":"` + code + `"}]}}`
	}
	for _, c := range []struct {
		name   string
		status int
		body   string
		class  push.Class
		scope  push.Scope
	}{
		{"ok", 200, `{"name":"x"}`, push.OK, 0},
		{"unregistered", 404, detail("NOT_FOUND", "UNREGISTERED"), push.Gone, 0},
		{"not found without details", 404, `{"error":{"status":"NOT_FOUND"}}`, push.Gone, 0},
		{"not found without body", 404, "", push.Rejected, 0},
		{"not found, a proxy's page", 404, "<html>", push.Rejected, 0},
		{"sender", 403, detail("PERMISSION_DENIED", "SENDER_ID_MISMATCH"), push.Suspect, 0},
		{"permission", 403, `{"error":{"status":"PERMISSION_DENIED"}}`, push.Credential, 0},
		{"argument", 400, detail("INVALID_ARGUMENT", "INVALID_ARGUMENT"), push.Rejected, 0},
		{
			"argument is the token", 400,
			`{"error":{"status":"INVALID_ARGUMENT","message":"The registration token is not a valid FCM registration token"}}`, push.Suspect, 0,
		},
		{
			"field is the token", 400,
			`{"error":{"status":"INVALID_ARGUMENT","details":[{"fieldViolations":[{"field":"message.token"}]}]}}`, push.Suspect, 0,
		},
		{
			"field is another", 400,
			`{"error":{"status":"INVALID_ARGUMENT","details":[{"fieldViolations":[{"field":"message.android.ttl"}]}]}}`, push.Rejected, 0,
		},
		{"401", 401, "", push.Credential, 0},
		{"third party", 401, detail("UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"), push.Credential, 0},
		{"quota", 429, detail("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), push.Throttled, push.ScopeLane},
		{"429 alone", 429, "", push.Throttled, push.ScopeLane},
		{"internal", 500, detail("INTERNAL", "INTERNAL"), push.Unavailable, 0},
		{"unavailable", 503, "x", push.Unavailable, 0},
		{"redirect", 302, "", push.Rejected, 0},
		{"body is null", 400, "null", push.Rejected, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			class, scope := readAnswer(c.status, []byte(c.body)).classify()
			if class != c.class || scope != c.scope {
				t.Errorf("classify = %v, %d; want %v, %d", class, scope, c.class, c.scope)
			}
		})
	}
}

func TestSend_ThrottledWithoutTimeWaitsAMinute(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	s := newSender(t, sim)
	sim.SetFault(token, pushsim.Fault{Kind: pushsim.Throttle})
	if o := s.Send(t.Context(), request(push.Call)); o.Class != push.Throttled || o.RetryAfter != time.Minute {
		t.Errorf("outcome = %+v, want throttled for a minute", o)
	}
}

func TestNew_RefusesBadCredentials(t *testing.T) {
	good := startSim(t, pushsim.Options{}).ServiceAccountJSON()
	for name, account := range map[string][]byte{
		"empty":      nil,
		"not JSON":   []byte("key"),
		"other type": bytes.ReplaceAll(good, []byte("service_account"), []byte("authorized_user")),
		"no project": bytes.ReplaceAll(good, []byte("project_id"), []byte("x")),
		"no key":     bytes.ReplaceAll(good, []byte("BEGIN PRIVATE"), []byte("BEGIN")),
	} {
		_, err := New(t.Context(), Options{ServiceAccountJSON: account})
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "MII") {
			t.Errorf("%s: error quotes the key: %v", name, err)
		}
	}
}
