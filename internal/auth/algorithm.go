package auth

import (
	"crypto/md5"
	"crypto/sha256"
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
)

var algorithmNames = [...]string{MD5: "MD5", SHA256: "SHA-256"}

// String returns the name on the wire.
func (a Algorithm) String() string {
	if a.valid() {
		return algorithmNames[a]
	}
	return "algorithm(" + strconv.Itoa(int(a)) + ")"
}

func (a Algorithm) valid() bool { return a == MD5 || a == SHA256 }

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
	return 2 * sha256.Size
}

// maxHexLen is the largest hexLen.
const maxHexLen = 2 * sha256.Size

// appendHex appends the digest of data in lower-case hexadecimal.
func (a Algorithm) appendHex(dst, data []byte) []byte {
	if a == MD5 {
		sum := md5.Sum(data)
		return hex.AppendEncode(dst, sum[:])
	}
	sum := sha256.Sum256(data)
	return hex.AppendEncode(dst, sum[:])
}
