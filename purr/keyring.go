package purr

import (
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// MaxKeys is how many keys a Keyring holds at most.
const MaxKeys = 1024

// A Key seals tokens. Whoever has its secret can forge them.
type Key struct {
	// ID stands in the clear in front of every token of the key. It is unique
	// on a ring.
	ID uint16
	// Secret is the AES-256 key.
	Secret [32]byte
	// Created says which key of a ring is the newest. It has a resolution of
	// one second.
	Created time.Time
}

// NewKey draws a key at random.
func NewKey(now time.Time) Key {
	var b [34]byte
	rand.Read(b[:]) // It never fails: crypto/rand ends the process instead.
	k := Key{ID: binary.BigEndian.Uint16(b[:2]), Created: now.UTC().Truncate(time.Second)}
	copy(k.Secret[:], b[2:])
	return k
}

// String names the key without its secret.
func (k Key) String() string {
	return fmt.Sprintf("key %04x of %s", k.ID, k.Created.Format(time.RFC3339))
}

// GoString keeps the secret out of %#v.
func (k Key) GoString() string { return k.String() }

// Errors of New and Replace.
var (
	ErrNoKey        = errors.New("purr: no key")
	ErrTooManyKeys  = fmt.Errorf("purr: more than %d keys", MaxKeys)
	ErrDuplicateKey = errors.New("purr: two keys with the same id")
	ErrZeroKey      = errors.New("purr: key without a secret")
)

// A Keyring seals tokens with its newest key and opens those of all its keys.
// It is safe for concurrent use; readers never wait for a change of keys.
type Keyring struct {
	ring atomic.Pointer[ring]
}

// ring is one immutable set of keys.
type ring struct {
	keys   []Key // newest first
	newest *sealer
	byID   map[uint16]*sealer
}

// sealer is a key made ready. It is immutable.
type sealer struct {
	id   uint16
	aead cipher.AEAD // prepends a random nonce by itself
}

// New returns a Keyring with the given keys, in any order.
func New(keys []Key) (*Keyring, error) {
	k := new(Keyring)
	if err := k.Replace(keys); err != nil {
		return nil, err
	}
	return k, nil
}

// Generate returns a Keyring with one random key. Its tokens die with the
// process unless the key is saved.
func Generate(now time.Time) *Keyring {
	k, err := New([]Key{NewKey(now)})
	if err != nil {
		// 32 random bytes were all zero, or AES is gone.
		panic(err)
	}
	return k
}

// Replace swaps in another set of keys, all or nothing. Tokens of keys that are
// not among them no longer open.
func (k *Keyring) Replace(keys []Key) error {
	r, err := newRing(keys)
	if err != nil {
		return err
	}
	k.ring.Store(r)
	return nil
}

// Keys returns the keys, newest first.
func (k *Keyring) Keys() []Key { return slices.Clone(k.ring.Load().keys) }

func newRing(keys []Key) (*ring, error) {
	if len(keys) == 0 {
		return nil, ErrNoKey
	}
	if len(keys) > MaxKeys {
		return nil, ErrTooManyKeys
	}
	r := &ring{keys: slices.Clone(keys), byID: make(map[uint16]*sealer, len(keys))}
	slices.SortStableFunc(r.keys, func(a, b Key) int {
		// The tie is broken by the id, so that all nodes agree on the newest.
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(b.ID, a.ID))
	})
	for i, key := range r.keys {
		if _, ok := r.byID[key.ID]; ok {
			return nil, fmt.Errorf("%w: %04x", ErrDuplicateKey, key.ID)
		}
		s, err := newSealer(key)
		if err != nil {
			return nil, err
		}
		r.byID[key.ID] = s
		if i == 0 {
			r.newest = s
		}
	}
	return r, nil
}

func newSealer(key Key) (*sealer, error) {
	if key.Secret == [32]byte{} {
		return nil, fmt.Errorf("%w: %04x", ErrZeroKey, key.ID)
	}
	block, err := aes.NewCipher(key.Secret[:])
	if err != nil {
		return nil, fmt.Errorf("prepare %v: %w", key, err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("prepare %v: %w", key, err)
	}
	return &sealer{id: key.ID, aead: aead}, nil
}
