// Package signontest is an OpenID provider for tests: real HTTP, real keys, and as
// strict as a good one about what clients send. It can be told to do wrong.
package signontest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// What clients are known by.
const (
	ClientID     = "reveille"
	ClientSecret = "the secret of the console: 100%"
)

// A Provider lets in one person, without asking who that is. It is safe for concurrent
// use.
type Provider struct {
	t      testing.TB
	server *httptest.Server

	mu       sync.Mutex // guards the fields below
	redirect string
	claims   map[string]any
	more     map[string]any // of UserInfo
	keys     []jose.JSONWebKey
	codes    map[string]login
	asked    map[string]int // requests by path
	host     string         // in its URLs
	down     bool
	form     bool
	wrong    Wrong
}

// login is what a code stands for.
type login struct{ nonce, challenge, redirect string }

// Wrong says what a Provider does wrong.
type Wrong struct {
	// Token changes the claims of an ID token before it is signed, Sign how that is
	// done, and Answer the answer with it.
	Token  func(map[string]any)
	Sign   func(claims map[string]any) string
	Answer http.HandlerFunc
	// Discovery changes what the provider says about itself, Keys answers for the keys.
	Discovery func(map[string]any)
	Keys      http.HandlerFunc
	// Again has codes be good more than once.
	Again bool
}

// New starts a Provider. Clients are sent back to redirect, and nowhere else.
func New(t testing.TB, redirect string) *Provider {
	p := &Provider{
		t: t, redirect: redirect, codes: map[string]login{}, asked: map[string]int{}, host: "127.0.0.1",
		claims: map[string]any{"sub": "248289761001", "preferred_username": "erin", "groups": []string{"staff", "voice-admins"}},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /keys", p.serveKeys)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /approve", p.approve)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /userinfo", p.userInfo)
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked[r.URL.Path]++
		down := p.down
		p.mu.Unlock()
		if down {
			panic(http.ErrAbortHandler) // The connection ends without an answer.
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.server.Close)
	p.Rotate(jose.ES256)
	return p
}

// Issuer is the provider's URL.
func (p *Provider) Issuer() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.issuer()
}

// issuer is Issuer. The caller holds mu.
func (p *Provider) issuer() string {
	return strings.Replace(p.server.URL, "127.0.0.1", p.host, 1)
}

// Set says what the provider claims of the person in ID tokens, beside sub.
func (p *Provider) Set(claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims = maps.Clone(claims)
	if p.claims["sub"] == nil {
		p.claims["sub"] = "248289761001"
	}
}

// SetUserInfo says what it claims by UserInfo, which there is from then on.
func (p *Provider) SetUserInfo(claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.more = claims
}

// Do has it do wrong from now on.
func (p *Provider) Do(w Wrong) { p.mu.Lock(); defer p.mu.Unlock(); p.wrong = w }

// SetDown has it answer nothing, or answer again.
func (p *Provider) SetDown(down bool) { p.mu.Lock(); defer p.mu.Unlock(); p.down = down }

// Ask has it show a page with a button, as one does that asks for a password, under the
// name localhost: for a browser that is another site than 127.0.0.1.
func (p *Provider) Ask() { p.mu.Lock(); defer p.mu.Unlock(); p.form, p.host = true, "localhost" }

// SetRedirect has clients be sent back elsewhere.
func (p *Provider) SetRedirect(to string) { p.mu.Lock(); defer p.mu.Unlock(); p.redirect = to }

// Asked returns how often a path was asked for.
func (p *Provider) Asked(path string) int { p.mu.Lock(); defer p.mu.Unlock(); return p.asked[path] }

// Rotate has tokens be signed by a new key of RS256 or ES256; the old ones are gone.
func (p *Provider) Rotate(alg jose.SignatureAlgorithm) {
	key := NewKey(p.t, alg)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = []jose.JSONWebKey{key}
}

// NewKey makes a key with a name of its own.
func NewKey(t testing.TB, alg jose.SignatureAlgorithm) jose.JSONWebKey {
	t.Helper()
	var key crypto.Signer
	var err error
	if alg == jose.RS256 {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: key, KeyID: rand.Text(), Algorithm: string(alg), Use: "sig"}
}

// Sign makes an ID token.
func Sign(key jose.SigningKey, claims map[string]any) (string, error) {
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The client may be gone.
	_ = json.NewEncoder(w).Encode(v)
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.issuer()
	said := map[string]any{
		"issuer": at, "authorization_endpoint": at + "/authorize", "token_endpoint": at + "/token", "jwks_uri": at + "/keys",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256", "ES256"}, "code_challenge_methods_supported": []string{"S256"},
	}
	if p.more != nil {
		said["userinfo_endpoint"] = at + "/userinfo"
	}
	if p.wrong.Discovery != nil {
		p.wrong.Discovery(said)
	}
	answer(w, http.StatusOK, said)
}

func (p *Provider) serveKeys(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wrong.Keys != nil {
		p.wrong.Keys(w, r)
		return
	}
	set := jose.JSONWebKeySet{}
	for _, k := range p.keys {
		set.Keys = append(set.Keys, k.Public())
	}
	answer(w, http.StatusOK, set)
}

// authorize is OpenID Connect Core §3.1.2.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p.mu.Lock()
	redirect, form := p.redirect, p.form
	p.mu.Unlock()
	for name, want := range map[string]string{"response_type": "code", "client_id": ClientID, "redirect_uri": redirect, "code_challenge_method": "S256"} {
		if got := q.Get(name); got != want {
			http.Error(w, fmt.Sprintf("%s is %q, not %q", name, got, want), http.StatusBadRequest)
			return
		}
	}
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if len(q.Get(name)) < 22 {
			http.Error(w, name+" has less than 128 bits", http.StatusBadRequest)
			return
		}
	}
	if !slices.Contains(strings.Fields(q.Get("scope")), "openid") {
		http.Error(w, "the scope is not openid", http.StatusBadRequest)
		return
	}
	if form {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><title>Provider</title><form method="post" action="/approve?%s"><button id="approve">I am erin</button></form>`, r.URL.Query().Encode())
		return
	}
	p.approve(w, r)
}

// approve sends the browser back with a code.
func (p *Provider) approve(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	code := rand.Text()
	p.mu.Lock()
	p.codes[code] = login{q.Get("nonce"), q.Get("code_challenge"), q.Get("redirect_uri")}
	back := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.issuer()}}
	to := p.redirect + "?" + back.Encode()
	p.mu.Unlock()
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// token is OpenID Connect Core §3.1.3 with RFC 7636 §4.6.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wrong.Answer != nil {
		p.wrong.Answer(w, r)
		return
	}
	refuse := func(status int, code string) { answer(w, status, map[string]string{"error": code}) }
	id, secret, _ := r.BasicAuth()
	// RFC 6749 §2.3.1: both are form-encoded first.
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	if id != ClientID || secret != ClientSecret {
		refuse(http.StatusUnauthorized, "invalid_client")
		return
	}
	code := r.PostFormValue("code")
	l, ok := p.codes[code]
	if !p.wrong.Again {
		delete(p.codes, code) // It is good once.
	}
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !ok || r.PostFormValue("grant_type") != "authorization_code" || r.PostFormValue("redirect_uri") != l.redirect || base64.RawURLEncoding.EncodeToString(sum[:]) != l.challenge {
		refuse(http.StatusBadRequest, "invalid_grant")
		return
	}
	now := time.Now()
	claims := map[string]any{"iss": p.issuer(), "aud": ClientID, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "nonce": l.nonce}
	maps.Copy(claims, p.claims)
	if p.wrong.Token != nil {
		p.wrong.Token(claims)
	}
	if p.wrong.Sign != nil {
		answer(w, http.StatusOK, map[string]any{"access_token": accessToken, "token_type": "Bearer", "id_token": p.wrong.Sign(claims)})
		return
	}
	signed, err := Sign(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(p.keys[0].Algorithm), Key: p.keys[0]}, claims)
	if err != nil {
		p.t.Error(err)
	}
	answer(w, http.StatusOK, map[string]any{"access_token": accessToken, "token_type": "Bearer", "expires_in": 300, "id_token": signed})
}

// accessToken is what UserInfo wants to see.
const accessToken = "SlAV32hkKG-an-access-token"

func (p *Provider) userInfo(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.more == nil || r.Header.Get("Authorization") != "Bearer "+accessToken {
		http.Error(w, "invalid token "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		return
	}
	answer(w, http.StatusOK, p.more)
}
