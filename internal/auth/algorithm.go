package auth

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"strconv"
	"strings"
)

// An Algorithm is a digest algorithm (RFC 8760 §2.1).
type Algorithm uint8

// The algorithms, the weakest first.
const (
	// MD5 is what SIP phones older than RFC 8760 know.
	MD5 Algorithm = iota + 1
	// SHA256 is SHA-256.
	SHA256
	// SHA512256 is SHA-512/256, whose digest is as long as that of SHA256.
	SHA512256

	numAlgorithms = int(SHA512256)
)

var algorithmNames = [...]string{MD5: "MD5", SHA256: "SHA-256", SHA512256: "SHA-512-256"}

// algorithms returns all of them, the strongest first.
func algorithms() []Algorithm { return []Algorithm{SHA512256, SHA256, MD5} }

// String returns the name on the wire.
func (a Algorithm) String() string {
	if a.valid() {
		return algorithmNames[a]
	}
	return "algorithm(" + strconv.Itoa(int(a)) + ")"
}

func (a Algorithm) valid() bool { return a >= MD5 && a <= SHA512256 }

// ParseAlgorithm reads an algorithm's name in any case.
func ParseAlgorithm(s string) (a Algorithm, ok bool) {
	for a := MD5; a.valid(); a++ {
		if strings.EqualFold(s, algorithmNames[a]) {
			return a, true
		}
	}
	return 0, false
}

// HA1 returns H(user:realm:password) in lower-case hexadecimal (RFC 7616
// §3.4.2). Whoever has it can log in as that user to that realm.
func (a Algorithm) HA1(user, realm, password string) string {
	return string(a.appendHex(nil, []byte(user+":"+realm+":"+password)))
}

// hexLen is the length of a digest in hexadecimal.
func (a Algorithm) hexLen() int {
	if a == MD5 {
		return 2 * md5.Size
	}
	return maxHexLen
}

// maxHexLen is the largest hexLen.
const maxHexLen = 2 * sha256.Size

// appendHex appends the digest of data in lower-case hexadecimal.
func (a Algorithm) appendHex(dst, data []byte) []byte {
	switch a {
	case MD5:
		sum := md5.Sum(data)
		return hex.AppendEncode(dst, sum[:])
	case SHA512256:
		sum := sha512.Sum512_256(data)
		return hex.AppendEncode(dst, sum[:])
	default:
		sum := sha256.Sum256(data)
		return hex.AppendEncode(dst, sum[:])
	}
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
