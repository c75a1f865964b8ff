package transport

import (
	"fmt"
	"net/url"
	"strings"
)

// An origin is a pattern for the pages that may connect (RFC 6454): a scheme and
// a host, with a port unless it is the scheme's own. A host that begins with
// "*." means all names below it.
type origin struct {
	before string // the whole origin or, with a wildcard, what stands before it
	after  string // what stands behind the wildcard, from the dot on; empty without one
}

// parseOrigin reads a pattern: "https://phone.example.com",
// "https://*.example.com:8443", or "null" for pages without an origin, such as
// local files.
func parseOrigin(s string) (origin, error) {
	if s == "null" {
		return origin{before: s}, nil
	}
	u, err := url.Parse(strings.ToLower(s))
	if err != nil || u.Scheme == "" || u.Host == "" || s != u.Scheme+"://"+u.Host && !strings.EqualFold(s, u.Scheme+"://"+u.Host) {
		return origin{}, fmt.Errorf("origin %q: want scheme://host or scheme://host:port", s)
	}
	host, port := u.Hostname(), u.Port()
	if port == "443" && u.Scheme == "https" || port == "80" && u.Scheme == "http" {
		u.Host = strings.TrimSuffix(u.Host, ":"+port) // Browsers leave it out.
	}
	name, wild := strings.CutPrefix(host, "*.")
	addr, name := parseHost(name)
	if !addr.IsValid() && !validName(name) || addr.IsValid() && wild {
		return origin{}, fmt.Errorf("origin %q: host is neither a name nor an IP address", s)
	}
	o := origin{before: u.Scheme + "://" + u.Host}
	if wild {
		o.before, o.after, _ = strings.Cut(o.before, "*")
	}
	return o, nil
}

// matches reports whether the Origin header field s is of o. Browsers write
// scheme and host in lower case; others may not.
func (o origin) matches(s string) bool {
	s = strings.ToLower(s)
	if o.after == "" {
		return s == o.before
	}
	rest, ok := strings.CutPrefix(s, o.before)
	if !ok {
		return false
	}
	name, ok := strings.CutSuffix(rest, o.after)
	return ok && validName(name)
}
