package configs

import (
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

func (l *loader) checkAuth(cfg *Config) {
	a := &cfg.Auth
	l.checkRealms(cfg)
	l.checkOffered(cfg)
	l.checkUsers(cfg)
	l.checkExternal(a)
	l.checkBearer(&a.Bearer)
	l.checkTrusted(a)
	l.checkAnybody(cfg)
}

// noText are the bytes that neither a realm nor a user name may hold.
const noText = "\":\\\r\n"

func (l *loader) checkRealms(cfg *Config) {
	a := &cfg.Auth
	const what = `contains ", \, : or a line end`
	if strings.ContainsAny(a.Realm, noText) {
		l.errorAt("auth.realm", what, "")
	}
	seen := map[string]bool{}
	for i := range a.Realms {
		r, at := &a.Realms[i], fmt.Sprintf("auth.realms[%d]", i)
		switch r.Domain = strings.ToLower(r.Domain); {
		case !slices.Contains(cfg.Domains, r.Domain):
			l.errorAt(at+".domain", fmt.Sprintf("%q is none of domains", r.Domain), suggest(r.Domain, cfg.Domains))
		case seen[r.Domain]:
			l.errorAt(at+".domain", fmt.Sprintf("%s has a realm already", r.Domain), "")
		}
		seen[r.Domain] = true
		if r.Realm == "" {
			l.required(at+".realm", "write "+r.Domain)
		}
		if strings.ContainsAny(r.Realm, noText) {
			l.errorAt(at+".realm", what, "")
		}
	}
}

// checkAnybody wants somebody who can authenticate where everybody must.
func (l *loader) checkAnybody(cfg *Config) {
	a := &cfg.Auth
	if !(len(a.Users) == 0 && a.UsersFile == "" && a.Bearer.Issuer == "" && !a.External()) {
		return
	}
	const what, hint = "is required, but there are no users", "set auth.users_file or auth.users"
	if a.Mode.Registrar == Required {
		l.errorAt("auth.mode.registrar", what, hint)
	}
	if a.Mode.Proxy == Required {
		l.errorAt("auth.mode.proxy", what, hint)
	}
	for i := range cfg.Listen {
		if cfg.Listen[i].Auth == ListenerRequired {
			l.errorAt(fmt.Sprintf("listen[%d].auth", i), what, hint)
		}
	}
}

// checkOffered looks at what challenges offer to whom.
func (l *loader) checkOffered(cfg *Config) {
	a := &cfg.Auth
	if len(a.Algorithms) == 0 {
		l.errorAt("auth.algorithms", "names no algorithm", "remove the key to offer SHA-256 and MD5")
	}
	twice(l, "auth.algorithms", a.Algorithms)
	if i := slices.Index(a.Algorithms, MD5); i >= 0 && i < len(a.Algorithms)-1 {
		l.warnAt(fmt.Sprintf("auth.algorithms[%d]", i), "MD5 is not the last: phones that take the first challenge they know log in with the weakest",
			"put it last, or write an offer for the phones that need it in front")
	}
	for i, o := range a.Offers {
		at := fmt.Sprintf("auth.offers[%d]", i)
		if o.Listener == "" && o.UserAgent == "" {
			l.errorAt(at, "matches every phone", "set user_agent or listener, or change auth.algorithms")
		}
		l.checkListener(cfg, at+".listener", o.Listener)
		if _, err := regexp.Compile(o.UserAgent); err != nil {
			l.errorAt(at+".user_agent", fmt.Sprintf("is no regular expression: %v", err), "see https://github.com/google/re2/wiki/Syntax")
		}
		if len(o.Algorithms) == 0 {
			l.required(at+".algorithms", "write [MD5] for phones that know nothing else")
		}
		twice(l, at+".algorithms", o.Algorithms)
	}
	if len(a.QOP) == 0 {
		l.errorAt("auth.qop", "names none", "remove the key to offer auth")
	}
	twice(l, "auth.qop", a.QOP)
}

// twice reports what stands in a list more than once.
func twice[T ~string](l *loader, path string, list []T) {
	for i, v := range list {
		if v != "" && slices.Contains(list[:i], v) {
			l.errorAt(fmt.Sprintf("%s[%d]", path, i), fmt.Sprintf("%s comes twice", v), "")
		}
	}
}

// checkListener looks whether a listener that may be named exists.
func (l *loader) checkListener(cfg *Config, path, name string) {
	var listeners []string
	for _, ln := range cfg.Listen {
		listeners = append(listeners, ln.Name)
	}
	if name != "" && !slices.Contains(listeners, name) {
		l.errorAt(path, fmt.Sprintf("no listener is called %q", name), suggest(name, listeners))
	}
}

// checkTrusted looks at who is believed without credentials.
func (l *loader) checkTrusted(a *Auth) {
	twice(l, "auth.identify_by", a.IdentifyBy)
	if !slices.Contains(a.IdentifyBy, ByUsername) {
		l.errorAt("auth.identify_by", "is without auth_username, so that nobody could log in", "")
	}
	for i, t := range a.Trusted {
		at := fmt.Sprintf("auth.trusted[%d]", i)
		switch {
		case t.Certificate == "" && t.Route == "":
			l.checkPrefix(at+".cidr", t.CIDR)
		case t.CIDR.IsValid() || t.Certificate != "" && t.Route != "":
			l.errorAt(at, "cidr, certificate and route exclude each other", "write entries of their own: each is enough")
		}
	}
}

func (l *loader) checkUsers(cfg *Config) {
	a := &cfg.Auth
	seen := map[[2]string]int{}
	var realms []string
	if len(cfg.Domains) > 0 {
		realms = slices.Sorted(maps.Values(cfg.Realms()))
	}
	for i := range a.Users {
		u := &a.Users[i]
		at := fmt.Sprintf("auth.users[%d]", i)
		if u.Realm != "" && !slices.Contains(realms, u.Realm) {
			l.errorAt(at+".realm", fmt.Sprintf("%q is the realm of no domain", u.Realm), suggest(u.Realm, realms))
		}
		key := [2]string{u.Realm, u.Name}
		first, twice := seen[key]
		switch {
		case u.Name == "":
			l.required(at+".name", "")
		case strings.ContainsAny(u.Name, noText):
			l.errorAt(at+".name", `contains ", \, : or a line end`, "")
		case twice:
			l.errorAt(at+".name", fmt.Sprintf("%q is also the name of auth.users[%d]", u.Name, first), "")
		default:
			seen[key] = i
		}
		l.checkCredential(a, u, at)
		for j, p := range u.Networks {
			network := fmt.Sprintf("%s.networks[%d]", at, j)
			if l.checkPrefix(network, p) && p.Bits() == 0 {
				l.warnAt(network, "is every address: anybody may register and call as this user", "")
			}
		}
		for j, aor := range u.AORs {
			l.checkAOR(cfg.Domains, fmt.Sprintf("%s.aors[%d]", at, j), aor)
		}
	}
}

// checkAOR wants an address of record in a domain of ours: nobody could register
// another one.
func (l *loader) checkAOR(domains []string, path, aor string) {
	m := aorSyntax.FindStringSubmatch(aor)
	if m == nil {
		l.errorAt(path, fmt.Sprintf("%q is no address of record", aor), "write sip:sales@example.com")
		return
	}
	if domain := strings.ToLower(m[1]); !slices.Contains(domains, domain) {
		l.errorAt(path, fmt.Sprintf("%s is none of domains", domain), suggest(domain, domains))
	}
}

var aorSyntax = regexp.MustCompile(`^(?:sips?:)?[^@\s<>"]+@([^@:;?\s<>"]+|\[[0-9a-fA-F:.]+\])$`)

// checkCredential wants a password or hashes for a user, of algorithms that are
// offered.
func (l *loader) checkCredential(a *Auth, u *User, at string) {
	var given []string
	for _, key := range []string{"password", "password_file", "ha1_md5", "ha1_sha256", "ha1_sha512_256"} {
		if l.nodes[at+"."+key] != nil {
			given = append(given, key)
		}
	}
	switch {
	case len(given) == 0 && len(u.Networks) == 0:
		l.errorAt(at, "has no credential", "set password, password_file, ha1_md5, ha1_sha256 or ha1_sha512_256")
		return
	case len(given) == 0:
		return
	case len(given) > 1 && strings.HasPrefix(given[0], "password"):
		l.errorAt(at, strings.Join(given, " and ")+" exclude each other", "keep one, or hashes alone")
		return
	}
	l.inline(at+".password_file", u.PasswordFile, &u.Password)
	l.checkHA1(a, at+".ha1_md5", u.HA1MD5, 16, MD5)
	l.checkHA1(a, at+".ha1_sha256", u.HA1SHA256, 32, SHA256)
	l.checkHA1(a, at+".ha1_sha512_256", u.HA1SHA512256, 32, SHA512256)
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
	offered := slices.Contains(a.Algorithms, alg) ||
		slices.ContainsFunc(a.Offers, func(o Offer) bool { return slices.Contains(o.Algorithms, alg) })
	if !offered {
		l.errorAt(path, fmt.Sprintf("can never be used: auth.algorithms does not offer %s", alg), "")
	}
}

// complained reports whether there is a problem with a path already, so that
// one mistake leads to one message.
func (l *loader) complained(path string) bool {
	return slices.ContainsFunc(l.problems, func(p Problem) bool { return p.Path == path && !p.Warning })
}
