package sipmsg

import (
	"errors"
	"net/netip"
	"strings"
)

var (
	errURI       = errors.New("malformed URI")
	errURIScheme = errors.New("URI has no scheme")
	errURIHost   = errors.New("malformed host")
	errURIPort   = errors.New("malformed port")
	errURIUser   = errors.New("empty user part")
)

// A URI is a parsed URI whose parts are substrings of the text. The zero URI is
// none at all.
//
// Of a sip or sips URI all parts but Opaque are set; of any other URI only
// Scheme and Opaque (RFC 3261 §19.1.1, §25.1).
type URI struct {
	// Scheme as written, in any case.
	Scheme string
	// User as written, escapes included; "" if there is none.
	User string
	// Password as written.
	Password string
	// Host as written; an IPv6 address keeps its brackets.
	Host string
	// Port as written; "" if there is none.
	Port string
	// Params are the URI parameters as written: "" or ";a=b;c".
	Params string
	// Headers are the URI headers as written: "" or "?a=b&c=d".
	Headers string
	// Opaque is what follows the colon of a URI that is neither sip nor sips.
	Opaque string

	raw string
}

// ParseURI reads a sip, sips or any other absolute URI. White space, control
// characters, quotes and angle brackets are errors everywhere; what else a part
// holds is checked only where it decides the meaning.
func ParseURI(s string) (URI, error) {
	var u URI
	if err := parseURI(&u, s); err != nil {
		return URI{}, err
	}
	return u, nil
}

// parseURI reads s into u. On an error u is of no use.
func parseURI(u *URI, s string) error {
	colon := strings.IndexByte(s, ':')
	if colon <= 0 || !isScheme(s[:colon]) {
		return errURIScheme
	}
	if !all(s, classURI) || colon+1 == len(s) {
		return errURI
	}
	*u = URI{Scheme: s[:colon], raw: s}
	rest := s[colon+1:]
	if !u.IsSIP() {
		u.Opaque = rest
		return nil
	}
	// No part behind the user part may hold an "@" without escaping it, so the
	// first one ends the user part even if a ";" or "?" precedes it (RFC 4475
	// §3.1.1.9).
	if at := strings.IndexByte(rest, '@'); at >= 0 {
		u.User, u.Password, _ = strings.Cut(rest[:at], ":")
		if u.User == "" {
			return errURIUser
		}
		rest = rest[at+1:]
	}
	if q := strings.IndexByte(rest, '?'); q >= 0 {
		rest, u.Headers = rest[:q], rest[q:]
	}
	if p := strings.IndexByte(rest, ';'); p >= 0 {
		rest, u.Params = rest[:p], rest[p:]
	}
	if strings.Count(u.Params, ";") > maxParams || strings.Count(u.Headers, "&") >= maxParams {
		return errTooManyParams
	}
	var err error
	if u.Host, u.Port, err = splitHostPort(rest); err != nil {
		return err
	}
	for p := u.Params; p != ""; {
		var name string
		var hasValue bool
		name, _, hasValue, p = cutURIParam(p)
		if name == "" && hasValue {
			return errParam
		}
	}
	return nil
}

func isScheme(s string) bool {
	for i := range len(s) {
		c := lower(s[i])
		alpha := c >= 'a' && c <= 'z'
		if !alpha && (i == 0 || (c < '0' || c > '9') && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return s != ""
}

// splitHostPort reads host [":" port]. The host is a name, an IPv4 address or an
// IPv6 address in brackets; the port, if any, is 0 to 65535: the grammar allows
// 0, and phones behind some gateways register it.
func splitHostPort(s string) (host, port string, err error) {
	end := 0
	if strings.HasPrefix(s, "[") {
		end = strings.IndexByte(s, ']') + 1
		if _, ok := hostAddr(s[:end]); !ok {
			return "", "", errURIHost
		}
	} else {
		for end < len(s) && isHostChar(s[end]) {
			end++
		}
		if end == 0 {
			return "", "", errURIHost
		}
	}
	host = s[:end]
	if end == len(s) {
		return host, "", nil
	}
	if s[end] != ':' {
		return "", "", errURIHost
	}
	port = s[end+1:]
	if _, ok := parseUint(port, 65535); !ok {
		return "", "", errURIPort
	}
	return host, port, nil
}

// isHostChar reports whether c may occur in a host name. The underscore is not
// legal but used in private networks.
func isHostChar(c byte) bool {
	l := lower(c)
	return l >= 'a' && l <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_'
}

// hostAddr reads an IPv4 address or an IPv6 address with or without brackets.
func hostAddr(host string) (netip.Addr, bool) {
	if host == "" {
		return netip.Addr{}, false
	}
	if host[0] == '[' {
		if host[len(host)-1] != ']' {
			return netip.Addr{}, false
		}
		host = host[1 : len(host)-1]
		// RFC 5118 §4.10: the grammar of RFC 3261 allows one colon too many
		// before an embedded IPv4 address.
		host = strings.Replace(host, ":::", "::", 1)
		addr, err := netip.ParseAddr(host)
		return addr, err == nil && addr.Is6()
	}
	// Cheap refusal of names: an address starts with a digit or holds a colon.
	if c := host[0]; (c < '0' || c > '9') && strings.IndexByte(host, ':') < 0 {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(host)
	return addr, err == nil
}

// String returns the URI as written. Of a URI that was not parsed it returns the
// parts put together, unchecked.
func (u URI) String() string {
	if u.raw != "" || u.Scheme == "" {
		return u.raw
	}
	user, port := u.User, u.Port
	if u.Password != "" {
		user += ":" + u.Password
	}
	if user != "" {
		user += "@"
	}
	if port != "" {
		port = ":" + port
	}
	return u.Scheme + ":" + u.Opaque + user + u.Host + port + u.Params + u.Headers
}

// IsZero reports whether u is no URI at all.
func (u URI) IsZero() bool { return u == URI{} }

// IsSIP reports whether the scheme is sip or sips.
func (u URI) IsSIP() bool { return equalFold(u.Scheme, "sip") || equalFold(u.Scheme, "sips") }

// IsSIPS reports whether the scheme is sips.
func (u URI) IsSIPS() bool { return equalFold(u.Scheme, "sips") }

// HostAddr returns the host as an address; ok is false if it is a name.
func (u URI) HostAddr() (addr netip.Addr, ok bool) { return hostAddr(u.Host) }

// PortNum returns the port; 0 if there is none, or if it is written as 0, which
// names none either.
func (u URI) PortNum() uint16 {
	n, _ := parseUint(u.Port, 65535)
	return uint16(n)
}

// Param returns the first URI parameter with that name, in any case and escaped
// or not. The value is as written; a parameter without one yields ("", true).
func (u URI) Param(name string) (value string, ok bool) {
	for p := u.Params; p != ""; {
		var n, v string
		n, v, _, p = cutURIParam(p)
		if n != "" && equalUnits(n, name, true) {
			return v, true
		}
	}
	return "", false
}

// WithoutParams returns the URI as written, less the URI parameters named.
func (u URI) WithoutParams(names ...string) string {
	hit := false
	for _, name := range names {
		if _, ok := u.Param(name); ok {
			hit = true
		}
	}
	s := u.String()
	if !hit {
		return s
	}
	start := len(s) - len(u.Headers) - len(u.Params)
	b := append(make([]byte, 0, len(s)), s[:start]...)
	for p := u.Params; p != ""; {
		name, _, _, rest := cutURIParam(p)
		keep := true
		for _, n := range names {
			if name != "" && equalUnits(name, n, true) {
				keep = false
			}
		}
		if keep {
			b = append(b, p[:len(p)-len(rest)]...)
		}
		p = rest
	}
	return string(append(b, u.Headers...))
}

// WithoutHeaders returns the URI as written, less its URI headers.
func (u URI) WithoutHeaders() string {
	s := u.String()
	return s[:len(s)-len(u.Headers)]
}

// cutURIParam takes one parameter off p, which starts with ";". An empty one,
// as from ";;", has no name.
func cutURIParam(p string) (name, value string, hasValue bool, rest string) {
	p = p[1:]
	if i := strings.IndexByte(p, ';'); i >= 0 {
		p, rest = p[:i], p[i:]
	}
	name, value, hasValue = strings.Cut(p, "=")
	return name, value, hasValue, rest
}

// cutURIHeader takes one header off h, which starts with "?" or "&".
func cutURIHeader(h string) (name, value, rest string) {
	h = h[1:]
	if i := strings.IndexByte(h, '&'); i >= 0 {
		h, rest = h[:i], h[i:]
	}
	name, value, _ = strings.Cut(h, "=")
	return name, value, rest
}
