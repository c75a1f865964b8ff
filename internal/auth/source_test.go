package auth

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// remote is a Source elsewhere, with what it remembers.
type remote struct {
	*Users
	err        error
	remembered bool
	lookups    int
}

func (r *remote) Lookup(ctx context.Context, realm, user string) (Credentials, error) {
	r.lookups++
	if r.err != nil {
		return Credentials{}, r.err
	}
	return r.Users.Lookup(ctx, realm, user)
}

func (r *remote) Recall(realm, user string) (Credentials, bool, error) {
	if !r.remembered {
		return Credentials{}, false, nil
	}
	return r.Users.Recall(realm, user)
}

// bare hides that a Source remembers.
type bare struct{ Source }

func newUsers(t testing.TB, accounts ...Account) *Users {
	t.Helper()
	u, err := NewUsers("r", accounts)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestSources(t *testing.T) {
	file := newUsers(t, Account{Name: "alice", Password: "x"})
	down := errors.New("database down")
	table := &remote{Users: newUsers(t, Account{Name: "bob", HA1SHA256: SHA256.HA1("bob", "r", "y"), HA1MD5: MD5.HA1("bob", "r", "y")})}
	all := Sources{file, table}
	lookup := func(user string) error {
		_, err := all.Lookup(t.Context(), "r", user)
		return err
	}
	if err := lookup("alice"); err != nil || table.lookups != 0 {
		t.Errorf("a user of the file: %v, %d lookups in the table", err, table.lookups)
	}
	if err := lookup("bob"); err != nil {
		t.Errorf("a user of the table: %v", err)
	}
	if err := lookup("eve"); !errors.Is(err, ErrNoUser) {
		t.Errorf("nobody: %v", err)
	}
	if diff := cmp.Diff([]Algorithm{SHA256, MD5}, all.Algorithms("r")); diff != "" {
		t.Errorf("Algorithms() (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(algorithms(), Sources{file}.Algorithms("r")); diff != "" {
		t.Errorf("Algorithms() of one (-want +got):\n%s", diff)
	}

	for _, tt := range []struct {
		name, user string
		sources    Sources
		remembered bool
		known      bool
		err        error
	}{
		{"in the file", "alice", all, false, true, nil},
		{"not remembered", "bob", all, false, false, nil},
		{"remembered", "bob", all, true, true, nil},
		{"remembered as nobody", "eve", all, true, true, ErrNoUser},
		{"not to be asked", "bob", Sources{file, bare{table}}, true, false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table.remembered = tt.remembered
			c, known, err := tt.sources.Recall("r", tt.user)
			if known != tt.known || !errors.Is(err, tt.err) || (known && err == nil) != (c.SHA256 != "") {
				t.Errorf("Recall(%s) = %v, %v, %v; want %v, %v", tt.user, c, known, err, tt.known, tt.err)
			}
		})
	}

	// A source that cannot say is not one that knows nobody.
	table.err = down
	if err := lookup("eve"); !errors.Is(err, down) {
		t.Errorf("the table is down: %v", err)
	}
	if err := lookup("alice"); err != nil {
		t.Errorf("a user of the file while the table is down: %v", err)
	}
}

// What a Source remembers needs no goroutine, and the fast path is open.
func TestAuthenticate_Recall(t *testing.T) {
	for _, remembered := range []bool{true, false} {
		source := &remote{remembered: remembered}
		a, _ := newAuth(t, func(o *Options) {
			source.Users = o.Source.(*Users)
			o.Source, o.MaxLookups = source, 1
		})
		first := a.Check(t.Context(), register(t), phone, Registrar, noon)
		m := register(t, login{user: "alice", password: "secret"}.answer(t, first))
		if _, ok := recognise(t, a, m, phone, noon); ok != remembered {
			t.Errorf("remembered %v: recognised %v", remembered, ok)
		}
		decided := make(chan Decision, 1)
		a.Authenticate(t.Context(), m, phone, Registrar, noon, func(d Decision) { decided <- d })
		if remembered && len(decided) == 0 {
			t.Error("not decided at once")
		}
		wantDecision(t, <-decided, Allowed, ReasonUser, 0)
		if !a.Knows("example.com", "alice") || a.Knows("example.com", "eve") != !remembered {
			t.Errorf("remembered %v: Knows is wrong", remembered)
		}
		if want := map[bool]int{true: 0, false: 1}[remembered]; source.lookups != want {
			t.Errorf("remembered %v: %d lookups, want %d", remembered, source.lookups, want)
		}
	}
}
