package sipmsg

import "strings"

// Character classes of RFC 3261 §25.1, as bits of charClass.
const (
	classToken   = 1 << iota // token
	classUser                // allowed unescaped in a URI's user part
	classParam               // allowed unescaped in a URI parameter (paramchar)
	classURI                 // tolerated somewhere in a URI: visible, not < > "
	classValue               // tolerated in an unquoted header parameter value
	classDisplay             // tolerated in a display name without quotes
)

var charClass = func() (t [256]uint8) {
	mark := func(chars string, class uint8) {
		for i := range len(chars) {
			t[chars[i]] |= class
		}
	}
	const alphanum = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	const unreserved = alphanum + "-_.!~*'()"
	const token = alphanum + "-.!%*_+`'~"
	mark(token, classToken|classDisplay)
	mark(unreserved+"&=+$,;?/", classUser)
	mark(unreserved+"[]/:&+$", classParam)
	mark(" \t", classDisplay)
	for c := 0x21; c < 0x100; c++ {
		if c == 0x7f {
			continue
		}
		if !strings.ContainsRune(`<>"`, rune(c)) {
			t[c] |= classURI
			if c != ';' && c != ',' {
				t[c] |= classValue
			}
		}
		// Names in UTF-8 without quotes are not legal, but common and harmless.
		if c >= 0x80 {
			t[c] |= classDisplay
		}
	}
	return t
}()

func is(c byte, class uint8) bool { return charClass[c]&class != 0 }

// run returns how many bytes at the start of s belong to class.
func run(s string, class uint8) int {
	for i := range len(s) {
		if charClass[s[i]]&class == 0 {
			return i
		}
	}
	return len(s)
}

// all reports whether s is not empty and consists of class alone.
func all(s string, class uint8) bool { return s != "" && run(s, class) == len(s) }

// clean returns s without the bytes outside of class; s itself if there are none.
func clean(s string, class uint8) string {
	n := run(s, class)
	if n == len(s) {
		return s
	}
	b := append(make([]byte, 0, len(s)), s[:n]...)
	for i := n; i < len(s); i++ {
		if is(s[i], class) {
			b = append(b, s[i])
		}
	}
	return string(b)
}

// cleanValue returns s without CR, LF and NUL. A fold loses its line break and
// keeps its white space, which is the meaning that a fold has; an attempt to
// start a new header field ends up inside the value.
func cleanValue(s string) string {
	if !strings.ContainsAny(s, "\r\n\x00") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		if c := s[i]; c != '\r' && c != '\n' && c != 0 {
			b = append(b, c)
		}
	}
	return string(b)
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// equalFold compares in ASCII without regard to case. strings.EqualFold would
// also take the Kelvin sign for a k.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if a[i] != b[i] && lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && equalFold(s[:len(prefix)], prefix)
}

// lowerString returns s in lower case (ASCII); s itself if it is already.
func lowerString(s string) string {
	for i := range len(s) {
		if lower(s[i]) != s[i] {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				b[j] = lower(b[j])
			}
			return string(b)
		}
	}
	return s
}

// isLWS reports whether c is part of linear white space. CR and LF count: the
// scanner has made sure that they occur in folds only.
func isLWS(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// isBlank reports whether c is white space within a line.
func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func trimLeft(s string) string {
	for s != "" && isLWS(s[0]) {
		s = s[1:]
	}
	return s
}

func trimRight(s string) string {
	for s != "" && isLWS(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func trim(s string) string { return trimRight(trimLeft(s)) }

// unfold replaces each fold by one space (RFC 3261 §7.3.1); it returns s itself
// if there is none.
func unfold(s string) string {
	if strings.IndexByte(s, '\n') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\r' && s[i] != '\n' {
			b = append(b, s[i])
			continue
		}
		for i+1 < len(s) && isLWS(s[i+1]) {
			i++
		}
		for len(b) > 0 && isLWS(b[len(b)-1]) {
			b = b[:len(b)-1]
		}
		b = append(b, ' ')
	}
	return string(b)
}

// quotedEnd returns the offset behind the quoted-string at the start of s; 0 if
// it is not closed.
func quotedEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}

// Unquote returns the content of a closed quoted-string with its quoted pairs
// undone, and any other string as it is.
func Unquote(s string) string {
	if len(s) < 2 || s[0] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// valueEnd returns the offset of the comma that ends the first value of a
// comma-separated list; len(s) if it is the last one. Commas in quoted strings
// and between < and > do not count (RFC 3261 §7.3.1).
func valueEnd(s string) int {
	if strings.IndexByte(s, ',') < 0 {
		return len(s)
	}
	angle := false
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ',':
			if !angle {
				return i
			}
		case '<':
			angle = true
		case '>':
			angle = false
		case '"':
			if angle {
				continue
			}
			n := quotedEnd(s[i:])
			if n == 0 {
				return len(s)
			}
			i += n - 1
		}
	}
	return len(s)
}

// parseUint reads 1*DIGIT up to limit. Leading zeros are legal (RFC 4475
// §3.1.1.1).
func parseUint(s string, limit uint64) (uint64, bool) {
	if s == "" {
		return 0, false
	}
	var n uint64
	for i := range len(s) {
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + uint64(c)
		if n > limit {
			return 0, false
		}
	}
	return n, true
}
