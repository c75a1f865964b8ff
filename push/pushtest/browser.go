package pushtest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"testing"

	"reveille/push"
)

// A Browser decrypts what is pushed to it (RFC 8291 §3, RFC 8188 §2), without
// the library that encrypts.
type Browser struct {
	key  *ecdh.PrivateKey
	auth []byte
}

// NewBrowser makes the keys of a subscription.
func NewBrowser(t testing.TB) Browser {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b := Browser{key, make([]byte, 16)}
	if _, err := rand.Read(b.auth); err != nil {
		t.Fatal(err)
	}
	return b
}

// BrowserWith has the keys of an example, in base64url.
func BrowserWith(t testing.TB, private, auth string) Browser {
	t.Helper()
	d, err := base64.RawURLEncoding.DecodeString(private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdh.P256().NewPrivateKey(d)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := base64.RawURLEncoding.DecodeString(auth)
	if err != nil {
		t.Fatal(err)
	}
	return Browser{key, secret}
}

// Keys are what a page hands over.
func (b Browser) Keys() push.SubscriptionKeys {
	enc := base64.RawURLEncoding.EncodeToString
	return push.SubscriptionKeys{P256DH: enc(b.key.PublicKey().Bytes()), Auth: enc(b.auth)}
}

// Decrypt returns what a push says.
func (b Browser) Decrypt(body []byte) ([]byte, error) {
	if len(body) < 86 || body[20] != 65 {
		return nil, errors.New("no header of aes128gcm with a key")
	}
	// RFC 8188 §2.1: salt, record size, length of the key ID, key ID.
	salt, size, keyID, record := body[:16], binary.BigEndian.Uint32(body[16:20]), body[21:86], body[86:]
	if uint32(len(record)) > size { //nolint:gosec // a few KB
		return nil, errors.New("more than one record")
	}
	sender, err := ecdh.P256().NewPublicKey(keyID)
	if err != nil {
		return nil, err
	}
	secret, err := b.key.ECDH(sender)
	if err != nil {
		return nil, err
	}
	// RFC 8291 §3.4.
	info := "WebPush: info\x00" + string(b.key.PublicKey().Bytes()) + string(keyID)
	ikm, err := hkdf.Key(sha256.New, secret, b.auth, info, 32)
	if err != nil {
		return nil, err
	}
	cek, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, err
	}
	nonce, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(cek)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	plain, err := gcm.Open(nil, nonce, record, nil)
	if err != nil {
		return nil, err
	}
	// RFC 8188 §2: the last record ends in 2 and zeros.
	plain = bytes.TrimRight(plain, "\x00")
	if !bytes.HasSuffix(plain, []byte{2}) {
		return nil, errors.New("no delimiter of the last record")
	}
	return plain[:len(plain)-1], nil
}
