package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"sync"
	"time"
)

// Layout of a nonce before base64url:
//
//	time of issue, Unix nanoseconds, u64 | random 8 bytes | MAC 16 bytes
//
// The MAC is HMAC-SHA256 over the other fields and the realm, cut to half. So a
// nonce proves by itself who issued it and when, and nothing need be remembered
// about it (RFC 7616 §5.4 leaves the construction to the server).
const (
	nonceTimeLen = 8
	nonceRandLen = 8
	nonceMACLen  = 16
	nonceLen     = nonceTimeLen + nonceRandLen + nonceMACLen
)

// A nonceID tells the nonces of one server apart.
type nonceID [nonceRandLen]byte

// A nonceState is what there is to say about a nonce.
type nonceState uint8

const (
	nonceForeign nonceState = iota // not issued by us for this realm, or before a restart
	nonceExpired                   // ours, too old
	nonceFresh                     // ours, in time
)

// clockSkew is how far ahead of ours the clock of another node, or our own
// before it was set, may have been.
const clockSkew = time.Minute

// nonces issues and recognises nonces. It is safe for concurrent use.
type nonces struct {
	key  []byte
	ttl  time.Duration
	macs sync.Pool // of *macState
}

// macState is a keyed hash and the memory that goes through its interface.
type macState struct {
	hash hash.Hash
	buf  [64]byte
}

// newNonces takes the key that all nodes share, or nil for one of our own.
func newNonces(key []byte, ttl time.Duration) *nonces {
	if len(key) == 0 {
		key = make([]byte, 32)
		rand.Read(key) // It never fails.
	}
	n := &nonces{key: key, ttl: ttl}
	n.macs.New = func() any { return &macState{hash: hmac.New(sha256.New, key)} }
	return n
}

// issue returns a new nonce for realm.
func (n *nonces) issue(realm string, now time.Time) string {
	var raw [nonceLen]byte
	binary.BigEndian.PutUint64(raw[:], uint64(now.UnixNano()))
	rand.Read(raw[nonceTimeLen : nonceTimeLen+nonceRandLen])
	mac := n.mac(raw[:nonceTimeLen+nonceRandLen], realm)
	copy(raw[nonceTimeLen+nonceRandLen:], mac[:])
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// inspect says whether nonce is one of ours for realm. issued is zero if not.
func (n *nonces) inspect(nonce, realm string, now time.Time) (id nonceID, issued int64, state nonceState) {
	var text [(nonceLen*8 + 5) / 6]byte
	var raw [nonceLen]byte
	if len(nonce) != len(text) {
		return id, 0, nonceForeign
	}
	copy(text[:], nonce)
	if got, err := base64.RawURLEncoding.Decode(raw[:], text[:]); err != nil || got != nonceLen {
		return id, 0, nonceForeign
	}
	mac := n.mac(raw[:nonceTimeLen+nonceRandLen], realm)
	if !hmac.Equal(mac[:], raw[nonceTimeLen+nonceRandLen:]) {
		return id, 0, nonceForeign
	}
	issued = int64(binary.BigEndian.Uint64(raw[:]))
	copy(id[:], raw[nonceTimeLen:])
	if age := now.Sub(time.Unix(0, issued)); age >= n.ttl || age < -clockSkew {
		return id, issued, nonceExpired
	}
	return id, issued, nonceFresh
}

func (n *nonces) mac(fields []byte, realm string) (mac [nonceMACLen]byte) {
	m := n.macs.Get().(*macState)
	m.hash.Reset()
	b := append(m.buf[:0], fields...)
	b = append(b, realm...)
	m.hash.Write(b)
	copy(mac[:], m.hash.Sum(m.buf[:0]))
	n.macs.Put(m)
	return mac
}
