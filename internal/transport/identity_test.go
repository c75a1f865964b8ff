package transport

import (
	"crypto/x509"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reveille/internal/tlscert/certtest"
)

func TestIdentities_RFC5922_7_1(t *testing.T) {
	for _, tc := range []struct {
		name string
		cert *x509.Certificate
		want []string
	}{
		{name: "DNS names", cert: certtest.Template(t, "Example.com", "sip.example.com."), want: []string{"example.com", "sip.example.com"}},
		{name: "a SIP URI hides DNS names", cert: certtest.Template(t, "host.example.com", "sip:Example.com"), want: []string{"example.com"}},
		{name: "port and parameters do not count", cert: certtest.Template(t, "SIP:example.com:5061;transport=tls"), want: []string{"example.com"}},
		{name: "a person is no domain", cert: certtest.Template(t, "sip:alice@example.com"), want: nil},
		{name: "other schemes", cert: certtest.Template(t, "sips:example.com", "https://example.com", "urn:example:com"), want: nil},
		{name: "a person beside a DNS name", cert: certtest.Template(t, "sip:alice@example.com", "example.com"), want: []string{"example.com"}},
		{name: "addresses are no domains", cert: certtest.Template(t, "192.0.2.1"), want: nil},
		{name: "nothing", cert: &x509.Certificate{}, want: nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, identities(tc.cert)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestVouchesFor_RFC5922_7_2(t *testing.T) {
	for _, tc := range []struct {
		name string
		cert *x509.Certificate
		yes  []string
		no   []string
	}{
		{name: "names", cert: certtest.Template(t, "example.com"), yes: []string{"example.com", "EXAMPLE.com", "example.com."}, no: []string{"foo.example.com", "com", "", "xample.com", "192.0.2.1"}},
		{name: "wildcards", cert: certtest.Template(t, "*.example.com", ".example.com"), no: []string{"foo.example.com", "example.com"}},
		{name: "addresses", cert: certtest.Template(t, "192.0.2.1", "2001:db8::1"), yes: []string{"192.0.2.1", "2001:db8::1", "[2001:db8::1]", "::ffff:192.0.2.1"}, no: []string{"192.0.2.2", "2001:db8::2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, name := range tc.yes {
				if !vouchesFor(tc.cert, name) {
					t.Errorf("vouchesFor(%q) = false", name)
				}
			}
			for _, name := range tc.no {
				if vouchesFor(tc.cert, name) {
					t.Errorf("vouchesFor(%q) = true", name)
				}
			}
		})
	}
}
