package sipmsg

import "strings"

// unescapeAt decodes the escape "%XX" at offset i of s.
func unescapeAt(s string, i int) (c byte, ok bool) {
	if s[i] != '%' || i+2 >= len(s) {
		return 0, false
	}
	hi, ok1 := hexDigit(s[i+1])
	lo, ok2 := hexDigit(s[i+2])
	return hi<<4 | lo, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch l := lower(c); {
	case c >= '0' && c <= '9':
		return c - '0', true
	case l >= 'a' && l <= 'f':
		return l - 'a' + 10, true
	}
	return 0, false
}

// Unescape undoes the escapes of s, once. What is no valid escape stays as
// written. The result may hold any byte, NUL and CR LF included: it is data and
// must not be written into a message unescaped.
func Unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if c, ok := unescapeAt(s, i); ok {
			b = append(b, c)
			i += 2
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

// EscapeParam writes s as the value of a URI parameter: every byte outside of
// the pvalue alphabet is escaped (RFC 8599 §8.7, RFC 3261 paramchar).
func EscapeParam(s string) string { return escape(s, classParam) }

// escapeUser writes s as a user part, escaping no more than the grammar demands.
func escapeUser(s string) string { return escape(s, classUser) }

func escape(s string, class uint8) string {
	n := run(s, class)
	if n == len(s) {
		return s
	}
	const hex = "0123456789ABCDEF"
	b := append(make([]byte, 0, len(s)+8), s[:n]...)
	for i := n; i < len(s); i++ {
		if is(s[i], class) {
			b = append(b, s[i])
		} else {
			b = append(b, '%', hex[s[i]>>4], hex[s[i]&15])
		}
	}
	return string(b)
}
