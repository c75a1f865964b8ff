package auth

import (
	"errors"
	"slices"
	"strings"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// errNotOwner is the cause in the log of a 403.
var errNotOwner = errors.New("the user may not use this address of record")

// MayUse reports whether u may register aor, or call under its name: it is the
// own name in one of the domains of u's realm, or listed with the user.
func (a *Authenticator) MayUse(u User, aor usrloc.AOR) bool {
	if slices.ContainsFunc(u.AORs, func(own usrloc.AOR) bool { return a.sameUser(string(own), string(aor)) }) {
		return true
	}
	_, rest, ok := strings.Cut(string(aor), ":")
	if !ok {
		return false
	}
	at := strings.LastIndexByte(rest, '@')
	if at < 0 || !a.sameUser(sipmsg.Unescape(rest[:at]), u.Name) {
		return false
	}
	realm, ours := a.domain(rest[at+1:])
	if realm == "" {
		realm = a.o.Realm
	}
	return ours && realm == u.Realm
}

// sameUser compares names of users, or AORs. Where case does not count, that is so
// for the letters of ASCII: others are escaped in an AOR.
func (a *Authenticator) sameUser(x, y string) bool {
	if x == y || !a.o.FoldUser || len(x) != len(y) {
		return x == y
	}
	for i := range len(x) {
		if lower(x[i]) != lower(y[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// permits reports whether the sender that d decided about may use aor.
func (a *Authenticator) permits(d *Decision, aor usrloc.AOR) bool {
	return d.Outcome == Allowed && (d.Trusted || a.MayUse(d.User, aor))
}

// Authorize returns nil if the sender that d allowed may use aor, else a 403
// (RFC 3261 §10.3 step 4), and tells of the attempt. A trusted peer may use
// every AOR: it authenticates its users itself.
func (a *Authenticator) Authorize(d Decision, aor usrloc.AOR, method string, f flow.Flow) *sipmsg.StatusError {
	if a.permits(&d, aor) {
		return nil
	}
	a.emitFailure(method, d.User.Name, d.User.Realm, f, ReasonNotOwner)
	return &sipmsg.StatusError{Code: 403, Err: errNotOwner}
}
