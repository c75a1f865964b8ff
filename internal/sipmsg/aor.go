package sipmsg

import (
	"errors"
	"net/netip"
	"strings"
)

// ErrNotSIPURI is returned where only a sip or sips URI makes sense.
var ErrNotSIPURI = errors.New("sipmsg: not a sip or sips URI")

// CanonicalAOR returns the key of an address-of-record (RFC 3261 §10.3 step 5):
// "sip:user@host", or "sip:host" if the URI has no user. sips counts as sip,
// since both name one user; the host is in lower case; password, port,
// parameters and headers are dropped; the user part is unescaped and then
// escaped no more than necessary. Hence two URIs that name the same AOR have
// the same key, and the key is itself a URI.
func CanonicalAOR(u URI) (string, error) {
	if !u.IsSIP() {
		return "", ErrNotSIPURI
	}
	if s, ok := u.canonical(); ok {
		// A key must not keep a whole message alive.
		return strings.Clone(s), nil
	}
	host := canonicalHost(u.Host)
	if u.User == "" {
		return "sip:" + host, nil
	}
	return "sip:" + escapeUser(Unescape(u.User)) + "@" + host, nil
}

// canonical returns u as it is written if that is the key of its AOR already,
// as with nearly all phones. That a key is not recognised does no harm.
func (u URI) canonical() (aor string, ok bool) {
	if len(u.raw) != len("sip:@")+len(u.User)+len(u.Host) || u.Scheme != "sip" || !all(u.User, classUser) {
		return "", false
	}
	// Not a name: an address may be written in several ways.
	if c := u.Host[0]; c == '[' || c >= '0' && c <= '9' || u.Host[len(u.Host)-1] == '.' {
		return "", false
	}
	for i := range len(u.Host) {
		if lower(u.Host[i]) != u.Host[i] {
			return "", false
		}
	}
	return u.raw, true
}

// canonicalHost returns a host name in lower case without the final dot, and an
// IPv6 address in its shortest form.
func canonicalHost(host string) string {
	if addr, ok := hostAddr(host); ok {
		return hostOf(addr)
	}
	if trimmed := strings.TrimRight(host, "."); trimmed != "" {
		host = trimmed
	}
	return lowerString(host)
}

// hostOf writes an address as the host of a URI or sent-by.
func hostOf(addr netip.Addr) string {
	if addr.Is6() {
		return "[" + addr.String() + "]"
	}
	return addr.String()
}
