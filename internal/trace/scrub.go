package trace

import (
	"strings"

	"reveille/internal/sipmsg"
)

// A mode is what the scrubber reads.
type mode uint8

const (
	modeHeader mode = iota // the value of a header field
	modeURI                // one URI, as between < and >
	modeRoute              // a header field whose URIs have tokens for users
	modeText               // a line of a body
)

// leastFound is the shortest token that is looked for elsewhere in its message. Shorter
// ones might be any word.
const leastFound = 16

// value writes v, a value without folds, without the secrets in it. It knows the grammar
// only as far as it must, and when in doubt it hides: parameters begin with a semicolon,
// whatever they belong to, and a secret one ends with the next that is not in quotes.
//
// Its time grows with the length of v alone: strangers choose it.
func (w *scrubber) value(v string, m mode) {
	angle, unclosed := m == modeURI, false
	userEnd, nameEnd := ahead{chars: "@<>\" \t"}, ahead{chars: "= \t\"<>"}
	if m == modeURI {
		userEnd.chars = "@"
	}
	for i := 0; i < len(v); {
		switch c := v[i]; {
		case c == '<':
			angle = true
		case c == '>':
			angle = m == modeURI
		// Behind one that is not closed each is the second half of a quoted pair.
		case c == '"' && !unclosed:
			n := quotedEnd(v[i:])
			unclosed = n == 0
			switch {
			case unclosed && m == modeText:
			case unclosed:
				w.text(`"` + Hidden)
				return
			default:
				i += w.quoted(v[i : i+n])
				continue
			}
		case c == ';':
			i = w.parameter(v, i, angle)
			continue
		case c == '?' && (angle || hasHeaders(v, i+1, &nameEnd)):
			i = w.uriHeaders(v, i, angle)
			continue
		case (c == 's' || c == 'S') && scheme(v[i:]) > 0:
			i = w.user(v, i, m, &userEnd)
			continue
		}
		w.out = append(w.out, v[i])
		i++
	}
}

// quoted writes the quoted-string q, or hides it if it may hold a secret in some form,
// and returns its length.
func (w *scrubber) quoted(q string) int {
	if w.tells(q) {
		w.text(`"` + Hidden + `"`)
	} else {
		w.text(q)
	}
	return len(q)
}

// parameter writes the parameter of v that begins with the semicolon at i, its value only
// if it is secret, and returns where to go on.
func (w *scrubber) parameter(v string, i int, angle bool) int {
	name := skipLWS(v, i+1)
	end := name + until(v[name:], "=;>,<\"?& \t\r\n")
	w.text(v[i:end])
	if !w.secret(v[name:end]) {
		return end
	}
	at := skipLWS(v, end)
	if at == len(v) || v[at] != '=' {
		return end
	}
	next := valueEnd(v, at+1, angle)
	w.text("=" + Hidden)
	w.find(v[name:end], v[at+1:next])
	return next
}

// find keeps the value of a secret parameter, to hide it elsewhere. pn-param is the name
// of an app, which others may have, too.
func (w *scrubber) find(name, value string) {
	value = sipmsg.Unquote(strings.TrimSpace(value))
	if strings.EqualFold(name, "pn-param") || len(value) < leastFound {
		return
	}
	w.found = append(w.found, value)
	if u := sipmsg.Unescape(value); u != value {
		w.found = append(w.found, u)
	}
}

// valueEnd returns where the value of a parameter ends that begins at i: at the next
// parameter or the end of the URI, and of what it belongs to if something else certainly
// follows.
func valueEnd(v string, i int, angle bool) int {
	for i < len(v) {
		switch v[i] {
		case ';', '>':
			return i
		case '?':
			if angle {
				return i
			}
		case ',':
			if next := skipLWS(v, i+1); !angle && next < len(v) && (v[next] == '<' || v[next] == '"') {
				return i
			}
		case '<':
			return len(v)
		case '"':
			n := quotedEnd(v[i:])
			if n == 0 {
				return len(v)
			}
			i += n
			continue
		}
		i++
	}
	return len(v)
}

// uriHeaders writes the names of the header fields of a URI, which begin with the
// question mark at i, and those values that cannot be secret. It returns where to go on.
func (w *scrubber) uriHeaders(v string, i int, angle bool) int {
	ends := ">"
	if !angle {
		ends = "> \t"
	}
	end := i + until(v[i:], ends)
	for n, h := range strings.Split(v[i+1:end], "&") {
		w.text([]string{"?", "&"}[min(n, 1)])
		name, value, ok := strings.Cut(h, "=")
		switch {
		case !ok && !w.tells(h) && !strings.Contains(h, "%"):
			w.text(h)
		case strings.ContainsAny(name, "%;:"):
			w.text(Hidden)
		case harmless(name) && !w.tells(value):
			w.text(h)
		default:
			w.text(name + "=" + Hidden)
		}
	}
	return end
}

// harmless reports whether a header field in a URI is one that is looked at in calls that
// are sent on, and holds no secret.
func harmless(name string) bool {
	return strings.EqualFold(name, "Replaces") || strings.EqualFold(name, "Reason") || strings.EqualFold(name, "Privacy")
}

// hasHeaders reports whether at i of v, behind a question mark, a header field of a URI
// begins, rather than this being the end of a question. nameEnd ends its name.
func hasHeaders(v string, i int, nameEnd *ahead) bool {
	n := nameEnd.next(v, i)
	return n > i && n < len(v) && v[n] == '='
}

// An ahead looks for the next of some characters in a text. Asked for one place behind
// the other it looks at each character once.
type ahead struct {
	chars    string
	from, at int // the next behind from is at
}

// next returns the offset in v of the next of the characters, from i on, or the length of
// v. v is the same in each call.
func (a *ahead) next(v string, i int) int {
	if i < a.from || i > a.at || a.at == 0 {
		a.from, a.at = i, i+until(v[i:], a.chars)
	}
	return a.at
}

// scheme returns the length of "sip:" or "sips:" at the start of s, 0 if neither is there.
func scheme(s string) int {
	for _, p := range []string{"sip:", "sips:"} {
		if len(s) >= len(p) && strings.EqualFold(s[:len(p)], p) {
			return len(p)
		}
	}
	return 0
}

// user writes the scheme at i and the user part behind it, without a password, and
// returns where to go on. userEnd ends the user part.
func (w *scrubber) user(v string, i int, m mode, userEnd *ahead) int {
	start := i + scheme(v[i:])
	w.text(v[i:start])
	// RFC 4475 §3.1.1.9: the first @ ends the user part, whatever stands before it.
	at := userEnd.next(v, start)
	if at == len(v) || v[at] != '@' {
		return start
	}
	name, password, has := strings.Cut(v[start:at], ":")
	if m == modeRoute || sealed(bare(name)) || w.tells(name) {
		name = Hidden
	}
	w.text(name)
	if has {
		w.text(":" + Hidden)
		w.find("", password)
	}
	return at
}

// leastSealed is shorter than any token of ours, and longer than names.
const leastSealed = 40

// sealed reports whether a user part looks like a token of package purr.
func sealed(name string) bool {
	if len(name) < leastSealed {
		return false
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// secret reports whether a parameter has a value to be hidden.
func (w *scrubber) secret(name string) bool {
	name = bare(name)
	if strings.HasPrefix(name, "pn-") {
		// Which push service a phone uses is no secret, and often asked for.
		return name != "pn-provider"
	}
	// RFC 8599 §8.3.4: the feature capability by which a PURR is told.
	if strings.HasSuffix(name, "sip.pnspurr") {
		return true
	}
	for _, p := range w.secrets.Params {
		if strings.EqualFold(name, p) {
			return true
		}
	}
	return false
}

// tells reports whether text, behind whatever escapes, speaks of something secret.
func (w *scrubber) tells(text string) bool {
	text = bare(text)
	if strings.Contains(strings.ReplaceAll(text, "pn-provider", ""), "pn-") {
		return true
	}
	for _, word := range []string{"pnspurr", "authorization", "response", "nonce"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	for _, p := range w.secrets.Params {
		if strings.Contains(text, strings.ToLower(p)+"=") {
			return true
		}
	}
	// A password in a URI.
	for rest := text; ; {
		i := strings.Index(rest, "sip")
		if i < 0 {
			return false
		}
		rest = rest[i:]
		n := scheme(rest)
		if n > 0 {
			user, _, ok := strings.Cut(rest[n:], "@")
			switch {
			case !ok:
				return false // There is none behind, either.
			case strings.Contains(user, ":"):
				return true
			}
		}
		rest = rest[max(n, 1):]
	}
}

// maxNested is how many escapes may be inside each other; nobody means more.
const maxNested = 8

// bare returns s in lower case, with its escapes and quoted pairs undone as often as there
// are any.
func bare(s string) string {
	for range maxNested {
		if !strings.ContainsAny(s, `%\`) {
			break
		}
		plain := strings.ReplaceAll(sipmsg.Unescape(s), `\`, "")
		if plain == s {
			break
		}
		s = plain
	}
	return strings.ToLower(s)
}

// until returns the offset of the first of chars in s, or the length of s.
func until(s, chars string) int {
	if n := strings.IndexAny(s, chars); n >= 0 {
		return n
	}
	return len(s)
}

func skipLWS(s string, i int) int {
	for i < len(s) && strings.IndexByte(" \t\r\n", s[i]) >= 0 {
		i++
	}
	return i
}

// quotedEnd returns the offset behind the quoted-string at the start of s; 0 if it is not
// closed.
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
