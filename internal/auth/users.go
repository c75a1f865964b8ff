package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"

	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// A Source knows the users. Implementations are safe for concurrent use.
type Source interface {
	// Lookup returns the credentials of a user, or ErrNoUser. Any other error
	// means that the source cannot say now. The name is compared byte by byte.
	Lookup(ctx context.Context, realm, user string) (Credentials, error)
	// Algorithms returns those with which every user of realm can be verified;
	// only these are offered, since a client may choose any that is.
	Algorithms(realm string) []Algorithm
}

// ErrNoUser means that the source knows no such user.
var ErrNoUser = errors.New("auth: no such user")

// Credentials are what a Source knows about a user. They must not be changed.
type Credentials struct {
	// MD5 and SHA256 are the user's HA1 in lower-case hexadecimal, empty if not
	// known. They are as secret as the password.
	MD5, SHA256 string
	// AORs are the addresses of record that the user may register besides the
	// own name in the realm's domains.
	AORs []usrloc.AOR
}

// LogValue keeps the hashes out of logs.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// String keeps the hashes out of whatever prints credentials.
func (c Credentials) String() string { return fmt.Sprintf("<redacted, %d AORs>", len(c.AORs)) }

// GoString keeps the hashes out of %#v.
func (c Credentials) GoString() string { return c.String() }

func (c *Credentials) ha1(a Algorithm) string {
	if a == SHA256 {
		return c.SHA256
	}
	return c.MD5
}

// An Account is a user as configured. Either Password or at least one of the
// hashes is set.
type Account struct {
	// Name is the user name of the digest and the user part of the user's own
	// AOR, unescaped.
	Name string
	// Realm is where the user logs in; empty means that of NewUsers.
	Realm string
	// Password may be empty if a hash is set.
	Password string
	// HA1MD5 and HA1SHA256 are H(name:realm:password) in hexadecimal.
	HA1MD5, HA1SHA256 string
	// AORs are further addresses of record that the user may register.
	AORs []string
	// Origin is where the account was configured, "file:line:column" or "".
	Origin string
}

// Users is a Source in memory. It is immutable.
type Users struct {
	byName     map[userKey]Credentials
	algorithms map[string][]Algorithm // by realm, the strongest first
}

type userKey struct{ realm, name string }

// beside returns the key with a name that lies in memory beside the hashes of c:
// whoever looks one up reads the others, and of a million users most lie in no
// cache.
func (k userKey) beside(c *Credentials) userKey {
	all := k.name + c.SHA256 + c.MD5
	name, hashes := all[:len(k.name)], all[len(k.name):]
	c.SHA256, c.MD5 = hashes[:len(c.SHA256)], hashes[len(c.SHA256):]
	return userKey{k.realm, name}
}

var _ Source = (*Users)(nil)

// NewUsers returns a Source with these accounts. Its error joins all problems.
func NewUsers(realm string, accounts []Account) (*Users, error) {
	u := &Users{
		byName:     make(map[userKey]Credentials, len(accounts)),
		algorithms: make(map[string][]Algorithm),
	}
	origins := make(map[userKey]string, len(accounts))
	var problems []error
	for _, a := range accounts {
		if a.Realm == "" {
			a.Realm = realm
		}
		key := userKey{a.Realm, a.Name}
		if first, ok := origins[key]; ok {
			problems = append(problems, a.problem("user %q exists already%s", a.Name, at(first)))
			continue
		}
		origins[key] = a.Origin
		c, err := a.credentials()
		if err != nil {
			problems = append(problems, err)
			continue
		}
		key = key.beside(&c)
		u.byName[key] = c
		u.narrow(a.Realm, &c)
	}
	for r, algorithms := range u.algorithms {
		if len(algorithms) == 0 {
			problems = append(problems, fmt.Errorf("realm %q: no algorithm fits all users: give each a password, or all the same kind of hash", r))
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return u, nil
}

func at(origin string) string {
	if origin == "" {
		return ""
	}
	return " at " + origin
}

// problem returns an error that starts with where the account comes from.
func (a *Account) problem(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if a.Origin != "" {
		return fmt.Errorf("%s: %w", a.Origin, err)
	}
	return err
}

func (a *Account) credentials() (c Credentials, err error) {
	if a.Name == "" {
		return c, a.problem("user without a name")
	}
	// RFC 7616 §3.4.4: the colon would make the hashed string ambiguous.
	if slices.ContainsFunc([]byte(a.Name), func(b byte) bool { return b == ':' || b < ' ' || b == 0x7f }) {
		return c, a.problem("user %q: the name holds a colon or a control character", a.Name)
	}
	switch {
	case a.Password != "" && (a.HA1MD5 != "" || a.HA1SHA256 != ""):
		return c, a.problem("user %q: password and hash exclude each other", a.Name)
	case a.Password != "":
		c.MD5 = MD5.HA1(a.Name, a.Realm, a.Password)
		c.SHA256 = SHA256.HA1(a.Name, a.Realm, a.Password)
	case a.HA1MD5 == "" && a.HA1SHA256 == "":
		return c, a.problem("user %q: neither password nor hash", a.Name)
	default:
		var ok bool
		if c.MD5, ok = MD5.canonicalHex(a.HA1MD5); !ok {
			return c, a.problem("user %q: the MD5 hash is not %d hexadecimal digits", a.Name, MD5.hexLen())
		}
		if c.SHA256, ok = SHA256.canonicalHex(a.HA1SHA256); !ok {
			return c, a.problem("user %q: the SHA-256 hash is not %d hexadecimal digits", a.Name, SHA256.hexLen())
		}
	}
	for _, s := range a.AORs {
		aor, err := canonicalAOR(s)
		if err != nil {
			return c, a.problem("user %q: aor %q: %w", a.Name, s, err)
		}
		c.AORs = append(c.AORs, aor)
	}
	return c, nil
}

// canonicalAOR takes "sip:alice@example.com" and "alice@example.com".
func canonicalAOR(s string) (usrloc.AOR, error) {
	uri, err := sipmsg.ParseURI(s)
	if err != nil || uri.Scheme == "" {
		uri, err = sipmsg.ParseURI("sip:" + s)
	}
	if err != nil {
		return "", err
	}
	if !uri.IsSIP() {
		return "", errors.New("not a SIP URI")
	}
	aor, err := sipmsg.CanonicalAOR(uri)
	return usrloc.AOR(aor), err
}

// canonicalHex returns s, a digest or "", in lower case.
func (a Algorithm) canonicalHex(s string) (lower string, ok bool) {
	if s == "" {
		return "", true
	}
	b := []byte(s)
	for i, c := range b {
		switch {
		case '0' <= c && c <= '9' || 'a' <= c && c <= 'f':
		case 'A' <= c && c <= 'F':
			b[i] = c | 0x20
		default:
			return "", false
		}
	}
	return string(b), len(b) == a.hexLen()
}

// narrow drops the algorithms of realm with which c cannot be verified.
func (u *Users) narrow(realm string, c *Credentials) {
	algorithms, ok := u.algorithms[realm]
	if !ok {
		algorithms = []Algorithm{SHA256, MD5}
	}
	u.algorithms[realm] = slices.DeleteFunc(algorithms, func(a Algorithm) bool { return c.ha1(a) == "" })
}

// Lookup implements Source. It answers from memory.
func (u *Users) Lookup(_ context.Context, realm, user string) (Credentials, error) {
	c, ok := u.byName[userKey{realm, user}]
	if !ok {
		return Credentials{}, ErrNoUser
	}
	return c, nil
}

// Algorithms implements Source. In a realm without users it returns all.
func (u *Users) Algorithms(realm string) []Algorithm {
	if a, ok := u.algorithms[realm]; ok {
		return a
	}
	return []Algorithm{SHA256, MD5}
}

// Len returns the number of users.
func (u *Users) Len() int { return len(u.byName) }

// Swappable is a Source that can be exchanged for another while it is in use.
// Its zero value knows no user.
type Swappable struct {
	users atomic.Pointer[Users]
}

var _ Source = (*Swappable)(nil)

// Swap replaces the users. Requests that are being looked at keep the old ones.
func (s *Swappable) Swap(u *Users) { s.users.Store(u) }

// Lookup implements Source.
func (s *Swappable) Lookup(ctx context.Context, realm, user string) (Credentials, error) {
	if u := s.users.Load(); u != nil {
		return u.Lookup(ctx, realm, user)
	}
	return Credentials{}, ErrNoUser
}

// Algorithms implements Source.
func (s *Swappable) Algorithms(realm string) []Algorithm {
	if u := s.users.Load(); u != nil {
		return u.Algorithms(realm)
	}
	return []Algorithm{SHA256, MD5}
}
