package sipmsg

import "strings"

// Equal reports whether u and v are the same URI by RFC 3261 §19.1.4. The
// relation is reflexive and symmetric, but not transitive: it is no hash key.
// URIs of other schemes are equal if they are written alike but for the case of
// the scheme.
func (u URI) Equal(v URI) bool {
	if !equalFold(u.Scheme, v.Scheme) {
		return false
	}
	if !u.IsSIP() {
		return u.Opaque == v.Opaque
	}
	// The user part is compared with case, everything else without.
	return equalUnits(u.User, v.User, false) &&
		u.hasPassword() == v.hasPassword() && equalUnits(u.Password, v.Password, false) &&
		equalHost(u.Host, v.Host) &&
		// A missing port never equals 5060: it may resolve to another one.
		(u.Port == "") == (v.Port == "") && u.PortNum() == v.PortNum() &&
		paramsMatch(u, v) && paramsMatch(v, u) &&
		headersMatch(u.Headers, v.Headers)
}

// hasPassword tells "user:@host" from "user@host".
func (u URI) hasPassword() bool {
	end := len(u.Scheme) + 1 + len(u.User)
	return u.Password != "" || u.User != "" && end < len(u.raw) && u.raw[end] == ':'
}

func equalHost(a, b string) bool {
	if equalFold(a, b) {
		return true
	}
	if a == "" || b == "" || a[0] != '[' || b[0] != '[' {
		return false
	}
	// One IPv6 address can be written in many ways.
	x, ok := hostAddr(a)
	y, ok2 := hostAddr(b)
	return ok && ok2 && x == y
}

// paramsMatch reports whether each parameter of u is matched by v.
func paramsMatch(u, v URI) bool {
	for p := u.Params; p != ""; {
		var name string
		name, _, _, p = cutURIParam(p)
		if name == "" {
			continue
		}
		// Of a repeated parameter only the first one counts.
		value, _ := u.Param(name)
		other, ok := v.Param(name)
		switch {
		case ok && !equalUnits(value, other, true):
			return false
		case !ok && decidesAlone(name):
			return false
		}
	}
	return true
}

// decidesAlone reports whether a parameter that only one of the URIs has makes
// them unequal. RFC 3261 §19.1.4 names user, ttl, method and maddr; transport
// follows from its rule on default values and from its examples.
func decidesAlone(name string) bool {
	for _, n := range [...]string{"transport", "user", "ttl", "method", "maddr"} {
		if equalUnits(name, n, true) {
			return true
		}
	}
	return false
}

// headersMatch reports whether both URIs have the same headers in any order. Of
// a name that occurs several times, the values must match in order.
func headersMatch(a, b string) bool {
	if a == "?" {
		a = ""
	}
	if b == "?" {
		b = ""
	}
	if strings.Count(a, "&") != strings.Count(b, "&") || (a == "") != (b == "") {
		return false
	}
	for rest := a; rest != ""; {
		before := len(a) - len(rest)
		var name, value string
		name, value, rest = cutURIHeader(rest)
		nth := countHeader(a[:before], name)
		other, ok := nthHeader(b, name, nth)
		if !ok || !equalUnits(value, other, true) {
			return false
		}
	}
	return true
}

func countHeader(h, name string) (count int) {
	for h != "" {
		var n string
		n, _, h = cutURIHeader(h)
		if equalUnits(n, name, true) {
			count++
		}
	}
	return count
}

func nthHeader(h, name string, nth int) (value string, ok bool) {
	for h != "" {
		var n, v string
		n, v, h = cutURIHeader(h)
		if equalUnits(n, name, true) {
			if nth == 0 {
				return v, true
			}
			nth--
		}
	}
	return "", false
}

// equalUnits compares two texts in which a character that is not reserved equals
// its escaped form (RFC 3261 §19.1.4 with RFC 2396 §2.2).
func equalUnits(a, b string, fold bool) bool {
	if a == b {
		return true
	}
	for a != "" && b != "" {
		var x, y unit
		x, a = cutUnit(a)
		y, b = cutUnit(b)
		if fold {
			x, y = x.fold(), y.fold()
		}
		if x != y {
			return false
		}
	}
	return a == "" && b == ""
}

// A unit is a character, plus escapedUnit if it was written as an escape that
// means something else than the character itself.
type unit uint16

const escapedUnit unit = 0x100

func (x unit) fold() unit { return x&escapedUnit | unit(lower(byte(x))) }

// cutUnit takes one unit off s. An escaped "%" stays distinct from a "%" that
// starts no escape: unescaping is never done twice (RFC 4475 §3.1.1.3).
func cutUnit(s string) (unit, string) {
	c, ok := unescapeAt(s, 0)
	if !ok {
		return unit(s[0]), s[1:]
	}
	if c == '%' || strings.IndexByte(";/?:@&=+$,", c) >= 0 {
		return escapedUnit | unit(c), s[3:]
	}
	return unit(c), s[3:]
}
