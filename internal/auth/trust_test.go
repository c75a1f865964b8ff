package auth

import (
	"net/netip"
	"strings"
	"testing"

	"reveille/flow"
)

// TestIdentify has a trusted peer send requests with and without credentials of
// a user, and looks at both ways.
func TestIdentify(t *testing.T) {
	peer := flow.Flow{Listener: "trunk", Transport: flow.TLS, Remote: netip.MustParseAddrPort("198.51.100.3:5061"), Conn: 1}
	secret := login{user: "alice", password: "secret"}
	names := func(f flow.Flow) []string {
		if f.Remote == peer.Remote {
			return []string{"other.test", "gw.example.net"}
		}
		return nil
	}
	address := []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	for _, tt := range []struct {
		name    string
		trusted []netip.Prefix
		names   []string
		order   []Means
		f       flow.Flow
		answer  func(string) string // nil: no credentials
		reason  Reason
	}{
		{name: "address", trusted: address, f: peer, reason: ReasonTrusted},
		{name: "certificate", names: []string{"GW.example.net"}, f: peer, reason: ReasonTrusted},
		{name: "another certificate", names: []string{"gw.example.org"}, f: peer, reason: ReasonNoCredentials},
		{name: "a name on a connection without TLS", names: []string{"gw.example.net"}, f: flow.Flow{Transport: flow.TCP, Remote: peer.Remote, Conn: 1}, reason: ReasonNoCredentials},
		{name: "from elsewhere", trusted: address, names: []string{"gw.example.net"}, f: phone, reason: ReasonNoCredentials},
		{name: "address before credentials", trusted: address, f: peer, answer: strings.Clone, reason: ReasonTrusted},
		{
			name: "credentials before address", trusted: address, order: []Means{ByCredentials, ByAddress},
			f: peer, answer: strings.Clone, reason: ReasonUser,
		},
		{
			name: "wrong credentials before address", trusted: address, order: []Means{ByCredentials, ByAddress},
			f: peer, answer: func(h string) string { return strings.Replace(h, `username="alice"`, `username="eve"`, 1) }, reason: ReasonNoUser,
		},
		{name: "none before address", trusted: address, order: []Means{ByCredentials, ByAddress}, f: peer, reason: ReasonTrusted},
		{name: "none before certificate", names: []string{"gw.example.net"}, order: []Means{ByCredentials, ByCertificate}, f: peer, reason: ReasonTrusted},
		{name: "a means that is off", trusted: address, order: []Means{ByCertificate, ByCredentials}, f: peer, reason: ReasonNoCredentials},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, _ := newAuth(t, func(o *Options) {
				o.Trusted, o.TrustedNames, o.PeerNames, o.IdentifyBy = tt.trusted, tt.names, names, tt.order
			})
			m := register(t)
			if tt.answer != nil {
				m = register(t, tt.answer(secret.answer(t, a.Check(t.Context(), register(t), phone, Registrar, noon))))
			}
			_, recognised := recognise(t, a, m, tt.f, noon)
			d := a.Check(t.Context(), m, tt.f, Registrar, noon)
			if d.Reason != tt.reason || d.Trusted != (tt.reason == ReasonTrusted) {
				t.Errorf("reason %v, trusted %v, want %v", d.Reason, d.Trusted, tt.reason)
			}
			if recognised != (d.Outcome == Allowed) {
				t.Errorf("recognised %v, %v", recognised, d.Reason)
			}
		})
	}
}

func TestTrusts(t *testing.T) {
	peer := flow.Flow{Transport: flow.WSS, Remote: netip.MustParseAddrPort("[2001:db8::7]:443"), Conn: 1}
	names := func(flow.Flow) []string { return []string{"edge.example.com"} }
	for _, tt := range []struct {
		name string
		o    Options
		want bool
	}{
		{"nobody", Options{}, false},
		{"address", Options{Trusted: []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}}, true},
		{"address of a name", Options{TrustedAddr: func(a netip.Addr) bool { return a == peer.Remote.Addr() }}, true},
		{"address of another name", Options{TrustedAddr: func(netip.Addr) bool { return false }}, false},
		{"certificate", Options{TrustedNames: []string{"edge.example.com"}, PeerNames: names}, true},
		{"switched off", Options{TrustedNames: []string{"edge.example.com"}, PeerNames: names, IdentifyBy: []Means{ByAddress, ByCredentials}}, false},
	} {
		a, _ := newAuth(t, func(o *Options) {
			o.Trusted, o.TrustedAddr, o.TrustedNames, o.PeerNames, o.IdentifyBy = tt.o.Trusted, tt.o.TrustedAddr, tt.o.TrustedNames, tt.o.PeerNames, tt.o.IdentifyBy
		})
		if got := a.Trusts(peer); got != tt.want {
			t.Errorf("%s: Trusts() = %v, want %v", tt.name, got, tt.want)
		}
	}
}

// The last rule that matches decides, and what none matches is permitted.
func TestACL(t *testing.T) {
	rule := func(permit bool, prefix string) ACLRule {
		return ACLRule{Permit: permit, Prefix: netip.MustParsePrefix(prefix)}
	}
	deny := func(prefix string) ACLRule { return rule(false, prefix) }
	permit := func(prefix string) ACLRule { return rule(true, prefix) }
	wan := deny("192.0.2.0/24")
	wan.Listener = "wan"
	for _, tt := range []struct {
		name     string
		acl      ACL
		addr     string
		listener string
		want     bool
	}{
		{"no rules", NewACL(), "192.0.2.1", "", true},
		{"no match", NewACL(deny("192.0.2.0/24")), "192.0.3.1", "", true},
		{"denied", NewACL(deny("192.0.2.0/24")), "192.0.2.1", "", false},
		{"a permission behind", NewACL(deny("0.0.0.0/0"), permit("192.0.2.0/24")), "192.0.2.1", "", true},
		{"a permission in front", NewACL(permit("192.0.2.0/24"), deny("0.0.0.0/0")), "192.0.2.1", "", false},
		{"beside the permission", NewACL(deny("0.0.0.0/0"), permit("192.0.2.0/24")), "192.0.3.1", "", false},
		{"an exception of an exception", NewACL(deny("0.0.0.0/0"), permit("192.0.2.0/24"), deny("192.0.2.7/32")), "192.0.2.7", "", false},
		{"permissions alone deny nobody", NewACL(permit("192.0.2.0/24")), "198.51.100.1", "", true},
		{"the other family", NewACL(deny("0.0.0.0/0")), "2001:db8::1", "", true},
		{"IPv6", NewACL(deny("::/0"), permit("2001:db8::/32")), "2001:db9::1", "", false},
		{"a zone", NewACL(deny("fe80::/10")), "fe80::1%eth0", "", false},
		{"a mapped address", NewACL(deny("192.0.2.0/24")), "::ffff:192.0.2.1", "", false},
		{"a mapped prefix", NewACL(deny("::ffff:192.0.2.0/120")), "192.0.2.1", "", false},
		{"bits behind the mask", NewACL(deny("192.0.2.7/24")), "192.0.2.1", "", false},
		{"the rule's listener", NewACL(wan), "192.0.2.1", "wan", false},
		{"another listener", NewACL(wan), "192.0.2.1", "lan", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.acl.Permits(netip.MustParseAddr(tt.addr), tt.listener); got != tt.want {
				t.Errorf("Permits(%s) = %v, want %v", tt.addr, got, tt.want)
			}
		})
	}
}

// Credentials that cannot be read are not those of a trusted peer.
func TestIdentify_MalformedCredentials(t *testing.T) {
	a, _ := newAuth(t, func(o *Options) {
		o.Trusted, o.IdentifyBy = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, []Means{ByCredentials, ByAddress}
	})
	m := register(t, `Authorization: Digest username="alice`)
	wantDecision(t, a.Check(t.Context(), m, phone, Registrar, noon), Refused, ReasonMalformed, 400)
	if _, ok := recognise(t, a, m, phone, noon); ok {
		t.Error("recognised")
	}
	ack := message(t, "ACK", "sip:bob@example.com", "sip:alice@example.com", "sip:bob@example.com")
	wantDecision(t, a.Check(t.Context(), ack, phone, Proxy, noon), Allowed, ReasonTrusted, 0)
}
