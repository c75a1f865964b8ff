package trace

import (
	"slices"
	"strings"
)

// shownCredentials are the parameters of credentials and challenges that say who is asked
// and how, and prove nothing (RFC 7616 §3.3, §3.4).
var shownCredentials = []string{"username", "realm", "uri", "algorithm", "qop", "nc", "stale", "userhash"}

// credentials writes the value of Authorization, WWW-Authenticate and the like. What is no
// Digest, or none that can be read, is hidden but for its scheme.
func (w *scrubber) credentials(v string) {
	name, rest, _ := strings.Cut(v, " ")
	if !strings.EqualFold(name, "Digest") {
		if isToken(name) && rest != "" {
			w.text(name + " ")
		}
		w.text(Hidden)
		return
	}
	list, ok := authParams(rest)
	if !ok {
		w.text(name + " " + Hidden)
		return
	}
	w.text(name)
	for i, p := range list {
		w.text([]string{" ", ", "}[min(i, 1)] + p.name + "=")
		quoted := strings.HasPrefix(p.value, `"`)
		switch shown := slices.ContainsFunc(shownCredentials, func(s string) bool { return strings.EqualFold(s, p.name) }); {
		case shown && quoted && strings.EqualFold(p.name, "uri"):
			w.digestURI(p.value)
		case shown:
			w.value(p.value, modeHeader)
		case quoted:
			w.text(`"` + Hidden + `"`)
		default:
			w.text(Hidden)
		}
	}
}

// digestURI writes the Request-URI that credentials are for, in quotes.
func (w *scrubber) digestURI(q string) {
	if strings.Contains(q, `\`) {
		w.text(`"` + Hidden + `"`)
		return
	}
	w.text(`"`)
	w.value(q[1:len(q)-1], modeURI)
	w.text(`"`)
}

// An authParam is a parameter of credentials, its value with the quotes that it has.
type authParam struct{ name, value string }

// authParams reads name=value, separated by commas. ok is false if v is anything else.
func authParams(v string) (list []authParam, ok bool) {
	for i := 0; ; {
		i = skipLWS(v, i)
		eq := strings.IndexByte(v[i:], '=')
		if eq < 0 {
			return nil, false
		}
		name := strings.TrimRight(v[i:i+eq], " \t")
		if !isToken(name) {
			return nil, false
		}
		start := skipLWS(v, i+eq+1)
		end := start
		if start < len(v) && v[start] == '"' {
			n := quotedEnd(v[start:])
			if n == 0 {
				return nil, false
			}
			end += n
		} else {
			end += until(v[start:], ", \t\"")
		}
		list = append(list, authParam{name, v[start:end]})
		switch i = skipLWS(v, end); {
		case i == len(v):
			return list, true
		case v[i] != ',':
			return nil, false
		}
		i++
	}
}

// isToken reports whether s is a token (RFC 3261 §25.1).
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && strings.IndexByte("-.!%*_+`'~", s[i]) < 0 {
			return false
		}
	}
	return s != ""
}
