package sipmsg

import (
	"errors"
	"strings"
)

var (
	errNameAddr = errors.New("malformed address")
	errQuoted   = errors.New("quoted string is not closed")
	errAddrSpec = errors.New("URI with comma, question mark or semicolon needs angle brackets")
)

// A NameAddr is one value of From, To, Contact, Route, Record-Route or Path: a
// display name, a URI and header parameters (RFC 3261 §20.10). Its parts are
// substrings of the text.
type NameAddr struct {
	// Display is the display name without quotes and quoted pairs.
	Display string
	URI     URI
	// Params are the header parameters. Without angle brackets around the URI,
	// everything behind a semicolon is one of them (§20).
	Params Params

	raw string
}

// String returns the value as written, folds replaced by one space.
func (a NameAddr) String() string { return a.raw }

// Tag returns the tag parameter; "" if there is none.
func (a NameAddr) Tag() string {
	tag, _ := a.Params.Get("tag")
	return tag
}

// ParseNameAddr reads one name-addr or addr-spec with its header parameters.
func ParseNameAddr(s string) (NameAddr, error) {
	s = trim(unfold(s))
	var a NameAddr
	if err := parseNameAddr(&a, s); err != nil {
		return NameAddr{}, err
	}
	return a, nil
}

// parseNameAddr reads a value without folds or surrounding white space into a.
// On an error a is of no use.
func parseNameAddr(a *NameAddr, s string) error {
	var display string
	i := 0
	if s != "" && s[0] == '"' {
		if i = quotedEnd(s); i == 0 {
			return errQuoted
		}
		display = Unquote(s[:i])
		// RFC 4475 §3.1.1.6: white space before the bracket is not required.
		i = skipLWS(s, i)
		if i == len(s) || s[i] != '<' {
			return errNameAddr
		}
	} else if n := run(s, classDisplay); n < len(s) && s[n] == '<' {
		display, i = trimRight(s[:n]), n
	} else {
		return parseAddrSpec(a, s)
	}
	gt := strings.IndexByte(s[i:], '>')
	if gt < 0 {
		return errNameAddr
	}
	return a.finish(s, display, s[i+1:i+gt], s[i+gt+1:])
}

// parseAddrSpec reads a URI without brackets and the header parameters behind
// it.
func parseAddrSpec(a *NameAddr, s string) error {
	end := 0
	for end < len(s) && s[end] != ';' && !isLWS(s[end]) {
		// RFC 3261 §20: such a URI must stand in brackets (RFC 4475 §3.1.2.13).
		if s[end] == '?' || s[end] == ',' {
			return errAddrSpec
		}
		end++
	}
	return a.finish(s, "", s[:end], s[end:])
}

// finish reads the parts of raw.
func (a *NameAddr) finish(raw, display, uri, params string) error {
	if err := parseURI(&a.URI, uri); err != nil {
		return err
	}
	params = trim(params)
	if err := checkParams(params); err != nil {
		return err
	}
	a.Display, a.Params, a.raw = display, Params(params), raw
	return nil
}

// SameContact compares s, the value of a Contact header field, with a contact
// that was read before: its URI as written and its header parameters less q and
// expires. same means that s is one value, well formed, and that contact once
// more; q and expires are to be looked up in timing then.
func SameContact(s, uri, params string) (timing Params, same bool) {
	if rest, ok := cutContact(s, uri, params); ok {
		// Nothing is judged again that was accepted then; only the number of
		// parameters may have grown.
		if checkParams(rest) == nil && Params(rest).EqualWithout("", "q", "expires") && strings.Count(s[len(uri):], ";") <= maxParams {
			return Params(rest), true
		}
	}
	var a NameAddr
	if parseNameAddr(&a, s) != nil || a.URI.raw != uri || !a.Params.EqualWithout(params, "q", "expires") {
		return "", false
	}
	return a.Params, true
}

// cutContact returns what follows the URI in brackets and the parameters in s.
func cutContact(s, uri, params string) (rest string, ok bool) {
	n := len("<>") + len(uri)
	if uri == "" || len(s) < n+len(params) || s[0] != '<' || s[n-1] != '>' || s[1:n-1] != uri || s[n:n+len(params)] != params {
		return "", false
	}
	rest = s[n+len(params):]
	return rest, rest == "" || rest[0] == ';'
}
