package guard

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestScreen(t *testing.T) {
	scanners := []string{"friendly-scanner", "SIPVicious"}
	tests := []struct {
		name   string
		accept Accept
		source string
		uri    string
		more   []string
		drop   bool
	}{
		{"a phone", AnyHost, "198.51.100.7", "sip:alice@example.com", []string{"User-Agent: Linphone/5.2"}, false},
		{"no User-Agent", AnyHost, "198.51.100.7", "sip:alice@example.com", nil, false},
		{"a scanner", AnyHost, "198.51.100.7", "sip:alice@example.com", []string{"User-Agent: friendly-scanner"}, true},
		{"a scanner in other letters, among others", AnyHost, "198.51.100.7", "sip:alice@example.com", []string{"User-Agent: My sipvicious/0.3"}, true},
		{"a scanner far behind", AnyHost, "198.51.100.7", "sip:alice@example.com", []string{"User-Agent: " + strings.Repeat("x", 300) + "sipvicious"}, false},
		{"a scanner that is exempt", AnyHost, "192.0.2.99", "sip:alice@example.com", []string{"User-Agent: friendly-scanner"}, false},
		{"any host", AnyHost, "198.51.100.7", "sip:100@203.0.113.1", nil, false},
		{"own: a domain", OwnHosts, "198.51.100.7", "sip:alice@example.com", nil, false},
		{"own: a route", OwnHosts, "198.51.100.7", "sip:+1555@PSTN.example.com", nil, false},
		{"own: our address", OwnHosts, "198.51.100.7", "sip:100@192.0.2.1", nil, false},
		{"own: a port that is not ours", OwnHosts, "198.51.100.7", "sip:100@192.0.2.1:5070", nil, true},
		{"own: another address", OwnHosts, "198.51.100.7", "sip:100@203.0.113.1", nil, true},
		{"own: no host at all", OwnHosts, "198.51.100.7", "tel:+1555", nil, false},
		{"own: exempt", OwnHosts, "192.0.2.99", "sip:100@203.0.113.1", nil, false},
		{"own: inside a dialog", OwnHosts, "198.51.100.7", "sip:bob@203.0.113.1", []string{"To: <sip:bob@example.com>;tag=2"}, false},
		{"domains: a domain", DomainsOnly, "198.51.100.7", "sip:alice@example.com", nil, false},
		{"domains: a route", DomainsOnly, "198.51.100.7", "sip:+1555@pstn.example.com", nil, false},
		{"domains: our address", DomainsOnly, "198.51.100.7", "sip:100@192.0.2.1", nil, true},
		{"domains: no host at all", DomainsOnly, "198.51.100.7", "tel:+1555", nil, true},
		{"domains: a number that we pass on", DomainsOnly, "198.51.100.7", "tel:112", nil, false},
		{"domains: a call for help at our address", DomainsOnly, "198.51.100.7", "sip:112@192.0.2.1", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, Settings{
				Scanners: scanners, Accept: tt.accept, Routed: []string{"pstn.example.com"},
				Exempt: []netip.Prefix{netip.MustParsePrefix("192.0.2.99/32")},
			})
			got := g.Screen(udp(tt.source), parsed(t, "OPTIONS", tt.uri, tt.more...), time.Now())
			if got != tt.drop {
				t.Errorf("Screen = %t, want %t", got, tt.drop)
			}
			if counted := g.metric("reveille_guard_dropped_total", "") == 1; counted != tt.drop {
				t.Errorf("counted = %t, want %t", counted, tt.drop)
			}
		})
	}
}
