package transport

import (
	"crypto/x509"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// identities returns the SIP domains that a certificate is for, in lower case
// (RFC 5922 §7.1). A common name is not looked at: nobody may issue a
// certificate without subjectAltName any more.
func identities(cert *x509.Certificate) []string {
	var names []string
	for _, u := range cert.URIs {
		if name := sipDomain(u); name != "" {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		// RFC 5922 §7.1: DNS names count only if no SIP URI does.
		return names
	}
	for _, name := range cert.DNSNames {
		_, name = parseHost(name)
		names = append(names, name)
	}
	return names
}

// sipDomain returns the domain that a URI of a certificate stands for, or
// nothing if it stands for none (RFC 5922 §7.1).
func sipDomain(u *url.URL) string {
	// A URI with a user part names a person, not a domain. url.Parse has put the
	// scheme in lower case.
	if u.Scheme != "sip" || u.Opaque == "" || strings.Contains(u.Opaque, "@") {
		return ""
	}
	host, _, _ := strings.Cut(u.Opaque, ";")
	if name, port, ok := strings.Cut(host, ":"); ok && port != "" {
		host = name
	}
	_, name := parseHost(host)
	return name
}

// vouchesFor reports whether a certificate is for name, a domain or an IP
// address. RFC 5922 §7.2: names are compared as a whole, so that no wildcard
// stands for another name.
func vouchesFor(cert *x509.Certificate, name string) bool {
	addr, domain := parseHost(name)
	if !addr.IsValid() {
		return slices.Contains(identities(cert), domain)
	}
	for _, ip := range cert.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok && a.Unmap() == addr {
			return true
		}
	}
	return false
}
