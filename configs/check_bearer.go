package configs

import (
	"net/netip"
	"net/url"
	"strings"
)

// checkBearer looks at where tokens come from.
func (l *loader) checkBearer(b *Bearer) {
	if b.Issuer == "" {
		for _, key := range []struct{ name, value string }{
			{"audience", b.Audience}, {"jwks_url", b.JWKSURL}, {"authz_server", b.AuthzServer}, {"scope", b.Scope},
		} {
			if key.value != "" {
				l.errorAt("auth.bearer."+key.name, "has no effect without auth.bearer.issuer", "name the issuer of the tokens")
			}
		}
		return
	}
	if b.Audience == "" {
		l.errorAt("auth.bearer.audience", "is missing", "tokens that were issued for others must not open this server")
	}
	if b.JWKSURL == "" {
		l.errorAt("auth.bearer.jwks_url", "is missing", "write https://as.example.com/jwks")
	} else if !secureURL(b.JWKSURL, true) {
		l.errorAt("auth.bearer.jwks_url", "is no https URL", "others could put their keys in place of the issuer's on the way")
	}
	if b.AuthzServer == "" {
		l.errorAt("auth.bearer.authz_server", "is missing", "write https://as.example.com")
	} else if !secureURL(b.AuthzServer, false) {
		l.errorAt("auth.bearer.authz_server", "is no https URL", "RFC 8898 has phones go to no other")
	}
	if strings.ContainsAny(b.Scope, "\"\\\r\n") {
		l.errorAt("auth.bearer.scope", `contains ", \ or a line end`, "")
	}
	if len(b.Algorithms) == 0 {
		l.errorAt("auth.bearer.algorithms", "names no algorithm", "remove the key to accept RS256, ES256 and EdDSA")
	}
	twice(l, "auth.bearer.algorithms", b.Algorithms)
	if b.UserClaim == "" {
		l.errorAt("auth.bearer.user_claim", "is empty", "write sub")
	}
	if b.Plaintext {
		l.warnAt("auth.bearer.plaintext", "takes tokens that others can read on the way and use until they expire", "")
	}
}

// secureURL reports whether s is an https URL, or, if local allows it, one of this
// machine.
func secureURL(s string, local bool) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || strings.ContainsAny(s, "\"\\") {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	here := u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
	return u.Scheme == "https" || local && here && u.Scheme == "http"
}
