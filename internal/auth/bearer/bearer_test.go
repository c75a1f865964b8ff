package bearer

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"reveille/internal/auth"
	"reveille/usrloc"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// An issuer is an authorization server: it signs tokens, and serves its keys
// over HTTP.
type issuer struct {
	t   testing.TB
	url string

	mu      sync.Mutex // guards what follows
	keys    []jose.JSONWebKey
	fetches int
	// answer takes the place of the keys, if it is set.
	answer http.HandlerFunc
}

func newIssuer(t testing.TB, keys ...jose.JSONWebKey) *issuer {
	i := &issuer{t: t, keys: keys}
	s := httptest.NewServer(i)
	t.Cleanup(s.Close)
	i.url = s.URL + "/jwks"
	return i
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.fetches++
	set, answer := jose.JSONWebKeySet{}, i.answer
	for _, k := range i.keys {
		set.Keys = append(set.Keys, k.Public())
	}
	i.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	if err := json.NewEncoder(w).Encode(set); err != nil {
		i.t.Error(err)
	}
}

// set changes what is served, and counts the fetches anew.
func (i *issuer) set(answer http.HandlerFunc, keys ...jose.JSONWebKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer, i.fetches = answer, 0
	if keys != nil {
		i.keys = keys
	}
}

func (i *issuer) fetched() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// key makes a private key.
func key(t testing.TB, kid string, alg jose.SignatureAlgorithm) jose.JSONWebKey {
	t.Helper()
	var private crypto.PrivateKey
	var err error
	switch alg {
	case jose.ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: private, KeyID: kid, Algorithm: string(alg), Use: "sig"}
}

// claims are those of a good token, with changes; nil removes one.
func claims(changes map[string]any) map[string]any {
	c := map[string]any{
		"iss": "https://as.example.com", "aud": "sip", "sub": "alice",
		"iat": noon.Add(-time.Minute).Unix(), "nbf": noon.Add(-time.Minute).Unix(), "exp": noon.Add(time.Hour).Unix(),
	}
	for name, v := range changes {
		if c[name] = v; v == nil {
			delete(c, name)
		}
	}
	return c
}

func sign(t testing.TB, k jose.JSONWebKey, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(k.Algorithm), Key: k}, (&jose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func newVerifier(t testing.TB, i *issuer, change func(*Options)) *Verifier {
	t.Helper()
	o := Options{Issuer: "https://as.example.com", Audience: "sip", JWKSURL: i.url}
	if change != nil {
		change(&o)
	}
	v, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// outcome names what Verify said.
func outcome(err error) string {
	switch {
	case err == nil:
		return "right"
	case errors.Is(err, auth.ErrTokenExpired):
		return "expired"
	case errors.Is(err, auth.ErrTokenScope):
		return "scope"
	case errors.Is(err, auth.ErrToken):
		return "wrong"
	}
	return "unknown"
}

func TestVerify_RFC7519_4_1(t *testing.T) {
	ours, other := key(t, "k1", jose.ES256), key(t, "k1", jose.ES256)
	i := newIssuer(t, ours)
	unix := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	for _, tt := range []struct {
		name    string
		options func(*Options)
		key     *jose.JSONWebKey
		claims  map[string]any
		want    string
	}{
		{name: "right", want: "right"},
		{name: "another's signature", key: &other, want: "wrong"},
		{name: "issuer", claims: map[string]any{"iss": "https://as.example.com/"}, want: "wrong"},
		{name: "no issuer", claims: map[string]any{"iss": nil}, want: "wrong"},
		{name: "audience", claims: map[string]any{"aud": "mail"}, want: "wrong"},
		{name: "one of the audiences", claims: map[string]any{"aud": []string{"mail", "sip"}}, want: "right"},
		{name: "no audience", claims: map[string]any{"aud": nil}, want: "wrong"},
		{name: "expired", claims: map[string]any{"exp": unix(-time.Minute)}, want: "expired"},
		{name: "expired within the skew", claims: map[string]any{"exp": unix(-20 * time.Second)}, want: "right"},
		{name: "expired, a wider skew", options: func(o *Options) { o.Skew = 2 * time.Minute }, claims: map[string]any{"exp": unix(-time.Minute)}, want: "right"},
		{name: "forever", claims: map[string]any{"exp": nil}, want: "wrong"},
		{name: "not yet", claims: map[string]any{"nbf": unix(time.Minute)}, want: "wrong"},
		{name: "soon", claims: map[string]any{"nbf": unix(20 * time.Second)}, want: "right"},
		{name: "issued in the future", claims: map[string]any{"iat": unix(time.Hour)}, want: "wrong"},
		{name: "no user", claims: map[string]any{"sub": nil}, want: "wrong"},
		{name: "a number for a user", claims: map[string]any{"sub": 7}, want: "wrong"},
		{name: "a line end in the user", claims: map[string]any{"sub": "a\nb"}, want: "wrong"},
		{name: "a long user", claims: map[string]any{"sub": strings.Repeat("a", maxName+1)}, want: "wrong"},
		{name: "scope", options: func(o *Options) { o.Scope = "sip.register sip.call" }, claims: map[string]any{"scope": "mail sip.call sip.register"}, want: "right"},
		{name: "half of the scope", options: func(o *Options) { o.Scope = "sip.register sip.call" }, claims: map[string]any{"scope": "sip.register"}, want: "scope"},
		{name: "no scope", options: func(o *Options) { o.Scope = "sip" }, want: "scope"},
		{name: "expired and out of scope", options: func(o *Options) { o.Scope = "sip" }, claims: map[string]any{"exp": unix(-time.Hour)}, want: "expired"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := ours
			if tt.key != nil {
				k = *tt.key
			}
			token := sign(t, k, claims(tt.claims))
			name, _, err := newVerifier(t, i, tt.options).Verify(t.Context(), token, noon)
			if got := outcome(err); got != tt.want {
				t.Errorf("Verify() = %s, %v, want %s", got, err, tt.want)
			}
			if (err == nil) != (name == "alice") {
				t.Errorf("name %q, %v", name, err)
			}
			if err != nil && strings.Contains(err.Error(), token[:20]) {
				t.Errorf("the error shows the token: %v", err)
			}
		})
	}
}

func TestVerify_Algorithms_RFC8725_3_1(t *testing.T) {
	rs, es, ed := key(t, "rs", jose.RS256), key(t, "es", jose.ES256), key(t, "ed", jose.EdDSA)
	i := newIssuer(t, rs, es, ed)
	v := newVerifier(t, i, nil)
	for _, k := range []jose.JSONWebKey{rs, es, ed} {
		if _, _, err := v.Verify(t.Context(), sign(t, k, claims(nil)), noon); err != nil {
			t.Errorf("%s: %v", k.Algorithm, err)
		}
	}
	public, err := rs.Public().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	pss := rs
	pss.Algorithm = string(jose.PS256)
	both := newVerifier(t, i, func(o *Options) { o.Algorithms = []string{"RS256", "PS256"} })
	if _, _, err := both.Verify(t.Context(), sign(t, pss, claims(nil)), noon); outcome(err) != "wrong" {
		t.Errorf("a key that is for another of the algorithms allowed: %v", err)
	}
	unsigned := strings.Join([]string{"eyJhbGciOiJub25lIiwia2lkIjoicnMifQ", strings.Split(sign(t, rs, claims(nil)), ".")[1], ""}, ".")
	swapped := es
	swapped.KeyID = "rs"
	for name, token := range map[string]string{
		"none":                            unsigned,
		"a public key as a shared secret": sign(t, jose.JSONWebKey{Key: public, KeyID: "rs", Algorithm: string(jose.HS256)}, claims(nil)),
		"not allowed":                     sign(t, pss, claims(nil)),
		"the key of another algorithm":    sign(t, swapped, claims(nil)),
		"no token":                        "a.b.c",
		"nothing":                         "",
		"two parts":                       "eyJhbGciOiJub25lIn0.e30",
	} {
		if _, _, err := v.Verify(t.Context(), token, noon); outcome(err) != "wrong" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVerify_Holder(t *testing.T) {
	k := key(t, "k", jose.ES256)
	i := newIssuer(t, k)
	v := newVerifier(t, i, func(o *Options) { o.UserClaim, o.AORsClaim = "preferred_username", "sip_aors" })
	many := make([]string, maxAORs+1)
	for n := range many {
		many[n] = fmt.Sprintf("sip:u%d@example.com", n)
	}
	for _, tt := range []struct {
		name string
		aors any
		want []usrloc.AOR
		err  string
	}{
		{"none", nil, nil, "right"},
		{"one", "sip:sales@EXAMPLE.com", []usrloc.AOR{"sip:sales@example.com"}, "right"},
		{"some", []string{"sales@example.com", "sip:sales@example.com;x=y", "sip:help@example.com"}, []usrloc.AOR{"sip:sales@example.com", "sip:help@example.com"}, "right"},
		{"of other kinds", []any{"tel:+123", 7, "sip:help@example.com"}, []usrloc.AOR{"sip:help@example.com"}, "right"},
		{"an object", map[string]any{"a": "sip:a@example.com"}, nil, "right"},
		{"too many", many, nil, "wrong"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token := sign(t, k, claims(map[string]any{"preferred_username": "alice", "sub": "4711", "sip_aors": tt.aors}))
			name, p, err := v.Verify(t.Context(), token, noon)
			if outcome(err) != tt.err || err == nil && name != "alice" {
				t.Fatalf("Verify() = %q, %v, want %s", name, err, tt.err)
			}
			if diff := cmp.Diff(tt.want, p.AORs); diff != "" {
				t.Errorf("AORs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNew_Errors(t *testing.T) {
	good := Options{Issuer: "i", Audience: "a", JWKSURL: "https://as.example.com/jwks"}
	for _, tt := range []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"good", func(*Options) {}, ""},
		{"this machine", func(o *Options) { o.JWKSURL = "http://[::1]:80/jwks" }, ""},
		{"issuer", func(o *Options) { o.Issuer = "" }, "issuer and audience are required"},
		{"audience", func(o *Options) { o.Audience = "" }, "issuer and audience are required"},
		{"plain HTTP", func(o *Options) { o.JWKSURL = "http://as.example.com/jwks" }, "is not https"},
		{"no URL", func(o *Options) { o.JWKSURL = "jwks" }, "is no URL"},
		{"shared secrets", func(o *Options) { o.Algorithms = []string{"HS256"} }, `algorithm "HS256" is none of`},
		{"unsigned", func(o *Options) { o.Algorithms = []string{"none"} }, `algorithm "none" is none of`},
		{"skew", func(o *Options) { o.Skew = MaxSkew + 1 }, "is not between"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := good
			tt.change(&o)
			_, err := New(o)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New() = %v, want %q", err, tt.want)
			}
		})
	}
}

func FuzzVerify(f *testing.F) {
	k := key(f, "k", jose.ES256)
	i := newIssuer(f, k)
	v := newVerifier(f, i, nil)
	good := sign(f, k, claims(nil))
	f.Add(good)
	f.Add("..")
	f.Add("eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.e30.AAAA")
	f.Fuzz(func(t *testing.T, token string) {
		// Whoever has not got the key makes no token but by copying one. The last
		// characters of a part may differ where they hold bits that nothing reads.
		if _, _, err := v.Verify(context.Background(), token, noon); err == nil && strings.SplitN(token, ".", 3)[1] != strings.SplitN(good, ".", 3)[1] {
			t.Errorf("Verify(%q) = nil", token)
		}
	})
}
