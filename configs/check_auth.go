package configs

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

func (l *loader) checkAuth(cfg *Config) {
	a := &cfg.Auth
	if strings.ContainsAny(a.Realm, "\"\\\r\n:") {
		l.errorAt("auth.realm", `contains ", \, : or a line end`, "")
	}
	l.checkAlgorithms(a)
	l.checkUsers(a)
	for i, t := range a.Trusted {
		l.checkPrefix(fmt.Sprintf("auth.trusted[%d].cidr", i), t.CIDR)
	}
	for _, m := range []struct {
		name string
		mode AuthMode
	}{{"registrar", a.Mode.Registrar}, {"proxy", a.Mode.Proxy}} {
		if m.mode == Required && len(a.Users) == 0 && a.UsersFile == "" {
			l.errorAt("auth.mode."+m.name, "is required, but there are no users", "set auth.users_file or auth.users")
		}
	}
}

func (l *loader) checkAlgorithms(a *Auth) {
	if len(a.Algorithms) == 0 {
		l.errorAt("auth.algorithms", "names no algorithm", "remove the key to offer SHA-256 and MD5")
	}
	for i, alg := range a.Algorithms {
		if alg != "" && slices.Contains(a.Algorithms[:i], alg) {
			l.errorAt(fmt.Sprintf("auth.algorithms[%d]", i), fmt.Sprintf("%s comes twice", alg), "")
		}
	}
}

func (l *loader) checkUsers(a *Auth) {
	seen := map[string]int{}
	for i := range a.Users {
		u := &a.Users[i]
		at := fmt.Sprintf("auth.users[%d]", i)
		first, twice := seen[u.Name]
		switch {
		case u.Name == "":
			l.required(at+".name", "")
		case strings.ContainsAny(u.Name, "\":\\\r\n"):
			l.errorAt(at+".name", `contains ", \, : or a line end`, "")
		case twice:
			l.errorAt(at+".name", fmt.Sprintf("%q is also the name of auth.users[%d]", u.Name, first), "")
		default:
			seen[u.Name] = i
		}
		l.checkCredential(a, u, at)
	}
}

// checkCredential wants exactly one proof for a user, and one that fits an
// algorithm that is offered.
func (l *loader) checkCredential(a *Auth, u *User, at string) {
	var given []string
	for _, key := range []string{"password", "password_file", "ha1_md5", "ha1_sha256"} {
		if l.nodes[at+"."+key] != nil {
			given = append(given, key)
		}
	}
	switch {
	case len(given) == 0:
		l.errorAt(at, "has no credential", "set password, password_file, ha1_md5 or ha1_sha256")
		return
	case len(given) > 1:
		l.errorAt(at, strings.Join(given, " and ")+" exclude each other", "keep one")
		return
	}
	l.inline(at+".password_file", u.PasswordFile, &u.Password)
	l.checkHA1(a, at+".ha1_md5", u.HA1MD5, 16, MD5)
	l.checkHA1(a, at+".ha1_sha256", u.HA1SHA256, 32, SHA256)
	if key := given[0]; key == "password" && u.Password == "" && !l.complained(at+"."+key) {
		l.errorAt(at+"."+key, "is empty", "an empty password would let anyone in")
	}
}

// checkHA1 checks a hashed password of so many bytes.
func (l *loader) checkHA1(a *Auth, path string, ha1 Secret, size int, alg Algorithm) {
	if l.nodes[path] == nil || l.complained(path) {
		return
	}
	if b, err := hex.DecodeString(ha1.Reveal()); err != nil || len(b) != size {
		l.errorAt(path, fmt.Sprintf("is not %d hexadecimal digits", 2*size), "write the digest of name:realm:password")
	}
	if !slices.Contains(a.Algorithms, alg) {
		l.errorAt(path, fmt.Sprintf("can never be used: auth.algorithms does not offer %s", alg), "")
	}
}

// complained reports whether there is a problem with a path already, so that
// one mistake leads to one message.
func (l *loader) complained(path string) bool {
	return slices.ContainsFunc(l.problems, func(p Problem) bool { return p.Path == path && !p.Warning })
}
