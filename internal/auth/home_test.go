package auth

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reveille/flow"
	"reveille/usrloc"
)

// TestIdentify_ByName: a user who needs no password at an address is known there by
// From or To, and nowhere else.
func TestIdentify_ByName(t *testing.T) {
	from := func(addr string) flow.Flow {
		return flow.Flow{Transport: flow.UDP, Remote: netip.MustParseAddrPort(addr)}
	}
	desk, away := from("198.51.100.7:5060"), from("198.51.100.8:5060")
	const alice, door, noor = "sip:alice@example.com", "sip:do%6Fr@example.com", "sip:noor@example.com"
	for _, tt := range []struct {
		name             string
		method, from, to string
		f                flow.Flow
		role             Role
		order            []Means
		user             string // "" for a challenge
	}{
		{name: "From of a call", method: "INVITE", from: door, to: alice, f: desk, role: Proxy, user: "door"},
		{name: "From of a REGISTER", method: "REGISTER", from: door, to: alice, f: desk, user: "door"},
		{name: "To of a REGISTER", method: "REGISTER", from: alice, to: door, f: desk, user: "door"},
		{name: "To of a call is who is called", method: "INVITE", from: alice, to: door, f: desk, role: Proxy},
		{name: "elsewhere", method: "REGISTER", from: door, to: door, f: away},
		{name: "a user with a password", method: "REGISTER", from: alice, to: alice, f: desk},
		{name: "a user with both", method: "REGISTER", from: noor, to: noor, f: desk, user: "noor"},
		{name: "nobody", method: "REGISTER", from: "sip:eve@example.com", to: "sip:eve@example.com", f: desk},
		{name: "the name in another realm", method: "REGISTER", from: "sip:door@example.org", to: "sip:door@example.org", f: desk},
		{name: "the name in a foreign domain", method: "REGISTER", from: "sip:door@example.test", to: "sip:door@example.test", f: desk},
		{name: "only From", method: "REGISTER", from: alice, to: door, f: desk, order: []Means{ByCredentials, ByFrom}},
		{name: "only To", method: "INVITE", from: door, to: alice, f: desk, role: Proxy, order: []Means{ByCredentials, ByTo}},
		{name: "neither", method: "REGISTER", from: door, to: door, f: desk, order: []Means{ByAddress, ByCredentials}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, _ := newAuth(t, func(o *Options) { o.Source, o.IdentifyBy = atHome(t), tt.order })
			d := a.Check(t.Context(), message(t, tt.method, alice, tt.from, tt.to), tt.f, tt.role, noon)
			switch {
			case tt.user == "":
				if d.Outcome != Challenged {
					t.Errorf("decision %v, want a challenge", d.Reason)
				}
			case d.Outcome != Allowed || d.Reason != ReasonNetwork || d.Trusted || d.User.Name != tt.user || d.User.Realm != "example.com":
				t.Errorf("decision %v about %q, want %s", d.Reason, d.User.Name, tt.user)
			case !a.MayUse(d.User, usrloc.AOR("sip:"+tt.user+"@example.com")) || a.MayUse(d.User, alice):
				t.Errorf("%s may use other addresses", tt.user)
			}
		})
	}
}

// atHome has users who need no password at 198.51.100.7.
func atHome(t *testing.T) Source {
	desk := []netip.Prefix{netip.MustParsePrefix("198.51.100.7/32")}
	users, err := NewUsers("example.com", []Account{
		{Name: "alice", Password: "secret"},
		{Name: "door", Networks: desk, AORs: []string{"sip:gate@example.com"}},
		{Name: "noor", Networks: desk, Password: "secret"},
	})
	if err != nil {
		t.Fatal(err)
	}
	// A user without a password takes no algorithm from the others, and logs in by
	// none.
	if got := users.Algorithms("example.com"); !cmp.Equal(got, algorithms()) {
		t.Errorf("Algorithms() = %v", got)
	}
	if p, ok := users.AtHome("example.com", "door", netip.MustParseAddr("::ffff:198.51.100.7")); !ok || len(p.AORs) != 1 {
		t.Errorf("AtHome = %v, %v", p, ok)
	}
	return Sources{bare{users}, users}
}

// TestIdentify_ByNameBeforeCredentials: then even right credentials are not looked
// at, on no way.
func TestIdentify_ByNameBeforeCredentials(t *testing.T) {
	f := flow.Flow{Transport: flow.UDP, Remote: netip.MustParseAddrPort("198.51.100.7:5060")}
	for _, tt := range []struct {
		order []Means
		user  string
	}{{[]Means{ByFrom, ByCredentials}, "noor"}, {[]Means{ByCredentials, ByFrom}, "alice"}} {
		a, _ := newAuth(t, func(o *Options) { o.Source, o.IdentifyBy = atHome(t), tt.order })
		challenge := a.Check(t.Context(), register(t), phone, Registrar, noon)
		answer := login{user: "alice", password: "secret"}.answer(t, challenge)
		m := message(t, "REGISTER", "sip:example.com", "sip:noor@example.com", "sip:alice@example.com", answer)
		if _, ok := recognise(t, a, m, f, noon); ok != (tt.user == "alice") {
			t.Errorf("%v: recognised %v", tt.order, ok)
		}
		if d := a.Check(t.Context(), m, f, Registrar, noon); d.User.Name != tt.user {
			t.Errorf("%v: %q, want %s", tt.order, d.User.Name, tt.user)
		}
	}
}

// TestIdentify_ByNameInAnyCase: where case does not count, it does not in names.
func TestIdentify_ByNameInAnyCase(t *testing.T) {
	f := flow.Flow{Transport: flow.UDP, Remote: netip.MustParseAddrPort("198.51.100.7:5060")}
	for _, fold := range []bool{false, true} {
		a, _ := newAuth(t, func(o *Options) { o.Source, o.FoldUser = atHome(t), fold })
		m := message(t, "REGISTER", "sip:example.com", "sip:Door@example.com", "sip:Door@example.com")
		if d := a.Check(t.Context(), m, f, Registrar, noon); (d.User.Name == "door") != fold {
			t.Errorf("case does not count: %v, decision %v about %q", fold, d.Reason, d.User.Name)
		}
	}
}

// TestIdentify_ByNameBeforePeers: who is a user by name is that user and no peer, on
// no way, though the address is a peer's, too.
func TestIdentify_ByNameBeforePeers(t *testing.T) {
	f := flow.Flow{Transport: flow.UDP, Remote: netip.MustParseAddrPort("198.51.100.7:5060")}
	a, _ := newAuth(t, func(o *Options) {
		o.Source, o.IdentifyBy = atHome(t), []Means{ByTo, ByAddress, ByCredentials}
		o.Trusted = []netip.Prefix{netip.PrefixFrom(f.Remote.Addr(), 32)}
	})
	m := message(t, "REGISTER", "sip:example.com", "sip:noor@example.com", "sip:noor@example.com")
	if d := a.Check(t.Context(), m, f, Registrar, noon); d.Trusted || d.User.Name != "noor" {
		t.Errorf("Check = %+v, want noor", d)
	}
	if _, ok := recognise(t, a, m, f, noon); ok {
		t.Error("recognised as a peer")
	}
}

func TestParseFile_Networks(t *testing.T) {
	accounts, err := ParseFile("f", []byte("users: [{name: door, networks: [198.51.100.7/32, \"2001:db8::/64\"]}]"))
	if err != nil || len(accounts) != 1 || len(accounts[0].Networks) != 2 {
		t.Errorf("ParseFile = %v, %v", accounts, err)
	}
	if _, err := ParseFile("f", []byte("users: [{name: door, networks: [198.51.100.7]}]")); err == nil || !strings.Contains(err.Error(), "no network such as") {
		t.Errorf("ParseFile = %v", err)
	}
}
