package auth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"reveille/internal/sipmsg"
)

// Tokens checks bearer tokens (RFC 8898). Implementations are safe for
// concurrent use.
type Tokens interface {
	// Verify returns whom a token stands for at a time: a name as in Credentials,
	// and what the token says of its holder. The error is ErrToken,
	// ErrTokenExpired or ErrTokenScope, perhaps wrapped, or any other if it
	// cannot be said now. It must hold nothing of the token. Verify may wait
	// until ctx ends.
	Verify(ctx context.Context, token string, now time.Time) (name string, p Profile, err error)
}

// What is wrong with a token.
var (
	// ErrToken: it is none of our authorization server's for us.
	ErrToken = errors.New("auth: the token is not valid")
	// ErrTokenExpired: it was good until its time ended.
	ErrTokenExpired = errors.New("auth: the token has expired")
	// ErrTokenScope: it is good, but not for this service.
	ErrTokenScope = errors.New("auth: the token is for other services")
)

// Bearer are the options for bearer tokens.
type Bearer struct {
	Tokens Tokens
	// AuthzServer is the https URI of the authorization server, where phones get
	// tokens.
	AuthzServer string
	// Scope is what challenges say that a token must be good for, scopes
	// separated by spaces; "" names none.
	Scope string
	// Plaintext takes tokens on flows that are not protected by TLS as well,
	// where whoever sees one can use it until it expires.
	Plaintext bool
}

func (b *Bearer) validate() error {
	if b.Tokens == nil {
		return errors.New("auth: Bearer.Tokens is required")
	}
	// RFC 8898 §4: https-URI.
	if u, err := url.Parse(b.AuthzServer); err != nil || u.Scheme != "https" || u.Host == "" || !quotable(b.AuthzServer) {
		return fmt.Errorf("auth: the authorization server %q is no https URI", b.AuthzServer)
	}
	if !quotable(b.Scope) {
		return fmt.Errorf("auth: scope %q holds a quote, a backslash or a control character", b.Scope)
	}
	return nil
}

// maxToken bounds a token. Those of large providers have 1 to 3 KiB.
const maxToken = 8192

// tokenLookups is how many tokens may be looked at at one time if
// Options.MaxLookups does not say.
const tokenLookups = 1024

// bearerScheme returns what follows the word "Bearer" in a header value (RFC
// 6750 §2.1). ok is false for any other scheme.
func bearerScheme(v string) (token string, ok bool) {
	const scheme = "Bearer"
	if len(v) <= len(scheme) || !strings.EqualFold(v[:len(scheme)], scheme) || !isLWS(v[len(scheme)]) {
		return "", false
	}
	return strings.Trim(v[len(scheme)+1:], " \t\r\n"), true
}

// isToken68 reports whether s has the form of a token (RFC 6750 §2.1: b64token).
func isToken68(s string) bool {
	s = strings.TrimRight(s, "=")
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c > 0x7e || !isTokenChar(byte(c)) && c != '/' || strings.ContainsRune("!%*`'", c)
	})
}

// takesTokens reports whether tokens are offered and taken. They name no realm,
// so they are for one.
func (r *request) takesTokens() bool {
	b := r.a.o.Bearer
	return b != nil && r.realm == r.a.o.Realm && (b.Plaintext || r.f.Transport.Secure())
}

// redeem makes the Decision about a token.
func (r *request) redeem(ctx context.Context) {
	if len(r.token) > maxToken {
		r.fail(ReasonToken)
		r.challenge(ReasonToken, false)
		return
	}
	name, profile, err := r.a.o.Bearer.Tokens.Verify(ctx, r.token, r.now)
	switch {
	case err == nil:
		r.d = Decision{Outcome: Allowed, Reason: ReasonUser, User: User{Name: name, Realm: r.realm, Profile: profile}}
	case errors.Is(err, ErrTokenExpired):
		// RFC 8898 §2.2: the phone gets a new one. That is no failure of its.
		r.challenge(ReasonTokenExpired, false)
	case errors.Is(err, ErrTokenScope):
		r.fail(ReasonTokenScope)
		r.challenge(ReasonTokenScope, false)
	case errors.Is(err, ErrToken):
		r.fail(ReasonToken)
		r.challenge(ReasonToken, false)
	default:
		r.refuseUnavailable()
	}
}

// bearerChallenge is the challenge line that offers tokens (RFC 8898 §4).
func (r *request) bearerChallenge(name string, reason Reason) sipmsg.HeaderField {
	b := r.a.o.Bearer
	value := `Bearer realm="` + r.realm + `", authz_server="` + b.AuthzServer + `"`
	if b.Scope != "" {
		value += `, scope="` + b.Scope + `"`
	}
	switch reason {
	case ReasonToken, ReasonTokenExpired:
		value += `, error="invalid_token"`
	case ReasonTokenScope:
		value += `, error="invalid_scope"`
	default:
	}
	return sipmsg.HeaderField{Name: name, Value: value}
}
