package signon

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Times of what the provider said about itself.
const (
	// Fresh is how long that is believed without asking again.
	Fresh = time.Hour
	// Pause is how long nobody asks again after there was no answer: strangers can
	// begin logins, too.
	Pause = 5 * time.Second
)

// A provider is what one said about itself (OpenID Connect Discovery §4).
type provider struct {
	*oidc.Provider
	oauth2   oauth2.Config
	verifier *oidc.IDTokenVerifier
}

// discovery is what is known of the provider.
type discovery struct {
	// turn is held by who looks at the fields below, and while the provider is asked:
	// others wait for the answer.
	turn  chan struct{}
	known *provider // nil: it was not found yet
	asked time.Time // last, with or without success
	err   error     // of the last time
}

// provider returns the provider, which is asked if that is due. Once it was found it
// stays known while it does not answer. The error is ErrUnavailable.
func (c *Client) provider(ctx context.Context) (*provider, error) {
	d := &c.found
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	wait := Fresh
	if d.err != nil {
		wait = Pause
	}
	if d.asked.IsZero() || time.Since(d.asked) >= wait {
		// Whoever goes away does not spoil it for those who wait.
		p, err := c.discover(context.WithoutCancel(ctx))
		d.asked, d.err = time.Now(), err
		if err != nil {
			c.log.Warn("OpenID provider not found", "issuer", c.o.Issuer, "err", plain(err, ""), "known", d.known != nil)
		} else {
			d.known = p
		}
	}
	if d.known == nil {
		return nil, fmt.Errorf("%w: %s", ErrUnavailable, plain(d.err, ""))
	}
	return d.known, nil
}

// discover asks the provider where its endpoints are.
func (c *Client) discover(ctx context.Context) (*provider, error) {
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, c.http), c.o.Issuer)
	if err != nil {
		return nil, err
	}
	var more struct {
		Keys    string   `json:"jwks_uri"`
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := found.Claims(&more); err != nil {
		return nil, err
	}
	end := found.Endpoint()
	// Who reads or changes what goes to and fro there can log in as anybody.
	for name, at := range map[string]string{
		"authorization_endpoint": end.AuthURL, "token_endpoint": end.TokenURL, "jwks_uri": more.Keys, "userinfo_endpoint": found.UserInfoEndpoint(),
	} {
		if name == "userinfo_endpoint" && at == "" {
			continue
		}
		if !secure(at) {
			return nil, fmt.Errorf("%s is no https URL", name)
		}
	}
	end.AuthStyle = oauth2.AuthStyleInHeader
	// Discovery §3: client_secret_basic is what holds if nothing is said. A library that
	// tries both ways would use up the code by the first.
	if c.o.ClientSecret == "" || len(more.Methods) > 0 && !slices.Contains(more.Methods, "client_secret_basic") {
		end.AuthStyle = oauth2.AuthStyleInParams
	}
	return &provider{
		Provider: found, verifier: found.Verifier(&oidc.Config{ClientID: c.o.ClientID}),
		oauth2: oauth2.Config{
			ClientID: c.o.ClientID, ClientSecret: c.o.ClientSecret, Endpoint: end, RedirectURL: c.o.RedirectURL,
			Scopes: append([]string{oidc.ScopeOpenID}, slices.DeleteFunc(slices.Clone(c.o.Scopes), func(s string) bool { return s == oidc.ScopeOpenID })...),
		},
	}, nil
}

// secure reports whether nobody can listen on the way to a URL.
func secure(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && addr.IsLoopback())
}
