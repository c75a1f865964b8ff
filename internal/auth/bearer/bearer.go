package bearer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"reveille/internal/auth"
)

// Defaults of Options.
const (
	DefaultUserClaim = "sub"
	DefaultSkew      = 30 * time.Second
	DefaultRefresh   = time.Hour
	DefaultKeep      = 24 * time.Hour
	DefaultPause     = 10 * time.Second
	DefaultTimeout   = 4 * time.Second
)

// MaxSkew bounds Options.Skew: it lengthens the life of every token.
const MaxSkew = 5 * time.Minute

// Options configure a Verifier. Issuer, Audience and JWKSURL are required.
type Options struct {
	// Issuer is the iss claim of the tokens, character by character.
	Issuer string
	// Audience must be among the values of the aud claim: who takes tokens for
	// others lets those others in.
	Audience string
	// JWKSURL is where the keys are: https, or http on this machine.
	JWKSURL string
	// Algorithms are those accepted, by their JOSE names (RFC 7518 §3.1). Only
	// signatures by public keys are: a shared secret would have to lie in the
	// JWK Set. Nil: RS256, ES256, EdDSA.
	Algorithms []string
	// UserClaim names the claim that holds the user's name; "" means
	// DefaultUserClaim.
	UserClaim string
	// AORsClaim names the claim that holds further AORs of the user, one string
	// or a list; "": there is none.
	AORsClaim string
	// Scope holds what the scope claim (RFC 9068 §2.2.3) must hold all of,
	// separated by spaces.
	Scope string
	// Skew is how much the clock of the authorization server may differ; 0 means
	// DefaultSkew.
	Skew time.Duration
	// Refresh is the age at which keys are fetched again, Keep that up to which
	// they are good when they cannot be; 0 means DefaultRefresh and DefaultKeep.
	Refresh, Keep time.Duration
	// Pause is the least time between two fetches; 0 means DefaultPause.
	Pause time.Duration
	// Timeout bounds a fetch; 0 means DefaultTimeout.
	Timeout time.Duration
	// Logger is told of fetches that failed; nil: nobody is.
	Logger *slog.Logger
}

// signatures are the algorithms that can be allowed.
func signatures() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
	}
}

func (o *Options) validate() error {
	if o.Issuer == "" || o.Audience == "" {
		return errors.New("bearer: issuer and audience are required")
	}
	if err := checkURL(o.JWKSURL); err != nil {
		return err
	}
	if len(o.Algorithms) == 0 {
		o.Algorithms = []string{string(jose.RS256), string(jose.ES256), string(jose.EdDSA)}
	}
	for _, name := range o.Algorithms {
		if !slices.Contains(signatures(), jose.SignatureAlgorithm(name)) {
			return fmt.Errorf("bearer: algorithm %q is none of %v", name, signatures())
		}
	}
	if o.Skew < 0 || o.Skew > MaxSkew {
		return fmt.Errorf("bearer: a skew of %v is not between 0 and %v", o.Skew, MaxSkew)
	}
	defaultTo(&o.UserClaim, DefaultUserClaim)
	defaultTo(&o.Skew, DefaultSkew)
	defaultTo(&o.Refresh, DefaultRefresh)
	defaultTo(&o.Keep, max(DefaultKeep, o.Refresh))
	defaultTo(&o.Pause, DefaultPause)
	defaultTo(&o.Timeout, DefaultTimeout)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func defaultTo[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// checkURL refuses what others could change on the way: keys decide who is let
// in.
func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return fmt.Errorf("bearer: %q is no URL", s)
	}
	addr, err := netip.ParseAddr(u.Hostname())
	local := u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
	if u.Scheme == "https" || u.Scheme == "http" && local {
		return nil
	}
	return fmt.Errorf("bearer: %q is not https", s)
}

// A Verifier checks the tokens of one authorization server. It is safe for
// concurrent use, and holds nothing that has to be closed.
type Verifier struct {
	o          Options
	algorithms []jose.SignatureAlgorithm
	scopes     []string
	keys       *keys
}

var _ auth.Tokens = (*Verifier)(nil)

// New returns a Verifier. It fetches nothing yet.
func New(o Options) (*Verifier, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	keys, err := newKeys(&o)
	if err != nil {
		return nil, err
	}
	v := &Verifier{o: o, scopes: strings.Fields(o.Scope), keys: keys}
	for _, name := range o.Algorithms {
		v.algorithms = append(v.algorithms, jose.SignatureAlgorithm(name))
	}
	return v, nil
}

// Verify implements auth.Tokens.
func (v *Verifier) Verify(ctx context.Context, token string, now time.Time) (string, auth.Profile, error) {
	// The errors of the library could quote the token.
	t, err := jwt.ParseSigned(token, v.algorithms)
	if err != nil || len(t.Headers) != 1 {
		return "", auth.Profile{}, fmt.Errorf("%w: it is no JWT with an algorithm that is allowed", auth.ErrToken)
	}
	h := t.Headers[0]
	key, err := v.keys.find(ctx, h.KeyID, h.Algorithm, now)
	if err != nil {
		return "", auth.Profile{}, err
	}
	var standard jwt.Claims
	claims := map[string]any{}
	if err := t.Claims(key, &standard, &claims); err != nil {
		return "", auth.Profile{}, fmt.Errorf("%w: its signature is wrong or its claims are no object", auth.ErrToken)
	}
	if err := v.checkClaims(&standard, now); err != nil {
		return "", auth.Profile{}, err
	}
	if !v.inScope(claims["scope"]) {
		return "", auth.Profile{}, auth.ErrTokenScope
	}
	return v.holder(claims)
}

// checkClaims looks at who issued a token, for whom and for how long (RFC 7519
// §4.1).
func (v *Verifier) checkClaims(c *jwt.Claims, now time.Time) error {
	if c.Expiry == nil {
		return fmt.Errorf("%w: it would be good forever", auth.ErrToken)
	}
	err := c.ValidateWithLeeway(jwt.Expected{Issuer: v.o.Issuer, AnyAudience: jwt.Audience{v.o.Audience}, Time: now}, v.o.Skew)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jwt.ErrExpired):
		return auth.ErrTokenExpired
	}
	// These errors name a claim and no value.
	return fmt.Errorf("%w: %w", auth.ErrToken, err)
}

// inScope reports whether a scope claim holds all that is wanted.
func (v *Verifier) inScope(claim any) bool {
	text, _ := claim.(string)
	has := strings.Fields(text)
	return !slices.ContainsFunc(v.scopes, func(want string) bool { return !slices.Contains(has, want) })
}

// maxName bounds the name of a user in bytes, maxAORs how many AORs a token may
// name.
const (
	maxName = 256
	maxAORs = 64
)

// holder reads from claims that were proven who the user is.
func (v *Verifier) holder(claims map[string]any) (string, auth.Profile, error) {
	name, _ := claims[v.o.UserClaim].(string)
	if name == "" || len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", auth.Profile{}, fmt.Errorf("%w: the claim %s is no name", auth.ErrToken, v.o.UserClaim)
	}
	var p auth.Profile
	if v.o.AORsClaim == "" {
		return name, p, nil
	}
	for _, s := range texts(claims[v.o.AORsClaim]) {
		// A user may have addresses of other kinds, as telephone numbers.
		aor, err := auth.CanonicalAOR(s)
		if err == nil && !slices.Contains(p.AORs, aor) {
			p.AORs = append(p.AORs, aor)
		}
		if len(p.AORs) > maxAORs {
			return "", auth.Profile{}, fmt.Errorf("%w: the claim %s names too many AORs", auth.ErrToken, v.o.AORsClaim)
		}
	}
	p.AORs = slices.Clip(p.AORs)
	return name, p, nil
}

// texts returns the strings of a claim that is one or a list of them.
func texts(claim any) (list []string) {
	switch c := claim.(type) {
	case string:
		list = append(list, c)
	case []any:
		for _, x := range c {
			if s, ok := x.(string); ok {
				list = append(list, s)
			}
		}
	}
	return list
}
