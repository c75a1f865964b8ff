package webpush

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"syscall"
	"time"
)

// errPrivate: the name of an endpoint leads to an address that is not public.
var errPrivate = errors.New("webpush: address is not public")

// guard decides where we may be made to send requests: endpoints are chosen by
// phones (RFC 8599 §13).
type guard struct {
	hosts   []string
	private bool
}

func newGuard(hosts []string, private bool) (guard, error) {
	if hosts == nil {
		hosts = DefaultHosts()
	}
	g := guard{private: private}
	for _, h := range hosts {
		if _, err := path.Match(h, ""); err != nil || h == "" {
			return guard{}, fmt.Errorf("webpush: allowed host %q is no pattern", h)
		}
		g.hosts = append(g.hosts, strings.ToLower(h))
	}
	return g, nil
}

// check reads an endpoint and refuses what is not a push service by the look of
// its URL. Errors do not quote it.
func (g guard) check(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		return nil, errors.New("webpush: endpoint is no URL")
	case u.Scheme != "https" || u.Opaque != "":
		return nil, errors.New("webpush: endpoint is not https")
	case u.User != nil || u.Fragment != "":
		return nil, errors.New("webpush: endpoint has user or fragment")
	case u.Port() != "" && u.Port() != "443" && !g.private:
		return nil, errors.New("webpush: endpoint has a port of its own")
	case u.Hostname() == "" || strings.ContainsRune(u.Hostname(), '/'):
		return nil, errors.New("webpush: endpoint has no host")
	}
	// The guard, the lane and VAPID's audience are to agree on the origin.
	u.Host = strings.ToLower(u.Host)
	for _, pattern := range g.hosts {
		if ok, _ := path.Match(pattern, u.Hostname()); ok {
			return u, nil
		}
	}
	return nil, errors.New("webpush: endpoint's host is not allowed")
}

// origin is the ASCII form of RFC 6454 §6.2, VAPID's audience.
func origin(u *url.URL) string {
	return u.Scheme + "://" + strings.TrimSuffix(u.Host, ":443")
}

// dialer checks the address at the last moment, when names are resolved: a name
// may have another address each time it is asked for.
func (g guard) dialer() *net.Dialer {
	return &net.Dialer{
		Timeout: 5 * time.Second,
		Control: func(_, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return errPrivate
			}
			if !g.private && !public(ap.Addr()) {
				return errPrivate
			}
			return nil
		},
	}
}

// special are the ranges that net/netip does not know as special: they belong
// to nobody, to the network's operator, or wrap an IPv4 address.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),   // shared by carriers
	netip.MustParsePrefix("192.0.0.0/24"),    // protocols
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, broadcast
	netip.MustParsePrefix("2001::/23"),       // protocols, Teredo
	netip.MustParsePrefix("2001:db8::/32"),   // documentation
	netip.MustParsePrefix("2002::/16"),       // 6to4
	netip.MustParsePrefix("3fff::/20"),       // documentation
}

// public reports whether a is an address of the internet.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	// Of IPv6 only 2000::/3 is given out for the internet (RFC 4291 §2.4). What
	// lies outside leads elsewhere: NAT64 and other wrappers of IPv4, local ranges.
	if a.Is6() && a.As16()[0]>>5 != 1 {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
