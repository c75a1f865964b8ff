package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"reveille/usrloc"
)

// A Source knows the users. Implementations are safe for concurrent use.
type Source interface {
	// Lookup returns the credentials of a user, or ErrNoUser. Any other error
	// means that the source cannot say now: the request is answered 503, never
	// let in. The name is compared byte by byte. Lookup may wait for an answer
	// elsewhere until ctx ends, if Options.MaxLookups says so.
	Lookup(ctx context.Context, realm, user string) (Credentials, error)
	// Algorithms returns those with which every user of realm can be verified,
	// the strongest first; only these are offered, since a client may choose any
	// that is. They do not depend on who asks, so that they do not tell who
	// exists. Algorithms is asked for every challenge and must answer from
	// memory. The caller does not change the slice.
	Algorithms(realm string) []Algorithm
}

// A Recaller is a Source that remembers what it learned from elsewhere.
type Recaller interface {
	Source
	// Recall is Lookup as far as it needs no waiting; known is false if it does.
	// It must not allocate.
	Recall(realm, user string) (c Credentials, known bool, err error)
}

// ErrNoUser means that the source knows no such user.
var ErrNoUser = errors.New("auth: no such user")

// Credentials are what a Source knows about a user. They must not be changed.
type Credentials struct {
	// MD5, SHA256 and SHA512256 are the user's HA1 in lower-case hexadecimal
	// (Algorithm.HA1), empty if not known. They are as secret as the password. A
	// user without any cannot log in.
	MD5, SHA256, SHA512256 string
	Profile
}

// A Profile is what a Source knows about a user besides the proof. Its zero
// value says nothing special.
type Profile struct {
	// AORs are the addresses of record that the user may register and call
	// under, besides the own name in the realm's domains; in canonical form
	// (CanonicalAOR).
	AORs []usrloc.AOR
	// MaxContacts bounds the contacts of each AOR that the user registers; 0
	// means the registrar's limit.
	MaxContacts int
	// DisplayName is how the user is called in front of others; "" if not known.
	DisplayName string
}

// HashPassword returns Credentials with the hashes of a password by some
// algorithms; by all, if none are named. There are no hashes of an empty
// password: it would let anyone in.
func HashPassword(realm, user, password string, by ...Algorithm) (c Credentials) {
	if password == "" {
		return c
	}
	if len(by) == 0 {
		by = algorithms()
	}
	for _, a := range by {
		c.set(a, a.HA1(user, realm, password))
	}
	return c
}

// LogValue keeps the hashes out of logs.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// String keeps the hashes out of whatever prints credentials.
func (c Credentials) String() string { return fmt.Sprintf("<redacted, %d AORs>", len(c.AORs)) }

// GoString keeps the hashes out of %#v.
func (c Credentials) GoString() string { return c.String() }

// ha1 returns the hash by an algorithm, "" if it is not known.
func (c *Credentials) ha1(a Algorithm) string {
	switch a {
	case MD5:
		return c.MD5
	case SHA256:
		return c.SHA256
	case SHA512256:
		return c.SHA512256
	default:
		return ""
	}
}

// set keeps the hash by an algorithm.
func (c *Credentials) set(a Algorithm, ha1 string) {
	switch a {
	case MD5:
		c.MD5 = ha1
	case SHA256:
		c.SHA256 = ha1
	case SHA512256:
		c.SHA512256 = ha1
	}
}

// Sources asks several sources, each for the users whom those before do not
// know.
type Sources []Source

var _ Recaller = Sources(nil)

// Lookup implements Source.
func (s Sources) Lookup(ctx context.Context, realm, user string) (Credentials, error) {
	for _, source := range s {
		if c, err := source.Lookup(ctx, realm, user); !errors.Is(err, ErrNoUser) {
			return c, err
		}
	}
	return Credentials{}, ErrNoUser
}

// Recall implements Recaller. A source that is no Recaller answers only to
// Lookup.
func (s Sources) Recall(realm, user string) (Credentials, bool, error) {
	for _, source := range s {
		r, ok := source.(Recaller)
		if !ok {
			return Credentials{}, false, nil
		}
		if c, known, err := r.Recall(realm, user); !known || !errors.Is(err, ErrNoUser) {
			return c, known, err
		}
	}
	return Credentials{}, true, ErrNoUser
}

// Algorithms implements Source: those that all sources have in common.
func (s Sources) Algorithms(realm string) []Algorithm {
	if len(s) == 1 {
		return s[0].Algorithms(realm)
	}
	all := algorithms()
	for _, source := range s {
		all = common(all, source.Algorithms(realm))
	}
	return all
}

// common drops from list, in place, what is not in other.
func common(list, other []Algorithm) []Algorithm {
	return slices.DeleteFunc(list, func(a Algorithm) bool { return !slices.Contains(other, a) })
}
