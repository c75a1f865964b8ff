package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// An Account is a user as configured. Either Password or at least one of the
// hashes is set, or Networks alone.
type Account struct {
	// Name is the user name of the digest and the user part of the user's own
	// AOR, unescaped.
	Name string
	// Realm is where the user logs in; empty means that of NewUsers.
	Realm string
	// Password may be empty if a hash is set.
	Password string
	// HA1MD5, HA1SHA256 and HA1SHA512256 are H(name:realm:password) in
	// hexadecimal.
	HA1MD5, HA1SHA256, HA1SHA512256 string
	// AORs are further addresses of record that the user may register.
	AORs []string
	// MaxContacts bounds the contacts of the user's AORs, 0: as for others;
	// DisplayName is how the user is called in front of others.
	MaxContacts int
	DisplayName string
	// Networks are where the user needs no password.
	Networks []netip.Prefix
	// Origin is where the account was configured, "file:line:column" or "".
	Origin string
}

// Users is a Source in memory. It is immutable.
type Users struct {
	byName map[userKey]record
	// algorithms holds those of the realms in which somebody has no password,
	// kept those of all others, the strongest first.
	algorithms map[string][]Algorithm
	kept       []Algorithm
	listed     map[usrloc.AOR]struct{} // the further addresses of all users
	homes      map[userKey]peers       // the networks of those who have some
}

type userKey struct{ realm, name string }

// A record is what Users keeps of one user, who may be one of millions.
type record struct {
	// text is the name, behind it the hashes, the strongest first: whoever looks
	// one up reads the others, and of many users most lie in no cache.
	text string
	// has holds a bit for each algorithm whose hash is in text.
	has     uint8
	profile *Profile // nil: the zero Profile
}

// newRecord returns a record of c with the hashes of the kept algorithms, which
// are sorted.
func newRecord(name string, c *Credentials, kept []Algorithm) record {
	var r record
	text := []byte(name)
	for _, a := range kept {
		if ha1 := c.ha1(a); ha1 != "" {
			r.has |= 1 << a
			text = append(text, ha1...)
		}
	}
	r.text = string(text)
	if len(c.AORs) > 0 || c.MaxContacts != 0 || c.DisplayName != "" {
		profile := c.Profile
		r.profile = &profile
	}
	return r
}

// credentials is the way back; the name has so many bytes.
func (r *record) credentials(name int) (c Credentials) {
	hashes := r.text[name:]
	for a := SHA512256; a >= MD5; a-- {
		if r.has&(1<<a) != 0 {
			n := a.hexLen()
			c.set(a, hashes[:n])
			hashes = hashes[n:]
		}
	}
	if r.profile != nil {
		c.Profile = *r.profile
	}
	return c
}

var _ Recaller = (*Users)(nil)

// NewUsers returns a Source with these accounts. Hashes of algorithms other than
// those to keep are forgotten, which saves their memory; without any all are
// kept. Its error joins all problems.
func NewUsers(realm string, accounts []Account, keep ...Algorithm) (*Users, error) {
	u := &Users{
		byName:     make(map[userKey]record, len(accounts)),
		algorithms: make(map[string][]Algorithm),
		kept:       algorithms(),
		listed:     make(map[usrloc.AOR]struct{}),
		homes:      make(map[userKey]peers),
	}
	if len(keep) > 0 {
		u.kept = common(u.kept, keep)
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
		c, err := a.credentials(u.kept)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if a.hashed() {
			u.narrow(a.Realm, &c)
		}
		if len(a.Networks) > 0 {
			u.homes[key] = newPeers(a.Networks)
		}
		r := newRecord(a.Name, &c, u.kept)
		key.name = r.text[:len(a.Name)]
		u.byName[key] = r
		for _, aor := range c.AORs {
			u.listed[aor] = struct{}{}
		}
	}
	for r, usable := range u.algorithms {
		if len(usable) == 0 {
			problems = append(problems, fmt.Errorf("realm %q: no algorithm fits all users: give each a password, or all the same kind of hash", r))
		}
		u.algorithms[r] = common(usable, u.kept)
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

// hashed reports whether the account has a hash in place of a password.
func (a *Account) hashed() bool { return a.HA1MD5 != "" || a.HA1SHA256 != "" || a.HA1SHA512256 != "" }

// credentials returns what the account tells. A password is hashed by the
// algorithms of by alone.
func (a *Account) credentials(by []Algorithm) (c Credentials, err error) {
	if a.Name == "" {
		return c, a.problem("user without a name")
	}
	// RFC 7616 §3.4.4: the colon would make the hashed string ambiguous.
	if slices.ContainsFunc([]byte(a.Name), func(b byte) bool { return b == ':' || b < ' ' || b == 0x7f }) {
		return c, a.problem("user %q: the name holds a colon or a control character", a.Name)
	}
	switch {
	case a.Password != "" && a.hashed():
		return c, a.problem("user %q: password and hash exclude each other", a.Name)
	case a.Password != "":
		c = HashPassword(a.Realm, a.Name, a.Password, by...)
	case !a.hashed() && len(a.Networks) == 0:
		return c, a.problem("user %q: neither password nor hash", a.Name)
	}
	for _, given := range []struct {
		a   Algorithm
		ha1 string
	}{{MD5, a.HA1MD5}, {SHA256, a.HA1SHA256}, {SHA512256, a.HA1SHA512256}} {
		if given.ha1 == "" {
			continue
		}
		ha1, ok := given.a.canonicalHex(given.ha1)
		if !ok {
			return c, a.problem("user %q: the %v hash is not %d hexadecimal digits", a.Name, given.a, given.a.hexLen())
		}
		c.set(given.a, ha1)
	}
	for _, s := range a.AORs {
		aor, err := CanonicalAOR(s)
		if err != nil {
			return c, a.problem("user %q: aor %q: %w", a.Name, s, err)
		}
		c.AORs = append(c.AORs, aor)
	}
	if a.MaxContacts < 0 {
		return c, a.problem("user %q: max_contacts is negative", a.Name)
	}
	c.MaxContacts, c.DisplayName = a.MaxContacts, a.DisplayName
	return c, nil
}

// CanonicalAOR reads an address of record as people write it:
// "sip:alice@example.com" or "alice@example.com".
func CanonicalAOR(s string) (usrloc.AOR, error) {
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

// narrow drops the algorithms of realm with which c cannot be verified.
func (u *Users) narrow(realm string, c *Credentials) {
	usable, ok := u.algorithms[realm]
	if !ok {
		usable = algorithms()
	}
	u.algorithms[realm] = slices.DeleteFunc(usable, func(a Algorithm) bool { return c.ha1(a) == "" })
}

// Lookup implements Source. It answers from memory.
func (u *Users) Lookup(_ context.Context, realm, user string) (Credentials, error) {
	r, ok := u.byName[userKey{realm, user}]
	if !ok {
		return Credentials{}, ErrNoUser
	}
	return r.credentials(len(user)), nil
}

// Recall implements Recaller.
func (u *Users) Recall(realm, user string) (Credentials, bool, error) {
	c, err := u.Lookup(context.Background(), realm, user)
	return c, true, err
}

// Algorithms implements Source. In a realm without users it returns all that
// are kept.
func (u *Users) Algorithms(realm string) []Algorithm {
	if a, ok := u.algorithms[realm]; ok {
		return a
	}
	return u.kept
}

// Lists reports whether aor is among the further addresses of a user.
func (u *Users) Lists(aor usrloc.AOR) bool {
	_, ok := u.listed[aor]
	return ok
}

// Len returns the number of users.
func (u *Users) Len() int { return len(u.byName) }
