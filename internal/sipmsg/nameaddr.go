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
	err := parseNameAddr(&a, s)
	return a, err
}

// parseNameAddr reads a value without folds or surrounding white space into a.
// On an error a is left as it was.
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
	uri, err := ParseURI(s[i+1 : i+gt])
	if err != nil {
		return err
	}
	params := trim(s[i+gt+1:])
	if err := checkParams(params); err != nil {
		return err
	}
	*a = NameAddr{Display: display, URI: uri, Params: Params(params), raw: s}
	return nil
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
	uri, err := ParseURI(s[:end])
	if err != nil {
		return err
	}
	params := trim(s[end:])
	if err := checkParams(params); err != nil {
		return err
	}
	*a = NameAddr{URI: uri, Params: Params(params), raw: s}
	return nil
}
