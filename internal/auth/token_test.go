package auth

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// pretend knows a few tokens.
type pretend struct{}

func (pretend) Verify(_ context.Context, token string, _ time.Time) (string, Profile, error) {
	switch token {
	case "right", strings.Repeat("a", maxToken+1):
		return "alice", Profile{AORs: []usrloc.AOR{"sip:sales@example.com"}}, nil
	case "old":
		return "", Profile{}, ErrTokenExpired
	case "mail":
		return "", Profile{}, ErrTokenScope
	case "down":
		return "", Profile{}, errors.New("no keys")
	}
	return "", Profile{}, ErrToken
}

var secure = flow.Flow{Listener: "tls", Transport: flow.TLS, Remote: phone.Remote, Conn: 1}

func withTokens(o *Options) {
	o.Bearer = &Bearer{Tokens: pretend{}, AuthzServer: "https://as.example.com", Scope: "sip"}
}

func TestBearer_RFC8898_2_2(t *testing.T) {
	const offer = `Bearer realm="example.com", authz_server="https://as.example.com", scope="sip"`
	for _, tt := range []struct {
		name      string
		header    string
		f         flow.Flow
		options   func(*Options)
		outcome   Outcome
		reason    Reason
		code      int
		challenge string // the first line
		failed    bool   // an event tells
	}{
		{name: "right", header: "Bearer right", outcome: Allowed, reason: ReasonUser},
		{name: "the scheme in lower case", header: "bearer   right ", outcome: Allowed, reason: ReasonUser},
		{name: "none", outcome: Challenged, reason: ReasonNoCredentials, code: 401, challenge: offer},
		{name: "wrong", header: "Bearer wrong", outcome: Challenged, reason: ReasonToken, code: 401, challenge: offer + `, error="invalid_token"`, failed: true},
		{name: "expired", header: "Bearer old", outcome: Challenged, reason: ReasonTokenExpired, code: 401, challenge: offer + `, error="invalid_token"`},
		{name: "scope", header: "Bearer mail", outcome: Challenged, reason: ReasonTokenScope, code: 401, challenge: offer + `, error="invalid_scope"`, failed: true},
		{name: "too long", header: "Bearer " + strings.Repeat("a", maxToken+1), outcome: Challenged, reason: ReasonToken, code: 401, challenge: offer + `, error="invalid_token"`, failed: true},
		{name: "nobody can say", header: "Bearer down", outcome: Refused, reason: ReasonUnavailable, code: 503},
		{name: "no token", header: `Bearer token="right"`, outcome: Refused, reason: ReasonMalformed, code: 400},
		{name: "padding alone", header: `Bearer ==`, outcome: Refused, reason: ReasonMalformed, code: 400},
		{name: "without TLS", header: "Bearer right", f: phone, outcome: Challenged, reason: ReasonNoCredentials, code: 401, challenge: "Digest"},
		{
			name: "without TLS, which is meant", header: "Bearer right", f: phone,
			options: func(o *Options) { o.Bearer.Plaintext = true }, outcome: Allowed, reason: ReasonUser,
		},
		{name: "another realm", header: "Bearer right", options: func(o *Options) { o.Realm = "elsewhere" }, outcome: Challenged, reason: ReasonNoCredentials, code: 401, challenge: "Digest"},
		{name: "no scope", options: func(o *Options) { o.Bearer.Scope = "" }, outcome: Challenged, reason: ReasonNoCredentials, code: 401, challenge: strings.TrimSuffix(offer, `, scope="sip"`)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, events := newAuth(t, func(o *Options) {
				withTokens(o)
				o.Domains = map[string]string{"example.com": "example.com"}
				if tt.options != nil {
					tt.options(o)
				}
			})
			f := tt.f
			if f.IsZero() {
				f = secure
			}
			m := register(t)
			if tt.header != "" {
				m = register(t, "Authorization: "+tt.header)
			}
			// The short cut leaves tokens alone.
			if _, ok := recognise(t, a, m, f, noon); ok {
				t.Error("recognised")
			}
			decided := make(chan Decision, 1)
			a.Authenticate(t.Context(), m, f, Registrar, noon, func(d Decision) { decided <- d })
			d := <-decided
			wantDecision(t, d, tt.outcome, tt.reason, tt.code)
			if tt.outcome == Allowed {
				want := User{Name: "alice", Realm: "example.com", Profile: Profile{AORs: []usrloc.AOR{"sip:sales@example.com"}}}
				if diff := cmp.Diff(want, d.User); diff != "" {
					t.Errorf("user (-want +got):\n%s", diff)
				}
				if !a.MayUse(d.User, "sip:alice@example.com") || !a.MayUse(d.User, "sip:sales@example.com") || a.MayUse(d.User, "sip:bob@example.com") {
					t.Error("what the user may use is wrong")
				}
			}
			if tt.challenge != "" {
				if got := d.Reply.Headers[0].Value; got != tt.challenge && (tt.challenge != "Digest" || !strings.HasPrefix(got, "Digest ")) {
					t.Errorf("first line %s, want %s", got, tt.challenge)
				}
				if last := d.Reply.Headers[len(d.Reply.Headers)-1].Value; !strings.Contains(last, "algorithm=MD5") {
					t.Errorf("last line %s", last)
				}
			}
			got := events.take()
			if (len(got) == 1) != tt.failed {
				t.Errorf("events: %v", got)
			}
			if tt.failed {
				if e := got[0].(event.AuthFailed); e.User != "" || e.Reason != tt.reason.String() {
					t.Errorf("event: %+v", e)
				}
			}
		})
	}
}

func TestBearer_Proxy_RFC8898_2_3(t *testing.T) {
	a, _ := newAuth(t, withTokens)
	invite := func(headers ...string) *sipmsg.Message {
		return message(t, "INVITE", "sip:bob@example.com", "sip:alice@example.com", "sip:bob@example.com", headers...)
	}
	d := a.Check(t.Context(), invite(), secure, Proxy, noon)
	wantDecision(t, d, Challenged, ReasonNoCredentials, 407)
	if h := d.Reply.Headers[0]; h.Name != "Proxy-Authenticate" || !strings.HasPrefix(h.Value, "Bearer ") {
		t.Errorf("first line %s: %s", h.Name, h.Value)
	}
	wantDecision(t, a.Check(t.Context(), invite("Authorization: Basic cmlnaHQ="), secure, Proxy, noon), Challenged, ReasonNoCredentials, 407)
	wantDecision(t, a.Check(t.Context(), invite("Proxy-Authorization: Bearer right"), secure, Proxy, noon), Allowed, ReasonUser, 0)
	// Credentials for other realms do not hide the token.
	other := `Proxy-Authorization: Digest username="x", realm="elsewhere", nonce="n", uri="sip:x", response="0"`
	wantDecision(t, a.Check(t.Context(), invite(other, "Proxy-Authorization: Bearer right"), secure, Proxy, noon), Allowed, ReasonUser, 0)
}

// Phones put the token into Authorization whoever asks for it.
func TestBearer_ProxyReadsAuthorization_RFC8898_2_1_4(t *testing.T) {
	a, _ := newAuth(t, withTokens)
	invite := func(headers ...string) *sipmsg.Message {
		return message(t, "INVITE", "sip:bob@example.com", "sip:alice@example.com", "sip:bob@example.com", headers...)
	}
	first := a.Check(t.Context(), invite(), phone, Proxy, noon)
	digest := login{user: "alice", password: "secret", method: "INVITE", uri: "sip:bob@example.com"}.answer(t, first)
	for _, tt := range []struct {
		name    string
		headers []string
		outcome Outcome
		reason  Reason
	}{
		{"right", []string{"Authorization: Bearer right"}, Allowed, ReasonUser},
		{"wrong", []string{"Authorization: Bearer wrong"}, Challenged, ReasonToken},
		{"no token", []string{"Authorization: Bearer =="}, Challenged, ReasonNoCredentials},
		{"behind credentials for the other end", []string{`Authorization: Digest username="x"`, "Authorization: Bearer right"}, Allowed, ReasonUser},
		{"beside credentials for us", []string{"Authorization: Bearer wrong", digest}, Allowed, ReasonUser},
	} {
		if d := a.Check(t.Context(), invite(tt.headers...), secure, Proxy, noon); d.Outcome != tt.outcome || d.Reason != tt.reason {
			t.Errorf("%s: %v, %v, want %v, %v", tt.name, d.Outcome, d.Reason, tt.outcome, tt.reason)
		}
	}
	// Where no tokens are taken, it is none of our business.
	wantDecision(t, a.Check(t.Context(), invite("Authorization: Bearer right"), phone, Proxy, noon), Challenged, ReasonNoCredentials, 407)
}

// A failure with a token is nobody's, whatever else the request brings.
func TestBearer_FailureNamesNobody(t *testing.T) {
	a, events := newAuth(t, withTokens)
	other := `Authorization: Digest username="x", realm="elsewhere", nonce="n", uri="sip:x", response="0"`
	wantDecision(t, a.Check(t.Context(), register(t, other, "Authorization: Bearer wrong"), secure, Registrar, noon), Challenged, ReasonToken, 401)
	if got := events.take(); len(got) != 1 || got[0].(event.AuthFailed).User != "" {
		t.Errorf("events: %+v", got)
	}
}

// Guessing tokens is as limited as guessing passwords.
func TestBearer_FailureLimit(t *testing.T) {
	a, _ := newAuth(t, func(o *Options) {
		withTokens(o)
		o.Failures = LimitOptions{Rate: 0.1, Burst: 2}
	})
	wrong, right := register(t, "Authorization: Bearer wrong"), register(t, "Authorization: Bearer right")
	for range 2 {
		wantDecision(t, a.Check(t.Context(), wrong, secure, Registrar, noon), Challenged, ReasonToken, 401)
	}
	wantDecision(t, a.Check(t.Context(), right, secure, Registrar, noon), Refused, ReasonLimited, 480)
}

func TestNew_BearerErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Bearer)
		want   string
	}{
		{"no verifier", func(b *Bearer) { b.Tokens = nil }, "Tokens is required"},
		{"no https", func(b *Bearer) { b.AuthzServer = "http://as.example.com" }, "no https URI"},
		{"no host", func(b *Bearer) { b.AuthzServer = "https:///x" }, "no https URI"},
		{"a quote in the URI", func(b *Bearer) { b.AuthzServer = `https://as.example.com/"` }, "no https URI"},
		{"a quote in the scope", func(b *Bearer) { b.Scope = `a"b` }, "holds a quote"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &Bearer{Tokens: pretend{}, AuthzServer: "https://as.example.com"}
			tt.change(b)
			_, err := New(Options{Source: new(Users), Realm: "r", Bearer: b})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New() = %v, want %q", err, tt.want)
			}
		})
	}
}
