package purr

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"reveille/usrloc"
)

// A Purpose says what a token is for. It is no part of the token, but it is
// authenticated: a token opens for the purpose it was sealed for only.
type Purpose byte

// The purposes. Their numbers are sealed into tokens: append only.
const (
	// PURR tokens hold a usrloc.BindingID. Phones show them to everybody.
	PURR Purpose = iota + 1
	// RecordRoute tokens name the two legs of a dialog.
	RecordRoute
	// GRUU tokens are the user parts of temporary GRUUs; see gruu.go.
	GRUU
)

// Layout of a token before it is spelled in letters:
//
//	key id u16 (big endian) | nonce 12 bytes | payload, encrypted | tag 16 bytes
//
// The associated data are the purpose and the two bytes of the key id.
const (
	keyIDLen = 2
	overhead = keyIDLen + 12 + 16
)

// MaxPayload is how many bytes a token holds at most. Unseal refuses the token
// of a longer payload, so that a hostile message costs no more than this.
const MaxPayload = 1024

// PURRLen is the length of a PURR in letters.
const PURRLen = ((overhead+len(usrloc.BindingID{}))*8 + 4) / 5

// Errors of Open and Unseal.
var (
	// ErrToken: this is no token of ours for this purpose, or it was changed.
	ErrToken = errors.New("purr: invalid token")
	// ErrUnknownKey: it may be a token, but its key is not on the ring (any
	// more). It is an ErrToken, too.
	ErrUnknownKey = fmt.Errorf("%w: unknown key", ErrToken)
)

// buffers are what one call needs besides its arguments. What goes through the
// cipher.AEAD interface would otherwise be allocated on each call.
type buffers struct {
	ad     [1 + keyIDLen]byte
	sealed []byte
	plain  []byte
}

var pool = sync.Pool{New: func() any {
	return &buffers{sealed: make([]byte, 0, 128), plain: make([]byte, 0, 128)}
}}

func (b *buffers) setAD(p Purpose, id uint16) []byte {
	b.ad[0] = byte(p)
	binary.BigEndian.PutUint16(b.ad[1:], id)
	return b.ad[:]
}

// Mint returns a new PURR for the binding id: another one on every call
// (RFC 8599 §6.2.1).
func (k *Keyring) Mint(id usrloc.BindingID) string {
	return string(k.AppendMint(make([]byte, 0, PURRLen), id))
}

// AppendMint appends a new PURR for the binding id to dst. It allocates nothing
// if dst has room for PURRLen bytes.
func (k *Keyring) AppendMint(dst []byte, id usrloc.BindingID) []byte {
	b := pool.Get().(*buffers)
	b.plain = append(b.plain[:0], id[:]...)
	dst = k.appendSeal(dst, PURR, b)
	pool.Put(b)
	return dst
}

// Open returns the binding that a PURR stands for. The binding may be gone by
// now. The error is ErrToken or ErrUnknownKey.
func (k *Keyring) Open(token string) (usrloc.BindingID, error) {
	var id usrloc.BindingID
	if len(token) != PURRLen {
		return id, ErrToken
	}
	b := pool.Get().(*buffers)
	defer pool.Put(b)
	if err := k.open(PURR, token, b); err != nil {
		return id, err
	}
	copy(id[:], b.plain)
	return id, nil
}

// Seal returns a token that holds payload, at most MaxPayload bytes.
func (k *Keyring) Seal(p Purpose, payload []byte) string {
	return string(k.AppendSeal(nil, p, payload))
}

// AppendSeal appends a token that holds payload to dst.
func (k *Keyring) AppendSeal(dst []byte, p Purpose, payload []byte) []byte {
	b := pool.Get().(*buffers)
	b.plain = append(b.plain[:0], payload...)
	dst = k.appendSeal(dst, p, b)
	pool.Put(b)
	return dst
}

// Unseal returns the payload of a token that was sealed for purpose p. The
// error is ErrToken or ErrUnknownKey.
func (k *Keyring) Unseal(p Purpose, token string) ([]byte, error) {
	return k.AppendUnseal(nil, p, token)
}

// AppendUnseal appends the payload of a token to dst. On an error it returns
// dst unchanged.
func (k *Keyring) AppendUnseal(dst []byte, p Purpose, token string) ([]byte, error) {
	b := pool.Get().(*buffers)
	defer pool.Put(b)
	if err := k.open(p, token, b); err != nil {
		return dst, err
	}
	return append(dst, b.plain...), nil
}

// appendSeal appends the token of b.plain.
func (k *Keyring) appendSeal(dst []byte, p Purpose, b *buffers) []byte {
	s := k.ring.Load().newest
	b.sealed = binary.BigEndian.AppendUint16(b.sealed[:0], s.id)
	b.sealed = s.aead.Seal(b.sealed, nil, b.plain, b.setAD(p, s.id))
	return appendEncoded(dst, b.sealed)
}

// open leaves the payload of token in b.plain.
func (k *Keyring) open(p Purpose, token string, b *buffers) error {
	if n := decodedLen(len(token)); n < overhead || n > overhead+MaxPayload {
		return ErrToken
	}
	var ok bool
	if b.sealed, ok = appendDecoded(b.sealed[:0], token); !ok {
		return ErrToken
	}
	id := binary.BigEndian.Uint16(b.sealed)
	s := k.ring.Load().byID[id]
	if s == nil {
		return ErrUnknownKey
	}
	plain, err := s.aead.Open(b.plain[:0], nil, b.sealed[keyIDLen:], b.setAD(p, id))
	if err != nil {
		// The cause says no more than that authentication did not succeed.
		return ErrToken
	}
	b.plain = plain
	return nil
}
