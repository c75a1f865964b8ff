package load

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"reveille/internal/sipmsg"
)

// The digest algorithms (RFC 8760 §2.2).
const (
	md5Name    = "MD5"
	sha256Name = "SHA-256"
)

// A challenge is what a server wants to be answered with. Realm and algorithm
// are the same for all phones of a run.
type challenge struct {
	realm, nonce, algorithm string
	// stale says that the password was right, but not the nonce (RFC 7616 §3.3).
	stale bool
}

// readChallenge returns the first challenge of a 401 that can be answered with
// the wanted algorithm; any if wanted is empty.
func readChallenge(s *sipmsg.Scan, wanted string) (challenge, bool) {
	for i := range s.Len() {
		h := s.Header(i)
		if h.ID != sipmsg.HdrWWWAuthenticate {
			continue
		}
		c, ok := parseChallenge(h.Value)
		if ok && (wanted == "" || strings.EqualFold(c.algorithm, wanted)) {
			return c, true
		}
	}
	return challenge{}, false
}

// parseChallenge reads one challenge. Without qop=auth, which every server of
// today offers, the answer would be another; opaque is not returned.
func parseChallenge(v string) (c challenge, ok bool) {
	scheme, rest, _ := strings.Cut(v, " ")
	if !strings.EqualFold(scheme, "Digest") {
		return c, false
	}
	// RFC 8760 §2.2: MD5 is what a challenge without algorithm means.
	c.algorithm = md5Name
	auth := false
	for rest != "" {
		var name, value string
		if name, rest, ok = strings.Cut(strings.TrimLeft(rest, " \t,"), "="); !ok {
			break
		}
		if strings.HasPrefix(rest, `"`) {
			value, rest, _ = strings.Cut(rest[1:], `"`)
		} else {
			value, rest, _ = strings.Cut(rest, ",")
			value = strings.TrimSpace(value)
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "realm":
			c.realm = value
		case "nonce":
			c.nonce = value
		case "algorithm":
			c.algorithm = strings.ToUpper(value)
		case "stale":
			c.stale = strings.EqualFold(value, "true")
		case "qop":
			for q := range strings.SplitSeq(value, ",") {
				auth = auth || strings.TrimSpace(q) == "auth"
			}
		}
	}
	return c, auth && c.nonce != "" && (c.algorithm == md5Name || c.algorithm == sha256Name)
}

// appendAuthorization writes the credentials of phone i for its present REGISTER
// (RFC 7616 §3.4). nc was raised when that was first sent.
func (c *core) appendAuthorization(b []byte, i uint32) []byte {
	p := &c.proofs[i]
	var nc, cnonce [8]byte
	appendHex(nc[:0], p.nc)
	appendHex(cnonce[:0], uint32(mix(uint64(i), c.seed)))
	b = append(b, `Authorization: Digest username="`...)
	user := len(b)
	b = appendUser(b, i)
	name := string(b[user:])
	b = append(b, `", realm="`...)
	b = append(b, c.realm...)
	b = append(b, `", nonce="`...)
	b = append(b, p.nonce...)
	b = append(b, `", uri="sip:`...)
	b = append(b, c.o.Domain...)
	b = append(b, `", algorithm=`...)
	b = append(b, c.algorithm...)
	b = append(b, `, qop=auth, nc=`...)
	b = append(b, nc[:]...)
	b = append(b, `, cnonce="`...)
	b = append(b, cnonce[:]...)
	b = append(b, `", response="`...)
	b = c.hasher.appendResponse(b, c.algorithm, name, c.realm, c.o.Password, p.nonce, string(nc[:]), string(cnonce[:]), "REGISTER", "sip:"+c.o.Domain)
	return append(b, "\"\r\n"...)
}

// A hasher computes digests in memory of its own.
type hasher struct{ in, ha1, ha2 []byte }

// appendResponse appends request-digest in hexadecimal (RFC 7616 §3.4.1, with
// qop=auth).
func (h *hasher) appendResponse(b []byte, algorithm, user, realm, password, nonce, nc, cnonce, method, uri string) []byte {
	h.ha1 = h.hash(h.ha1[:0], algorithm, user, realm, password)
	h.ha2 = h.hash(h.ha2[:0], algorithm, method, uri)
	return h.hash(b, algorithm, string(h.ha1), nonce, nc, cnonce, "auth", string(h.ha2))
}

// hash appends the digest of the parts, colons between them.
func (h *hasher) hash(b []byte, algorithm string, parts ...string) []byte {
	h.in = h.in[:0]
	for i, p := range parts {
		if i > 0 {
			h.in = append(h.in, ':')
		}
		h.in = append(h.in, p...)
	}
	if algorithm == sha256Name {
		sum := sha256.Sum256(h.in)
		return hex.AppendEncode(b, sum[:])
	}
	sum := md5.Sum(h.in)
	return hex.AppendEncode(b, sum[:])
}

// take notes the nonce of a challenge for phone i.
func (c *core) take(i uint32, ch challenge) {
	if c.proofs == nil {
		c.proofs = make([]proof, len(c.phones))
	}
	if c.realm != ch.realm {
		c.realm = strings.Clone(ch.realm)
	}
	if c.algorithm != ch.algorithm {
		c.algorithm = strings.Clone(ch.algorithm)
	}
	c.proofs[i] = proof{nonce: strings.Clone(ch.nonce)}
}
