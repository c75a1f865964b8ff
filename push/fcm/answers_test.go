package fcm

import (
	"bytes"
	"context"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"reveille/push"
	"reveille/push/pushsim"
	"reveille/push/pushtest"
)

// service is FCM and its token server with words of the test's own.
type service struct {
	*httptest.Server
	sends, fetches atomic.Int64
	send, token    http.HandlerFunc
}

// newService starts both; a nil token gives out access tokens for an hour.
func newService(t *testing.T, send, token http.HandlerFunc) (*service, *Sender) {
	t.Helper()
	if token == nil {
		token = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"a","token_type":"Bearer","expires_in":3600}`)
		}
	}
	g := &service{send: send, token: token}
	g.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			g.fetches.Add(1)
			g.token(w, r)
			return
		}
		g.sends.Add(1)
		g.send(w, r)
	}))
	g.EnableHTTP2 = true
	g.StartTLS()
	t.Cleanup(g.Close)
	sim := startSim(t, pushsim.Options{})
	roots := x509.NewCertPool()
	roots.AddCert(g.Certificate())
	s, err := New(t.Context(), Options{
		ServiceAccountJSON: bytes.ReplaceAll(sim.ServiceAccountJSON(), []byte(sim.TokenURL()), []byte(g.URL+"/token")),
		Endpoint:           g.URL + "/v1", RootCAs: roots,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return g, s
}

// saying answers with a status, a body and Retry-After.
func saying(status int, body, retryAfter string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		if strings.HasPrefix(body, "{") {
			w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// failure is an answer as Google's APIs write it.
func failure(status, code, message string) string {
	details := ""
	if code != "" {
		details = `,"details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"` + code + `"}]`
	}
	return `{"error":{"message":"` + message + `","status":"` + status + `"` + details + `}}`
}

// The SDK alone would send a 503 and a broken connection five times, for 7 s.
func TestSend_EachAnswerIsOneRequest(t *testing.T) {
	page := "<!DOCTYPE html><html><title>Error (Server Error)!!1</title></html>"
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		class  push.Class
		scope  push.Scope
		reason string
		wait   time.Duration
	}{
		{"taken", saying(200, `{"name":"projects/p/messages/1"}`, ""), push.OK, 0, "", 0},
		{"taken, with a page", saying(200, page, ""), push.OK, 0, "", 0},
		{"unregistered", saying(404, failure("NOT_FOUND", "UNREGISTERED", "m"), ""), push.Gone, 0, "UNREGISTERED", 0},
		{"not found, without details", saying(404, failure("NOT_FOUND", "", "m"), ""), push.Gone, 0, "NOT_FOUND", 0},
		{"not found, a page", saying(404, page, ""), push.Rejected, 0, "NoReason", 0},
		{"another project's token", saying(403, failure("PERMISSION_DENIED", "SENDER_ID_MISMATCH", "m"), ""), push.Suspect, 0, "SENDER_ID_MISMATCH", 0},
		{
			"argument: the token", saying(400, failure("INVALID_ARGUMENT", "INVALID_ARGUMENT", "The registration token is not a valid FCM registration token"), ""),
			push.Suspect, 0, "INVALID_ARGUMENT", 0,
		},
		{"argument: another", saying(400, failure("INVALID_ARGUMENT", "INVALID_ARGUMENT", "Invalid value at 'message.android.ttl'"), ""), push.Rejected, 0, "INVALID_ARGUMENT", 0},
		{"no permission", saying(403, failure("PERMISSION_DENIED", "", "m"), ""), push.Credential, 0, "PERMISSION_DENIED", 0},
		{"third party", saying(401, failure("UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", "m"), ""), push.Credential, 0, "THIRD_PARTY_AUTH_ERROR", 0},
		{"quota, in seconds", saying(429, failure("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "m"), "17"), push.Throttled, push.ScopeLane, "QUOTA_EXCEEDED", 17 * time.Second},
		{"quota, by date", saying(429, failure("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "m"), "date"), push.Throttled, push.ScopeLane, "QUOTA_EXCEEDED", 30 * time.Second},
		{"quota, until unsaid", saying(429, failure("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "m"), ""), push.Throttled, push.ScopeLane, "QUOTA_EXCEEDED", time.Minute},
		{"429, a page", saying(429, page, ""), push.Throttled, push.ScopeLane, "NoReason", time.Minute},
		{"internal", saying(500, failure("INTERNAL", "INTERNAL", "m"), ""), push.Unavailable, 0, "INTERNAL", 0},
		{"unavailable", saying(503, failure("UNAVAILABLE", "UNAVAILABLE", "m"), "5"), push.Unavailable, 0, "UNAVAILABLE", 5 * time.Second},
		{"unavailable, a page", saying(503, page, ""), push.Unavailable, 0, "NoReason", 0},
		{"bad gateway, a page", saying(502, page, ""), push.Unavailable, 0, "NoReason", 0},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, push.Rejected, 0, "NoReason", 0},
		{"breaks off", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, push.Network, 0, "NoAnswer", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer := c.answer
			g, s := newService(t, func(w http.ResponseWriter, r *http.Request) {
				if c.name == "quota, by date" {
					// The date has whole seconds.
					w = dated{w, time.Now().Add(30 * time.Second)}
				}
				answer(w, r)
			}, nil)
			o := s.Send(t.Context(), request(push.Call))
			if o.Class != c.class || o.Scope != c.scope || o.Reason != c.reason {
				t.Errorf("outcome = %+v, want %v, scope %d, %q", o, c.class, c.scope, c.reason)
			}
			if d := c.wait - o.RetryAfter; d < 0 || d > 2*time.Second {
				t.Errorf("retry after = %v, want %v", o.RetryAfter, c.wait)
			}
			if n := g.sends.Load(); n != 1 || o.Attempts != 1 {
				t.Errorf("%d requests, %d attempts; want 1", n, o.Attempts)
			}
		})
	}
}

// dated says when to come again by a date.
type dated struct {
	http.ResponseWriter
	at time.Time
}

func (d dated) WriteHeader(status int) {
	d.Header().Set("Retry-After", d.at.UTC().Format(http.TimeFormat))
	d.ResponseWriter.WriteHeader(status)
}

// What the token server says is told apart: its own trouble passes, its refusal
// is an operator's to mend.
func TestSend_TokenServerAnswers(t *testing.T) {
	page := "<html>Sorry</html>"
	asked, end := make(chan struct{}, 10), make(chan struct{})
	for _, c := range []struct {
		name   string
		token  http.HandlerFunc
		class  push.Class
		reason string
	}{
		{"refuses", saying(400, `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`, ""), push.Credential, "invalid_grant"},
		{"refuses with a page", saying(403, page, ""), push.Credential, "NoReason"},
		{"is in trouble", saying(503, page, ""), push.Unavailable, "NoReason"},
		{"has enough", saying(429, page, ""), push.Unavailable, "NoReason"},
		{"is a captive portal", saying(200, page, ""), push.Network, "NoAnswer"},
		{"breaks off", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, push.Network, "NoAnswer"},
		{"is silent", func(http.ResponseWriter, *http.Request) { asked <- struct{}{}; <-end }, push.Network, "Timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, s := newService(t, saying(200, `{"name":"projects/p/messages/1"}`, ""), c.token)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if c.reason == "Timeout" {
				ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
			}
			defer cancel()
			o := s.Send(ctx, request(push.Call))
			if o.Class != c.class || o.Reason != c.reason || o.Err == nil {
				t.Errorf("outcome = %+v, want %v, %s", o, c.class, c.reason)
			}
			if strings.Contains(o.Err.Error(), "Sorry") {
				t.Errorf("error quotes the answer: %v", o.Err)
			}
			if n := g.sends.Load(); n != 0 {
				t.Errorf("%d pushes sent without an access token", n)
			}
			// A silent one is asked once, whoever else waits. The question may leave after
			// the first has stopped waiting, and does not end with that.
			if c.reason == "Timeout" {
				defer close(end)
				<-asked
				soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				s.Send(soon, request(push.Call))
				if n := g.fetches.Load(); n != 1 {
					t.Errorf("%d requests to the token server, want 1", n)
				}
			}
		})
	}
}

// Whatever comes as an answer has a class, is bounded, and tells nobody the
// token.
func FuzzAnswer(f *testing.F) {
	creds, err := pushsim.NewCredentials()
	if err != nil {
		f.Fatal(err)
	}
	sim, err := pushsim.Start(pushsim.Options{Credentials: creds})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = sim.Close() })
	s, err := New(f.Context(), Options{ServiceAccountJSON: sim.ServiceAccountJSON(), Endpoint: sim.FCMEndpoint()})
	if err != nil {
		f.Fatal(err)
	}
	s.tokens.current = &oauth2.Token{AccessToken: "a", Expiry: time.Now().Add(time.Hour)}
	for _, seed := range []struct {
		status      int
		body, retry string
	}{
		{200, `{"name":"projects/p/messages/1"}`, ""},
		{200, "<html>", ""},
		{404, failure("NOT_FOUND", "UNREGISTERED", "m"), ""},
		{404, failure("NOT_FOUND", token, token), "x"},
		{400, failure(token, "", "registration token"), "-5"},
		{400, `{"error":{"details":[{"fieldViolations":[{"field":"message.token"}]}]}}`, ""},
		{400, `{"error":{"details":{}}}`, ""},
		{429, `{"error":null}`, "99999999999"},
		{503, "null", "7"},
		{500, strings.Repeat(`{"error":`, 5000), "Sun, 06 Nov 2094 08:49:37 GMT"},
		{301, "", ""},
		{401, "", ""},
	} {
		f.Add(seed.status-100, []byte(seed.body), seed.retry)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte, retry string) {
		a := pushtest.Answer{Status: 100 + (status%900+900)%900, Body: body, RetryAfter: retry}
		s.auth.base = a
		s.tokens.dropped = time.Now() // a 401 fetches no other
		pushtest.CheckOutcome(t, a, s.Send(t.Context(), request(push.Call)), token)
	})
}
