package auth

import (
	"crypto/subtle"
	"errors"
	"strconv"
	"strings"

	"reveille/internal/sipmsg"
)

// credentials are the digest parameters of one Authorization or
// Proxy-Authorization header field (RFC 3261 §25.1, RFC 7616 §3.4). The values
// are unquoted.
type credentials struct {
	username, realm, nonce, uri, response string
	algorithm, qop, nc, cnonce            string

	set       uint16 // parameters seen, by their bit
	extName   bool   // username* came
	userhash  bool
	algo      Algorithm
	quality   QOP
	nonceUses uint32 // nc as a number; 1 if there is no qop
}

const (
	hasUsername = 1 << iota
	hasRealm
	hasNonce
	hasURI
	hasResponse
	hasAlgorithm
	hasQop
	hasNC
	hasCnonce
	hasUserhash
	hasExtName
	required = hasUsername | hasRealm | hasNonce | hasURI | hasResponse
)

// maxParams bounds how many parameters one header field may have.
const maxParams = 32

// errSyntax: the header field is no list of parameters.
var errSyntax = errors.New("auth: malformed credentials")

// digestScheme returns what follows the word "Digest" in a header value. ok is
// false for any other scheme.
func digestScheme(v string) (params string, ok bool) {
	const scheme = "Digest"
	if len(v) <= len(scheme) || !strings.EqualFold(v[:len(scheme)], scheme) || !isLWS(v[len(scheme)]) {
		return "", false
	}
	return v[len(scheme)+1:], true
}

// parseCredentials reads the parameters of a Digest header value. Any of them
// may be quoted or not: clients differ, and what each means is clear. A
// parameter that comes twice is an error, since two readers could choose
// differently.
func parseCredentials(params string) (credentials, error) {
	var c credentials
	s := skipLWS(params)
	for n := 0; s != ""; n++ {
		if n == maxParams {
			return c, errSyntax
		}
		var name, value string
		var ok bool
		if name, value, s, ok = cutParam(s); !ok || !c.store(name, value) {
			return c, errSyntax
		}
		if s = skipLWS(s); s == "" {
			break
		}
		if s[0] != ',' {
			return c, errSyntax
		}
		s = skipLWS(s[1:])
	}
	return c, nil
}

// cutParam cuts `name = value` off the front of s.
func cutParam(s string) (name, value, rest string, ok bool) {
	i := 0
	for i < len(s) && isTokenChar(s[i]) {
		i++
	}
	name, s = s[:i], skipLWS(s[i:])
	if name == "" || s == "" || s[0] != '=' {
		return "", "", "", false
	}
	s = skipLWS(s[1:])
	if s != "" && s[0] == '"' {
		value, rest, ok = cutQuoted(s)
		return name, value, rest, ok
	}
	i = 0
	for i < len(s) && s[i] != ',' && !isLWS(s[i]) {
		if s[i] == '"' || s[i] < ' ' || s[i] == 0x7f {
			return "", "", "", false
		}
		i++
	}
	return name, s[:i], s[i:], i > 0
}

// cutQuoted cuts a quoted-string off the front of s and undoes its quoted-pairs.
func cutQuoted(s string) (value, rest string, ok bool) {
	if i := strings.IndexByte(s[1:], '"'); i < 0 {
		return "", "", false
	} else if strings.IndexByte(s[1:i+1], '\\') < 0 {
		return s[1 : i+1], s[i+2:], true
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return sipmsg.Unquote(s[:i+1]), s[i+1:], true
		}
	}
	return "", "", false
}

// store keeps a parameter that we know. Others, opaque among them, are ignored
// (RFC 7616 §3.4: auth-param). ok is false if it came before.
func (c *credentials) store(name, value string) (ok bool) {
	var bit uint16
	switch {
	case is(name, "username"):
		bit, c.username = hasUsername, value
	case is(name, "realm"):
		bit, c.realm = hasRealm, value
	case is(name, "nonce"):
		bit, c.nonce = hasNonce, value
	case is(name, "uri"):
		bit, c.uri = hasURI, value
	case is(name, "response"):
		bit, c.response = hasResponse, value
	case is(name, "algorithm"):
		bit, c.algorithm = hasAlgorithm, value
	case is(name, "qop"):
		bit, c.qop = hasQop, value
	case is(name, "nc"):
		bit, c.nc = hasNC, value
	case is(name, "cnonce"):
		bit, c.cnonce = hasCnonce, value
	case is(name, "userhash"):
		bit, c.userhash = hasUserhash, strings.EqualFold(value, "true")
	case is(name, "username*"):
		bit, c.extName = hasExtName, true
	default:
		return true
	}
	ok = c.set&bit == 0
	c.set |= bit
	return ok
}

// is compares names of parameters. Most differ in length already.
func is(name, want string) bool { return len(name) == len(want) && strings.EqualFold(name, want) }

// check looks whether the parameters fit together and fills algo, quality and
// nonceUses.
// It returns why not, for the response.
func (c *credentials) check() (problem string) {
	// RFC 7616 §3.4: username and username* exclude each other. We offered
	// neither userhash nor a charset, so a client has no reason for either.
	if c.extName || c.userhash {
		return "Username Form Not Offered"
	}
	if c.set&required != required || c.username == "" {
		return "Incomplete Credentials"
	}
	// RFC 7616 §3.4: without the parameter it is MD5.
	c.algo = MD5
	if c.set&hasAlgorithm != 0 {
		// An unknown one stays 0 and is refused as one that was not offered.
		c.algo, _ = ParseAlgorithm(c.algorithm)
	}
	// RFC 8760 §2.5: clients of RFC 2069 send no qop. Such a response proves
	// nothing about how often the nonce was used, so it counts as the first use.
	if c.set&hasQop == 0 {
		c.quality, c.nonceUses = QOPAuth, 1
		return ""
	}
	var known bool
	if c.quality, known = ParseQOP(c.qop); !known {
		return "Unknown Quality of Protection"
	}
	// RFC 3261 §25.1: nc is exactly eight hexadecimal digits.
	nc, err := strconv.ParseUint(c.nc, 16, 32)
	if err != nil || len(c.nc) != 8 || nc == 0 || c.cnonce == "" {
		return "Incomplete Credentials"
	}
	c.nonceUses = uint32(nc)
	return ""
}

// matches reports whether the response was computed with ha1 for a request of
// this method and body. The time does not depend on where it differs. The
// Request-URI plays no part: RFC 3261 §22.4 rule 5 has the uri parameter hashed,
// which proxies on the way leave alone.
func (c *credentials) matches(ha1, method, body string) bool {
	var hash2, want [maxHexLen]byte
	var scratch [512]byte
	b := append(scratch[:0], method...)
	b = append(b, ':')
	b = append(b, c.uri...)
	if c.quality == QOPAuthInt {
		// RFC 7616 §3.4.3, RFC 8760 §2.6: an absent body counts as an empty one.
		b = append(b, ':')
		b = c.algo.appendHex(b, []byte(body))
	}
	ha2 := c.algo.appendHex(hash2[:0], b)

	// RFC 7616 §3.4.1, and RFC 2069 §2.4 if there is no qop.
	b = append(b[:0], ha1...)
	b = append(b, ':')
	b = append(b, c.nonce...)
	b = append(b, ':')
	if c.set&hasQop != 0 {
		b = append(b, c.nc...)
		b = append(b, ':')
		b = append(b, c.cnonce...)
		b = append(b, ':')
		b = append(b, c.qop...)
		b = append(b, ':')
	}
	b = append(b, ha2...)
	response := c.algo.appendHex(want[:0], b)

	if len(c.response) != len(response) {
		return false
	}
	var got [maxHexLen]byte
	for i := range len(c.response) {
		// RFC 3261 §25.1 asks for lower case; some clients send upper case.
		got[i] = c.response[i] | 0x20
	}
	return subtle.ConstantTimeCompare(got[:len(response)], response) == 1
}

func skipLWS(s string) string {
	for s != "" && isLWS(s[0]) {
		s = s[1:]
	}
	return s
}

// isLWS also takes the line ends of a folded header field.
func isLWS(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func isTokenChar(c byte) bool {
	switch c {
	case '-', '.', '!', '%', '*', '_', '+', '`', '\'', '~':
		return true
	}
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
