package main

import (
	"crypto/sha256"
	"encoding/hex"
)

// nonceSize bounds the nonces that are kept, in bytes.
const nonceSize = 64

// keys are what the phones answer challenges with (RFC 7616, SHA-256, qop=auth).
// Each phone has a nonce of its own, and counts how often it used it. A user
// belongs to one socket, so that nothing is shared.
type keys struct {
	users []key
	ha2   [64]byte // of every REGISTER, in hexadecimal
}

type key struct {
	ha1    [32]byte
	nonce  [nonceSize]byte
	length uint8 // of nonce; 0 as long as there is none
	count  uint32
}

func newKeys(users int) *keys {
	k := &keys{users: make([]key, users)}
	for u := range k.users {
		k.users[u].ha1 = sha256.Sum256([]byte(userName(u) + ":" + domain + ":" + secret(u)))
	}
	sum := sha256.Sum256([]byte("REGISTER:" + requestURI))
	hex.Encode(k.ha2[:], sum[:])
	return k
}

// challenge gives user a nonce, and reports whether it can be used.
func (k *keys) challenge(user int, nonce []byte) bool {
	if len(nonce) > nonceSize {
		return false
	}
	u := &k.users[user]
	u.length, u.count = uint8(copy(u.nonce[:], nonce)), 0
	return true
}

// sign writes the credentials of user into m, a message with room for them.
func (k *keys) sign(m *message, user int, cnonce uint64) {
	u := &k.users[user]
	u.count++
	m.setText(fieldNonce, u.nonce[:u.length])
	m.set(fieldCount, uint64(u.count))
	m.set(fieldCNonce, cnonce)
	// response = H(HA1:nonce:nc:cnonce:qop:HA2), RFC 7616 §3.4.1.
	var text [64 + 1 + nonceSize + 1 + 8 + 1 + 16 + len(":auth:") + 64]byte
	b := hex.AppendEncode(text[:0], u.ha1[:])
	b = append(append(append(b, ':'), u.nonce[:u.length]...), ':')
	b = b[:len(b)+8]
	putHex(b[len(b)-8:], uint64(u.count))
	b = append(b, ':')
	b = b[:len(b)+16]
	putHex(b[len(b)-16:], cnonce)
	b = append(append(b, ":auth:"...), k.ha2[:]...)
	sum := sha256.Sum256(b)
	for _, at := range m.template.at[fieldResponse] {
		hex.Encode(m.bytes[at:], sum[:])
	}
}
