package configs

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
)

// required reports a key that has no default and was not given.
func (l *loader) required(path, hint string) {
	// A value of the wrong type, or an empty entry, was reported already.
	if l.nodes[path] == nil && !l.complained(parent(path)) {
		l.errorAt(path, "is missing", hint)
	}
}

var errHostPort = errors.New("no address and port")

// parseHostPort reads an address to bind to: 192.0.2.7:5060, [::]:5060, :5060.
func parseHostPort(s string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return netip.AddrPort{}, errHostPort
	}
	if host == "" {
		host = "::"
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, errHostPort
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, errHostPort
	}
	return netip.AddrPortFrom(addr, uint16(n)), nil
}

func (l *loader) checkHostPort(path, s string) (netip.AddrPort, bool) {
	if s == "" {
		l.required(path, "write 127.0.0.1:5060, or :5060 for every address")
		return netip.AddrPort{}, false
	}
	addr, err := parseHostPort(s)
	if err != nil {
		l.errorAt(path, fmt.Sprintf("%q is no address with a port", s), "write 127.0.0.1:5060, [::1]:5060, or :5060 for every address")
		return netip.AddrPort{}, false
	}
	return addr, true
}

// checkPrefix reports a network that is missing or has bits behind its mask.
func (l *loader) checkPrefix(path string, p netip.Prefix) bool {
	if !p.IsValid() {
		l.required(path, "write 192.0.2.0/24")
		return false
	}
	if p != p.Masked() {
		l.errorAt(path, fmt.Sprintf("%s has bits behind the mask", p), "did you mean "+p.Masked().String()+"?")
		return false
	}
	return true
}

// hostOf returns what stands before the port of host or host:port.
func hostOf(s string) string {
	if host, port, err := net.SplitHostPort(s); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return ""
		}
		if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() {
			return "[" + host + "]"
		}
		return host
	}
	return s
}

// hostname is a domain name of RFC 1123 without a final dot.
var hostname = regexp.MustCompile(`^([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?)(\.[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?)*$`)

// validHost reports whether s can be the host of a SIP URI: a name, an IPv4
// address, or an IPv6 address in brackets.
func validHost(s string) bool {
	if len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']' {
		addr, err := netip.ParseAddr(s[1 : len(s)-1])
		return err == nil && addr.Is6() && addr.Zone() == ""
	}
	return len(s) <= 253 && hostname.MatchString(s)
}

// checkURL reports a URL that is not absolute or has none of the schemes.
func (l *loader) checkURL(path, s, want string, schemes ...string) {
	u, err := url.Parse(s)
	if err == nil && u.Host != "" {
		if slices.Contains(schemes, u.Scheme) {
			return
		}
	}
	// The URL may hold a password: it is not repeated here.
	l.errorAt(path, "is no URL of the right kind", "write "+want)
}
