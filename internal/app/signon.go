package app

import (
	"fmt"

	"reveille/configs"
	"reveille/internal/admin"
	"reveille/internal/console"
	"reveille/internal/signon"
)

// buildSignOn makes what logs people in to the console at an OpenID provider; nil:
// there is none. It asks nobody.
func (a *App) buildSignOn(cfg *configs.Config) (*console.SignOn, error) {
	o := &cfg.HTTP.OIDC
	if o.Issuer == "" {
		return nil, nil //nolint:nilnil // There is no provider: that is no error.
	}
	ca, err := readOptional(string(o.CAFile))
	if err != nil {
		return nil, fmt.Errorf("http.oidc.ca_file: %w", err)
	}
	roots, err := rootCAs(ca)
	if err != nil {
		return nil, fmt.Errorf("http.oidc.ca_file: %w", err)
	}
	client, err := signon.New(signon.Options{
		Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: o.ClientSecret.Reveal(), RedirectURL: o.RedirectURL, Scopes: o.Scopes,
		NameClaim: o.NameClaim, RoleClaim: o.RoleClaim, RootCAs: roots, Logger: a.component("console"),
	})
	if err != nil {
		return nil, fmt.Errorf("http.oidc: %w", err)
	}
	s := &console.SignOn{Client: client, Roles: map[string]admin.Role{}, Longest: o.Session}
	for _, r := range o.Roles.By() {
		for _, v := range r.Values {
			s.Roles[v] = adminRole(r.Role)
		}
	}
	return s, nil
}

// useSignOn has people log in by s from now on.
func (a *App) useSignOn(s *console.SignOn) {
	if old := a.signOn.Swap(s); old != nil {
		old.Client.Close()
	}
}
