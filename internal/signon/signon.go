package signon

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"reveille/internal/httpclient"
)

// Bounds of what a provider may take and send.
const (
	// Timeout bounds one question to the provider.
	Timeout = 5 * time.Second
	// maxAnswer is enough for some hundred keys.
	maxAnswer = 256 << 10
	maxConns  = 8
)

// Errors of Begin and Finish. Both are wrapped with the reason.
var (
	// ErrUnavailable says that the provider does not answer, or not as one does.
	ErrUnavailable = errors.New("the provider cannot be asked")
	// ErrRefused says that the person is not let in: the provider does not take the
	// code, or what it says of the person is not to be believed.
	ErrRefused = errors.New("the login is not valid")
)

// Options configure a Client. All but ClientSecret, Scopes, RootCAs and Logger are
// required.
type Options struct {
	// Issuer is the provider's URL, as its tokens say it.
	Issuer string
	// ClientID and ClientSecret are what the provider knows the server by. Without a
	// secret it is a public client.
	ClientID, ClientSecret string
	// RedirectURL is where the provider sends browsers back to.
	RedirectURL string
	// Scopes are asked for beside openid.
	Scopes []string
	// NameClaim holds the name of a person, RoleClaim what decides what they may do. A
	// dot leads into an object: realm_access.roles.
	NameClaim, RoleClaim string
	// RootCAs are believed in, and nobody else; nil: the system's.
	RootCAs *x509.CertPool
	Logger  *slog.Logger
}

func (o *Options) validate() error {
	for name, value := range map[string]string{
		"Issuer": o.Issuer, "ClientID": o.ClientID, "RedirectURL": o.RedirectURL, "NameClaim": o.NameClaim, "RoleClaim": o.RoleClaim,
	} {
		if value == "" {
			return fmt.Errorf("signon: %s is required", name)
		}
	}
	return nil
}

// A Client logs people in at a provider. It is safe for concurrent use.
type Client struct {
	o      Options
	origin string // of RedirectURL
	host   string // of Issuer
	http   *http.Client
	log    *slog.Logger
	found  discovery
}

// New returns a Client. It asks nobody.
func New(o Options) (*Client, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	redirect, err := url.Parse(o.RedirectURL)
	if err != nil {
		return nil, fmt.Errorf("signon: redirect URL: %w", err)
	}
	issuer, err := url.Parse(o.Issuer)
	if err != nil {
		return nil, fmt.Errorf("signon: issuer: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Client{
		o: o, origin: redirect.Scheme + "://" + redirect.Host, host: issuer.Host, log: o.Logger,
		http: httpclient.ForLibrary(httpclient.Options{RootCAs: o.RootCAs, Timeout: Timeout, MaxConns: maxConns, MaxAnswer: maxAnswer}),
	}
	c.found.turn = make(chan struct{}, 1)
	return c, nil
}

// Close closes connections that are idle.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Host is the provider's host, for people to see.
func (c *Client) Host() string { return c.host }

// Origin is the scheme and host at which browsers come back.
func (c *Client) Origin() string { return c.origin }

// Realm tells apart what people of different providers, clients and claims are.
func (c *Client) Realm() string {
	return strings.Join([]string{c.o.Issuer, c.o.ClientID, c.o.RoleClaim}, " ")
}

// RoleClaim is Options.RoleClaim.
func (c *Client) RoleClaim() string { return c.o.RoleClaim }

// An Attempt is a login that was begun. Its browser alone may know it.
type Attempt struct {
	// State comes back with the browser (RFC 6749 §10.12), Nonce in the ID token
	// (OpenID Connect Core §15.5.2). Verifier proves that the code is ours (RFC 7636).
	State, Nonce, Verifier string
}

// StateIs reports whether the browser came back with the attempt's state.
func (a Attempt) StateIs(state string) bool {
	return a.State != "" && subtle.ConstantTimeCompare([]byte(a.State), []byte(state)) == 1
}

// Begin begins a login: the browser is to go to the URL. The error is ErrUnavailable.
func (c *Client) Begin(ctx context.Context) (Attempt, string, error) {
	p, err := c.provider(ctx)
	if err != nil {
		return Attempt{}, "", err
	}
	a := Attempt{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier()}
	return a, p.oauth2.AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), nil
}

// IssuerIs reports whether an answer with a parameter iss comes from the provider; one
// without has none (RFC 9207 §2.4).
func (c *Client) IssuerIs(iss string) bool { return iss == "" || iss == c.o.Issuer }

// Finish takes the code that came with the state of the attempt. The error is
// ErrUnavailable or ErrRefused.
func (c *Client) Finish(ctx context.Context, a Attempt, code string) (Person, error) {
	p, err := c.provider(ctx)
	if err != nil {
		return Person{}, err
	}
	ctx = oidc.ClientContext(ctx, c.http)
	token, err := p.oauth2.Exchange(ctx, code, oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return Person{}, notExchanged(err, code)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return Person{}, fmt.Errorf("%w: the provider sent no ID token", ErrRefused)
	}
	id, err := p.verifier.Verify(ctx, raw)
	if err != nil {
		return Person{}, notVerified(err, raw)
	}
	// OpenID Connect Core §3.1.3.7, 11: the token is of this login, not of another.
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(a.Nonce)) != 1 {
		return Person{}, fmt.Errorf("%w: the ID token has another nonce", ErrRefused)
	}
	var said claims
	if err := id.Claims(&said); err != nil {
		return Person{}, fmt.Errorf("%w: claims of the ID token: %w", ErrRefused, err)
	}
	// §3.1.3.7, 5: it was issued to this client, whoever else is in its audience.
	if azp, ok := said["azp"]; ok && azp != c.o.ClientID {
		return Person{}, fmt.Errorf("%w: the ID token was issued to another client", ErrRefused)
	}
	if id.Subject == "" {
		return Person{}, fmt.Errorf("%w: the ID token names nobody", ErrRefused)
	}
	c.askMore(ctx, p, token, id.Subject, said)
	return person(id.Subject, said, c.o.NameClaim, c.o.RoleClaim), nil
}

// askMore asks the provider's UserInfo endpoint (§5.3) if the ID token does not hold
// the claim that decides. Without an answer the person is nobody special.
func (c *Client) askMore(ctx context.Context, p *provider, token *oauth2.Token, subject string, said claims) {
	if _, ok := said.find(c.o.RoleClaim); ok || p.UserInfoEndpoint() == "" {
		return
	}
	more := claims{}
	info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err == nil {
		err = info.Claims(&more)
	}
	switch {
	case err != nil:
		c.log.Warn("userinfo of OpenID provider", "issuer", c.o.Issuer, "err", plain(err, token.AccessToken))
	// §5.3.2: otherwise it is about somebody else.
	case more["sub"] == subject:
		for name, value := range more {
			if _, ok := said[name]; !ok {
				said[name] = value
			}
		}
	}
}

// notExchanged says why there is no token, without what was sent and answered.
func notExchanged(err error, code string) error {
	e, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return fmt.Errorf("%w: exchange the code: %s", ErrUnavailable, plain(err, code))
	}
	said := plain(errors.New(e.ErrorCode), code)
	switch {
	case said == "" || e.Response.StatusCode >= http.StatusInternalServerError:
		return fmt.Errorf("%w: exchange the code: it answers %d", ErrUnavailable, e.Response.StatusCode)
	case said == "invalid_client" || said == "unauthorized_client":
		// RFC 6749 §5.2: those are the server's own credentials.
		return fmt.Errorf("%w: it refuses client_id or client_secret (%s)", ErrUnavailable, said)
	}
	return fmt.Errorf("%w: the provider refuses the code (%s)", ErrRefused, said)
}

// notVerified says what is wrong with an ID token, without the token.
func notVerified(err error, raw string) error {
	if e, ok := errors.AsType[*oidc.TokenExpiredError](err); ok {
		return fmt.Errorf("%w: the ID token expired at %s", ErrRefused, e.Expiry.UTC().Format(time.RFC3339))
	}
	// The library has no other sign that it has no keys to verify anything with.
	if strings.Contains(err.Error(), "fetching keys") {
		return fmt.Errorf("%w: its keys: %s", ErrUnavailable, plain(err, raw))
	}
	return fmt.Errorf("%w: %s", ErrRefused, plain(err, raw))
}

// maxReason bounds what libraries say, which may quote what the provider sent.
const maxReason = 300

// plain is an error in one short line, without a secret that the provider may have
// repeated in its answer.
func plain(err error, secret string) string {
	text := err.Error()
	if secret != "" {
		text = strings.ReplaceAll(text, secret, "…")
	}
	return printable(text, maxReason)
}
