package source

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"reveille/internal/auth"
)

// A Proof is what a source has of each of its users to tell who they are.
type Proof string

// The proofs. Each name is also that of the column or member that holds it.
const (
	// Password is the password itself.
	Password Proof = "password"
	// HA1 and those below are H(user:realm:password) by MD5, SHA-256 and
	// SHA-512/256, in hexadecimal.
	HA1          Proof = "ha1"
	HA1SHA256    Proof = "ha1_sha256"
	HA1SHA512256 Proof = "ha1_sha512_256"
)

// Algorithms returns those with which a user can be verified who has all these
// proofs, the strongest first.
func Algorithms(proofs []Proof) []auth.Algorithm {
	var usable []auth.Algorithm
	for _, by := range [...]struct {
		proof Proof
		alg   auth.Algorithm
	}{{HA1SHA512256, auth.SHA512256}, {HA1SHA256, auth.SHA256}, {HA1, auth.MD5}} {
		if slices.Contains(proofs, Password) || slices.Contains(proofs, by.proof) {
			usable = append(usable, by.alg)
		}
	}
	return usable
}

// A Record is what a source says about one user. What is empty it does not say.
type Record struct {
	// Name is the user's as the source spells it.
	Name string
	// Password comes first; hashes are for those without.
	Password string
	// HA1MD5, HA1SHA256 and HA1SHA512256 are the hashes, in hexadecimal.
	HA1MD5, HA1SHA256, HA1SHA512256 string
	// AORs are further addresses that the user may register.
	AORs []string
	// MaxContacts bounds the contacts of the user's AORs.
	MaxContacts int
	// DisplayName is how the user is called in front of others.
	DisplayName string
}

// Credentials returns what the Record says about a user that was asked for by
// realm and name. It is ErrNoUser if it speaks of another one: databases compare
// more loosely than SIP does, and "Alice" is not "alice". A Record without a
// proof gives a user who cannot log in. What cannot be read is an error that
// shows neither password nor hash.
func (r *Record) Credentials(realm, user string) (auth.Credentials, error) {
	if r.Name != "" && r.Name != user {
		return auth.Credentials{}, auth.ErrNoUser
	}
	c := auth.HashPassword(realm, user, r.Password)
	if r.Password == "" {
		for _, given := range [...]struct {
			to   *string
			ha1  string
			name Proof
			size int
		}{{&c.MD5, r.HA1MD5, HA1, 16}, {&c.SHA256, r.HA1SHA256, HA1SHA256, 32}, {&c.SHA512256, r.HA1SHA512256, HA1SHA512256, 32}} {
			b, err := hex.DecodeString(given.ha1)
			if err != nil || len(b) != given.size && len(b) != 0 {
				return auth.Credentials{}, fmt.Errorf("%s of %q is not %d hexadecimal digits", given.name, user, 2*given.size)
			}
			*given.to = strings.ToLower(given.ha1)
		}
	}
	for _, s := range r.AORs {
		aor, err := auth.CanonicalAOR(s)
		if err != nil {
			return auth.Credentials{}, fmt.Errorf("aor %q of %q: %w", s, user, err)
		}
		c.AORs = append(c.AORs, aor)
	}
	c.MaxContacts, c.DisplayName = max(r.MaxContacts, 0), r.DisplayName
	return c, nil
}
