package console

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"reveille/internal/signon"
)

// Bounds of logins that were begun at a provider.
const (
	// attemptTime is how long somebody may take there.
	attemptTime = 10 * time.Minute
	// maxUsed bounds those that are remembered so that none is good twice; the provider
	// takes no code twice, either. Only logins that succeeded take a place.
	maxUsed = 1024
	// maxNext bounds the place to go to afterwards: cookies are small.
	maxNext = 1024
)

// attempts are logins that were begun. The browser keeps each itself, sealed, so that
// strangers who begin logins take no memory. It is safe for concurrent use.
type attempts struct {
	aead cipher.AEAD
	used *lru.Cache[string, struct{}] // by state
}

// begun is a login that was begun.
type begun struct {
	signon.Attempt
	// Next is where to go afterwards, in the console.
	Next  string
	Until time.Time
}

func newAttempts() (*attempts, error) {
	key := make([]byte, 32)
	// It never fails (crypto/rand).
	_, _ = rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	a := &attempts{}
	if a.aead, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return nil, err
	}
	a.used, err = lru.New[string, struct{}](maxUsed)
	return a, err
}

// seal returns the value of a cookie.
func (a *attempts) seal(b begun) (string, error) {
	if len(b.Next) > maxNext {
		b.Next = Path
	}
	text, err := json.Marshal(b)
	return base64.RawURLEncoding.EncodeToString(a.aead.Seal(nil, nil, text, nil)), err
}

// of returns the login that the browser began and is sent back from.
func (a *attempts) of(r *http.Request, s *SignOn, now time.Time) (b begun, err error) {
	cookie, err := r.Cookie(attemptCookieName(r, s))
	if err != nil {
		return b, errors.New("no login was begun in this browser")
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return b, errors.New("the cookie of the login is broken")
	}
	text, err := a.aead.Open(nil, nil, sealed, nil)
	if err != nil {
		return b, errors.New("the cookie of the login is not of this server")
	}
	if err := json.Unmarshal(text, &b); err != nil {
		return b, fmt.Errorf("the cookie of the login: %w", err)
	}
	// RFC 6749 §10.12: an answer that somebody else has begun is not for this browser.
	if !b.StateIs(r.URL.Query().Get("state")) {
		return b, errors.New("the answer is to another login")
	}
	if !now.Before(b.Until) {
		return b, errors.New("the login was begun too long ago")
	}
	return b, nil
}

// once reports whether a login succeeds for the first time.
func (a *attempts) once(state string) bool {
	before, _ := a.used.ContainsOrAdd(state, struct{}{})
	return !before
}

// overTLS reports whether the browser came by TLS, be it to a proxy in front.
func overTLS(r *http.Request, s *SignOn) bool {
	return r.TLS != nil || strings.HasPrefix(s.Client.Origin(), "https:")
}

func attemptCookieName(r *http.Request, s *SignOn) string {
	if overTLS(r, s) {
		return "__Host-reveille-login"
	}
	return "reveille-login"
}

// attemptCookie keeps a login that was begun for so many seconds. The provider is
// another site: a strict cookie would not come back.
func attemptCookie(r *http.Request, s *SignOn, value string, seconds int) *http.Cookie {
	return &http.Cookie{
		Name: attemptCookieName(r, s), Value: value, Path: "/", MaxAge: seconds, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: overTLS(r, s),
	}
}
