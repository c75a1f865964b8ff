// Package authtest is the conformance suite of an auth.Source: every sentence of
// the contract as a test. Each back end runs it.
package authtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reveille/internal/auth"
	"reveille/usrloc"
)

// Realm is where all users of the suite log in.
const Realm = "example.com"

// A Factory returns a source that holds these accounts, all of which have the
// same kinds of proof, and cleans up after it with t.Cleanup. kill makes what is
// asked go away: later Lookups must fail. It is nil for a source that has all it
// knows in memory.
type Factory func(t *testing.T, accounts []auth.Account) (s auth.Source, kill func())

// Run runs the suite.
func Run(t *testing.T, factory Factory) {
	passwords := []auth.Account{
		{Name: "alice", Realm: Realm, Password: "secret", AORs: []string{"sip:sales@example.com", "support@example.com"}, MaxContacts: 3, DisplayName: "Alice Ä."},
		{Name: "bob", Realm: Realm, Password: "p'\"\\:{user}ß"},
	}
	hashes := []auth.Account{{Name: "carol", Realm: Realm, HA1MD5: auth.MD5.HA1("carol", Realm, "x")}}
	t.Run("Password", func(t *testing.T) { testPassword(t, factory, passwords) })
	t.Run("Hash", func(t *testing.T) { testHash(t, factory, hashes) })
	t.Run("NoUser", func(t *testing.T) { testNoUser(t, factory, passwords) })
	t.Run("Concurrent", func(t *testing.T) { testConcurrent(t, factory, passwords) })
	t.Run("CannotSay", func(t *testing.T) { testCannotSay(t, factory, passwords) })
}

// testPassword: of a password all hashes follow, and what else is known comes
// along.
func testPassword(t *testing.T, factory Factory, accounts []auth.Account) {
	s, _ := factory(t, accounts)
	want := map[string]auth.Credentials{}
	for _, a := range accounts {
		want[a.Name] = auth.HashPassword(Realm, a.Name, a.Password)
	}
	alice := want["alice"]
	alice.Profile = auth.Profile{AORs: []usrloc.AOR{"sip:sales@example.com", "sip:support@example.com"}, MaxContacts: 3, DisplayName: "Alice Ä."}
	want["alice"] = alice
	for name, w := range want {
		// Twice: what is remembered is the same.
		for range 2 {
			got, err := s.Lookup(t.Context(), Realm, name)
			if err != nil {
				t.Fatalf("Lookup(%q): %v", name, err)
			}
			if d := cmp.Diff(w, got); d != "" {
				t.Errorf("Lookup(%q) (-want +got):\n%s", name, d)
			}
		}
	}
	if d := cmp.Diff([]auth.Algorithm{auth.SHA512256, auth.SHA256, auth.MD5}, s.Algorithms(Realm)); d != "" {
		t.Errorf("Algorithms (-want +got):\n%s", d)
	}
}

// testHash: with a hash only its algorithm can be offered.
func testHash(t *testing.T, factory Factory, accounts []auth.Account) {
	s, _ := factory(t, accounts)
	got, err := s.Lookup(t.Context(), Realm, accounts[0].Name)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(auth.Credentials{MD5: accounts[0].HA1MD5}, got); d != "" {
		t.Errorf("Lookup (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]auth.Algorithm{auth.MD5}, s.Algorithms(Realm)); d != "" {
		t.Errorf("Algorithms (-want +got):\n%s", d)
	}
}

// testNoUser: names are compared byte by byte, and nothing that can be sent as
// one is anything but a name.
func testNoUser(t *testing.T, factory Factory, accounts []auth.Account) {
	s, _ := factory(t, accounts)
	for _, name := range []string{
		"nobody", "Alice", "ALICE", "alice ", " alice", "alicé", "alice\x00", "", "%", "_lice", "alice%",
		"' OR '1'='1", "alice' -- ", "\"alice\"", "alice\\", "{user}", "$1", "?", "alice;DROP TABLE subscriber",
		"\xff\xfe", "alice\r\nX: y", strings.Repeat("a", 70_000), "álice", "😀",
	} {
		if _, err := s.Lookup(t.Context(), Realm, name); !errors.Is(err, auth.ErrNoUser) {
			t.Errorf("Lookup(%.40q) = %v, want ErrNoUser", name, err)
		}
	}
	for _, realm := range []string{"example.org", "", "' OR '1'='1"} {
		if _, err := s.Lookup(t.Context(), realm, "alice"); !errors.Is(err, auth.ErrNoUser) {
			t.Errorf("Lookup in realm %q = %v, want ErrNoUser", realm, err)
		}
	}
	if _, err := s.Lookup(t.Context(), Realm, "alice"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// testConcurrent: everybody gets the own answer.
func testConcurrent(t *testing.T, factory Factory, accounts []auth.Account) {
	s, _ := factory(t, accounts)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			name := accounts[i%len(accounts)].Name
			want := auth.HashPassword(Realm, name, accounts[i%len(accounts)].Password)
			if got, err := s.Lookup(t.Context(), Realm, name); err != nil || got.SHA256 != want.SHA256 {
				t.Errorf("Lookup(%q): wrong answer, %v", name, err)
			}
			nobody := fmt.Sprint("nobody", i)
			if _, err := s.Lookup(t.Context(), Realm, nobody); !errors.Is(err, auth.ErrNoUser) {
				t.Errorf("Lookup(%q) = %v", nobody, err)
			}
		})
	}
	wg.Wait()
}

// testCannotSay: a source that cannot say fails; it neither knows nor denies
// anybody.
func testCannotSay(t *testing.T, factory Factory, accounts []auth.Account) {
	s, kill := factory(t, accounts)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Lookup(ended, Realm, "alice"); errors.Is(err, auth.ErrNoUser) {
		t.Errorf("with a context that has ended: %v", err)
	}
	if kill == nil {
		return
	}
	kill()
	for _, name := range []string{"alice", "nobody"} {
		c, err := s.Lookup(t.Context(), Realm, name)
		if err == nil || errors.Is(err, auth.ErrNoUser) {
			t.Errorf("Lookup(%q) without its database = %v", name, err)
		}
		if d := cmp.Diff(auth.Credentials{}, c); d != "" {
			t.Errorf("Lookup(%q) without its database gives something", name)
		}
		for _, a := range accounts {
			if strings.Contains(fmt.Sprint(err), a.Password) {
				t.Errorf("the error shows a password: %v", err)
			}
		}
	}
}
