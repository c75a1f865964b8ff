package sipmsg

import "strings"

// This file is about the parameters by which phones say how they are woken: those of
// RFC 8599 §8.7, and what apps add to them. They are between the phone and the
// server that wakes it (§13).

// IsPush reports whether a URI or Contact parameter is about waking the phone that
// wrote it: pn-provider, pn-prid and whatever else begins with pn-, and those in
// also, in any case. pn-purr is only if it is in also: it is made to be shown (§6.2).
func IsPush(name string, also []string) bool {
	if strings.Contains(name, "%") {
		name = Unescape(name)
	}
	const prefix = "pn-"
	if len(name) >= len(prefix) && equalFold(name[:len(prefix)], prefix) && !equalFold(name, "pn-purr") {
		return true
	}
	return contains(also, name)
}

// HasPush reports whether the URI has a parameter of IsPush.
func (u URI) HasPush(also []string) bool {
	for p := u.Params; p != ""; {
		var name string
		if name, _, _, p = cutURIParam(p); IsPush(name, also) {
			return true
		}
	}
	return false
}

// WithoutPush returns the URI as written, less the parameters of IsPush.
func (u URI) WithoutPush(also []string) string {
	s := u.String()
	if !u.HasPush(also) {
		return s
	}
	start := len(s) - len(u.Headers) - len(u.Params)
	b := append(make([]byte, 0, len(s)), s[:start]...)
	for p := u.Params; p != ""; {
		name, _, _, rest := cutURIParam(p)
		if !IsPush(name, also) {
			b = append(b, p[:len(p)-len(rest)]...)
		}
		p = rest
	}
	return string(append(b, u.Headers...))
}

// WithoutPush returns the parameters less those of IsPush, each of the others as
// written.
func (p Params) WithoutPush(also []string) Params {
	var names []string
	for name := range p.All() {
		if IsPush(name, also) {
			names = append(names, name)
		}
	}
	if names == nil {
		return p
	}
	return p.Without(names...)
}

// Telling returns the names of the URI parameters that hold the token prid, whatever
// they are called.
func (u URI) Telling(prid string) (names []string) {
	for p := u.Params; p != ""; {
		var name, value string
		if name, value, _, p = cutURIParam(p); HoldsToken(value, prid) {
			names = append(names, name)
		}
	}
	return names
}

// HoldsToken reports whether a parameter's value, as written, holds the token prid
// or is a part of it. What is shorter than eight characters is no token.
func HoldsToken(value, prid string) bool {
	const least = 8
	if len(prid) < least || len(value) < least {
		return false
	}
	if strings.Contains(value, "%") {
		value = Unescape(value)
	}
	return strings.Contains(value, prid) || len(value) >= least && strings.Contains(prid, value)
}
