package flows

import (
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"hash"
	"maps"
	"regexp"
	"strconv"
	"strings"
)

// password is that of all users.
const password = "secret"

// write makes a message of a block: each line ends with CRLF, the length is that
// of the body, and a digest is worked out.
func (v values) write(block []string) (string, error) {
	body := bodyOf(block)
	method, _, _ := strings.Cut(block[0], " ")
	var b strings.Builder
	for _, line := range block {
		line, err := v.with("length", strconv.Itoa(body)).with("digest", "").fill(line)
		if err != nil {
			return "", err
		}
		line = strings.Replace(line, `response=""`, `response="`+digest(method, line)+`"`, 1)
		b.WriteString(line + "\r\n")
	}
	if body == 0 {
		b.WriteString("\r\n")
	}
	return b.String(), nil
}

// with is v and one name more.
func (v values) with(name, value string) values {
	more := maps.Clone(v)
	more[name] = value
	return more
}

// bodyOf counts the bytes of the body of a block. Bodies have no names in them.
func bodyOf(block []string) (n int) {
	in := false
	for _, line := range block {
		if in {
			n += len(line) + 2
		}
		in = in || line == ""
	}
	return n
}

var parameter = regexp.MustCompile(`(\w+)="?([^",]*)"?`)

// digest is the response to a challenge (RFC 7616 §3.4.1). With the cnonce "wrong" it
// is that of somebody who does not know the password.
func digest(method, line string) string {
	p := map[string]string{}
	for _, m := range parameter.FindAllStringSubmatch(line, -1) {
		p[m[1]] = m[2]
	}
	sum := func() hash.Hash { return md5.New() }
	if p["algorithm"] == "SHA-256" {
		sum = sha256.New
	}
	h := func(parts ...string) string {
		w := sum()
		w.Write([]byte(strings.Join(parts, ":")))
		return fmt.Sprintf("%x", w.Sum(nil))
	}
	secret := password
	if p["cnonce"] == "wrong" {
		secret = "guess"
	}
	return h(h(p["username"], p["realm"], secret), p["nonce"], p["nc"], p["cnonce"], p["qop"], h(method, p["uri"]))
}

// lines takes a message apart.
func lines(message string) []string {
	message = strings.TrimSuffix(message, "\r\n")
	return strings.Split(strings.TrimSuffix(message, "\r\n"), "\r\n")
}
