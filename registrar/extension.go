package registrar

import "strings"

// Extensions are the option tags (RFC 3261 §19.2) that mean something to a
// registrar.
type Extensions uint8

// The option tags.
const (
	ExtPath     Extensions = 1 << iota // path, RFC 3327
	ExtGRUU                            // gruu, RFC 5627
	ExtOutbound                        // outbound, RFC 5626
)

// Has reports whether e has all of x.
func (e Extensions) Has(x Extensions) bool { return e&x == x }

// ParseExtensions reads the value of a Supported header field, a list with
// commas. Other tags are left out.
func ParseExtensions(list string) Extensions {
	var e Extensions
	for more := true; more; {
		var tag string
		tag, list, more = strings.Cut(list, ",")
		e |= extension(strings.Trim(tag, " \t\r\n"))
	}
	return e
}

// extension returns the extension with that tag, 0 for any other.
func extension(tag string) Extensions {
	switch {
	case len(tag) == len("path") && strings.EqualFold(tag, "path"):
		return ExtPath
	case len(tag) == len("gruu") && strings.EqualFold(tag, "gruu"):
		return ExtGRUU
	case len(tag) == len("outbound") && strings.EqualFold(tag, "outbound"):
		return ExtOutbound
	}
	return 0
}

// extensions are those that p lets a phone require.
func (p *Policy) extensions() Extensions {
	var e Extensions
	if p.Path != PathOff {
		e |= ExtPath
	}
	if p.GRUU != nil {
		e |= ExtGRUU
	}
	if p.Outbound.Mode != OutboundOff {
		e |= ExtOutbound
	}
	return e
}

// badExtension is the answer to what a phone requires and does not get (RFC 3261
// §8.2.2.3).
func badExtension(tags ...string) *Refusal {
	r := refuse(420, "Bad Extension")
	r.Unsupported = tags
	return r
}

// extensionRequired is the answer to a phone that lacks what the policy demands
// (RFC 3261 §21.4.16).
func extensionRequired(tag string) *Refusal {
	r := refuse(421, "Extension Required")
	r.Require = tag
	return r
}
