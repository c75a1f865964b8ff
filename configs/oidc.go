package configs

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// HTTPOIDC has people log in to the console at an OpenID provider.
type HTTPOIDC struct {
	// Issuer is the provider's URL; empty: there is none.
	Issuer string `yaml:"issuer"`
	// ClientID and ClientSecret are what the provider knows the console by;
	// ClientSecretFile holds the secret instead.
	ClientID         string     `yaml:"client_id"`
	ClientSecret     Secret     `yaml:"client_secret"`
	ClientSecretFile SecretFile `yaml:"client_secret_file"`
	// RedirectURL is where the provider sends people back to.
	RedirectURL string `yaml:"redirect_url"`
	// CAFile are the only authorities that are believed about the provider.
	CAFile CertFile `yaml:"ca_file"`
	// Scopes are asked for beside openid.
	Scopes []string `yaml:"scopes"`
	// NameClaim holds the name of a person, RoleClaim what Roles are looked up by.
	NameClaim string        `yaml:"name_claim"`
	RoleClaim string        `yaml:"role_claim"`
	Roles     HTTPOIDCRoles `yaml:"roles"`
	// Session ends a session at the latest.
	Session time.Duration `yaml:"session" range:"5m..12h"`
}

// HTTPOIDCRoles are the values of a claim that give a role.
type HTTPOIDCRoles struct {
	Read    []string `yaml:"read"`
	Operate []string `yaml:"operate"`
	Admin   []string `yaml:"admin"`
}

// By returns the values by role, from the least to the most that one may do.
func (r HTTPOIDCRoles) By() []struct {
	Role   Role
	Values []string
} {
	return []struct {
		Role   Role
		Values []string
	}{{ReadRole, r.Read}, {OperateRole, r.Operate}, {AdminRole, r.Admin}}
}

// signOnPath is where the console takes people back.
const signOnPath = "/console/login/callback"

func (l *loader) checkOIDC(cfg *Config) {
	o := &cfg.HTTP.OIDC
	l.checkSecretPair("http.oidc.client_secret", o.ClientSecretFile, &o.ClientSecret)
	if o.Issuer == "" {
		for _, key := range []string{"client_id", "client_secret", "client_secret_file", "redirect_url", "ca_file", "roles"} {
			if at := "http.oidc." + key; l.nodes[at] != nil && !l.complained(at) && o.says(key) {
				l.errorAt(at, "has no effect without http.oidc.issuer", "name the provider")
			}
		}
		return
	}
	// OpenID Connect Discovery §2: an issuer has no query and no fragment.
	if u, err := url.Parse(o.Issuer); err != nil || !secureURL(o.Issuer, true) || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		l.errorAt("http.oidc.issuer", "is no https URL of an issuer", "write it as the provider's /.well-known/openid-configuration does")
	}
	if o.ClientID == "" {
		l.required("http.oidc.client_id", "write what the provider calls this client")
	}
	if u, err := url.Parse(o.RedirectURL); err != nil || !secureURL(o.RedirectURL, true) || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != signOnPath {
		what := "is no https URL that ends in " + signOnPath
		if o.RedirectURL == "" {
			what = "is missing"
		}
		l.errorAt("http.oidc.redirect_url", what, "write https://HOST"+signOnPath+" with the name that people open the console by, and tell the provider the same")
	}
	for i, s := range o.Scopes {
		if s == "" || strings.ContainsAny(s, " \"\\\t\r\n") {
			l.errorAt(fmt.Sprintf("http.oidc.scopes[%d]", i), fmt.Sprintf("%q is no scope", s), "give each an entry of its own")
		}
	}
	twice(l, "http.oidc.scopes", o.Scopes)
	if o.NameClaim == "" {
		l.errorAt("http.oidc.name_claim", "is empty", "write preferred_username")
	}
	if o.RoleClaim == "" {
		l.errorAt("http.oidc.role_claim", "is empty", "write groups")
	}
	l.checkOIDCRoles(o)
	if cfg.HTTP.Addr == "" || !cfg.HTTP.Console {
		l.warnAt("http.oidc.issuer", "opens nothing: there is no console", "set http.addr and http.console")
	}
}

// checkOIDCRoles looks for values that give no role, or two.
func (l *loader) checkOIDCRoles(o *HTTPOIDC) {
	seen := map[string]string{}
	for _, r := range o.Roles.By() {
		for i, v := range r.Values {
			at := fmt.Sprintf("http.oidc.roles.%s[%d]", r.Role, i)
			switch other, twice := seen[v]; {
			case v == "":
				l.errorAt(at, "is empty", "write a value of the claim that role_claim names")
			case twice:
				l.errorAt(at, fmt.Sprintf("%q is also %s", v, other), "keep one: each role includes those before it")
			default:
				seen[v] = at
			}
		}
	}
	if len(seen) == 0 {
		l.errorAt("http.oidc.roles", "let in nobody", "write values of the claim that role_claim names under read, operate or admin")
	}
}

// says reports whether a key says anything.
func (o *HTTPOIDC) says(key string) bool {
	switch key {
	case "client_id":
		return o.ClientID != ""
	case "client_secret":
		return o.ClientSecret != "" && o.ClientSecretFile == ""
	case "client_secret_file":
		return o.ClientSecretFile != ""
	case "redirect_url":
		return o.RedirectURL != ""
	case "ca_file":
		return o.CAFile != ""
	default:
		return len(o.Roles.Read)+len(o.Roles.Operate)+len(o.Roles.Admin) > 0
	}
}

func defaultOIDC() HTTPOIDC {
	return HTTPOIDC{Scopes: []string{"profile"}, NameClaim: "preferred_username", RoleClaim: "groups", Session: 8 * time.Hour}
}
