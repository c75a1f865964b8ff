package auth

import (
	"context"
	"errors"
	"testing"
)

// forgetful is a Source elsewhere, with a memory that may be out of date.
type forgetful struct {
	*Users               // what it remembers
	truth         *Users // what would be said now
	err           error  // instead of that
	again         bool   // it may be asked
	doubts, asked int
}

func (f *forgetful) Doubt(string, string) bool {
	f.doubts++
	return f.again
}

func (f *forgetful) Renew(ctx context.Context, realm, user string) (Credentials, error) {
	f.asked++
	if f.err != nil {
		return Credentials{}, f.err
	}
	return f.truth.Lookup(ctx, realm, user)
}

// TestAuthenticate_NewPassword: a password that was changed where the users are
// works at once, whatever is remembered; a wrong one does not, and while nobody
// can be asked what is remembered holds.
func TestAuthenticate_NewPassword(t *testing.T) {
	users := func(accounts ...Account) *Users {
		u, err := NewUsers("example.com", accounts)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	before := users(Account{Name: "alice", Password: "old"}, Account{Name: "gone", Password: "old"})
	after := users(Account{Name: "alice", Password: "new"}, Account{Name: "come", Password: "new"})
	for _, tt := range []struct {
		name, user, password string
		again                bool
		err                  error
		outcome              Outcome
		reason               Reason
		asked                int
	}{
		{"the new one", "alice", "new", true, nil, Allowed, ReasonUser, 1},
		{"a new user", "come", "new", true, nil, Allowed, ReasonUser, 1},
		{"the old one", "alice", "old", true, nil, Allowed, ReasonUser, 0},
		{"a wrong one", "alice", "x", true, nil, Challenged, ReasonPassword, 1},
		{"of nobody", "eve", "x", true, nil, Challenged, ReasonNoUser, 1},
		{"of a user who is gone", "gone", "x", true, nil, Challenged, ReasonNoUser, 1},
		{"too soon", "alice", "new", false, nil, Challenged, ReasonPassword, 0},
		{"nobody answers", "alice", "new", true, errors.New("away"), Challenged, ReasonPassword, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := users(Account{Name: "carol", Password: "file"})
			source := &forgetful{Users: before, truth: after, err: tt.err, again: tt.again}
			a, _ := newAuth(t, func(o *Options) { o.Source, o.MaxLookups = Sources{file, source}, 1 })
			challenge := a.Check(t.Context(), register(t), phone, Registrar, noon)
			m := register(t, login{user: tt.user, password: tt.password}.answer(t, challenge))
			decided := make(chan Decision, 1)
			a.Authenticate(t.Context(), m, phone, Registrar, noon, func(d Decision) { decided <- d })
			code := 0
			if tt.outcome == Challenged {
				code = 401
			}
			wantDecision(t, <-decided, tt.outcome, tt.reason, code)
			a.Wait()
			if source.asked != tt.asked {
				t.Errorf("asked %d times, want %d", source.asked, tt.asked)
			}
		})
	}
}

// TestSources_Doubt: only the source is doubted that a user is from.
func TestSources_Doubt(t *testing.T) {
	file := newUsers(t, Account{Name: "carol", Password: "file"})
	table := &forgetful{Users: newUsers(t, Account{Name: "alice", Password: "x"}), truth: newUsers(t, Account{Name: "carol", Password: "table"}), again: true}
	all := Sources{file, table}
	for user, want := range map[string]bool{"carol": false, "alice": true, "eve": true} {
		if got := all.Doubt("r", user); got != want {
			t.Errorf("Doubt(%s) = %t", user, got)
		}
	}
	if (Sources{bare{file}, table}).Doubt("r", "alice") {
		t.Error("a source behind one that cannot recall is doubted")
	}
	if c, err := all.Renew(t.Context(), "r", "carol"); err != nil || c.MD5 != MD5.HA1("carol", "r", "file") {
		t.Errorf("Renew of a user of the file: %v", err)
	}
	if _, err := all.Renew(t.Context(), "r", "eve"); !errors.Is(err, ErrNoUser) {
		t.Errorf("Renew of nobody: %v", err)
	}
}
