package sql_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reveille/internal/auth"
	"reveille/internal/auth/authtest"
	"reveille/internal/auth/source"
	"reveille/internal/auth/sql"
	"reveille/internal/sqldb"
)

// fresh is a file of its own.
func fresh(t *testing.T) (string, func()) {
	return "sqlite:" + filepath.Join(t.TempDir(), "users.db") + "?mode=rwc", nil
}

// TestSource_Contract_SQLite; test/sql runs the suite on PostgreSQL and MariaDB.
func TestSource_Contract_SQLite(t *testing.T) { authtest.RunSQL(t, fresh) }

// database returns a database in which these statements ran.
func database(t *testing.T, statements ...string) string {
	t.Helper()
	url, _ := fresh(t)
	db, err := sqldb.Open(sqldb.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	return url
}

func newSource(t *testing.T, o sql.Options) *sql.Source {
	t.Helper()
	s, err := sql.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestSource_Rows: what a row says, and what is none of a user's.
func TestSource_Rows(t *testing.T) {
	url := database(t,
		"CREATE TABLE u (username, domain, password, ha1, ha1_sha256, ha1_sha512t256, max_contacts)",
		"INSERT INTO u VALUES ('none', 'r', NULL, NULL, NULL, NULL, NULL), ('empty', 'r', '', '', '', '', '')",
		"INSERT INTO u VALUES ('bad', 'r', '', 'zz', '', '', 1), ('short', 'r', '', '00', '', '', 1), ('many', 'r', 'x', '', '', '', 'x')",
		"INSERT INTO u VALUES ('twice', 'r', 'a', '', '', '', 1), ('twice', 'q', 'b', '', '', '', 1)",
		"INSERT INTO u VALUES ('upper', 'r', '', '"+strings.Repeat("AB", 16)+"', '"+strings.Repeat("CD", 32)+"', '"+strings.Repeat("EF", 32)+"', -1)",
	)
	all := []source.Proof{source.HA1, source.HA1SHA256, source.HA1SHA512256}
	hashes := newSource(t, sql.Options{URL: url, Table: "u", Proof: all, Attributes: []string{"max_contacts"}})
	want := auth.Credentials{MD5: strings.Repeat("ab", 16), SHA256: strings.Repeat("cd", 32), SHA512256: strings.Repeat("ef", 32)}
	if got, err := hashes.Lookup(t.Context(), "r", "upper"); err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("hashes: %v\n%s", err, cmp.Diff(want, got))
	}
	if d := cmp.Diff([]auth.Algorithm{auth.SHA512256, auth.SHA256, auth.MD5}, hashes.Algorithms("r")); d != "" {
		t.Errorf("Algorithms (-want +got):\n%s", d)
	}
	for _, name := range []string{"none", "empty"} {
		// Such a user exists and cannot log in.
		if got, err := hashes.Lookup(t.Context(), "r", name); err != nil || cmp.Diff(auth.Credentials{}, got) != "" {
			t.Errorf("%s: %v, %s", name, err, cmp.Diff(auth.Credentials{}, got))
		}
	}
	both := newSource(t, sql.Options{URL: url, Table: "u", Proof: []source.Proof{source.Password, source.HA1}, Attributes: []string{"max_contacts"}})
	if d := cmp.Diff([]auth.Algorithm{auth.SHA512256, auth.SHA256, auth.MD5}, both.Algorithms("r")); d != "" {
		t.Errorf("Algorithms (-want +got):\n%s", d)
	}
	for name, says := range map[string]string{
		"bad": "not 32 hexadecimal digits", "short": "not 32 hexadecimal digits", "many": "no whole number", "twice": "two rows",
	} {
		if _, err := both.Lookup(t.Context(), "r", name); err == nil || errors.Is(err, auth.ErrNoUser) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want an error that says %q", name, err, says)
		}
	}
	one := newSource(t, sql.Options{URL: url, Table: "u", Domain: true, Proof: []source.Proof{source.Password}})
	if got, err := one.Lookup(t.Context(), "q", "twice"); err != nil || got.MD5 != auth.MD5.HA1("twice", "q", "b") {
		t.Errorf("by domain: %v", err)
	}
}

// TestSource_CannotSay: a table that is not there, or does not give what it has
// to, is no answer about any user.
func TestSource_CannotSay(t *testing.T) {
	url := database(t, "CREATE TABLE u (username, password)")
	for name, o := range map[string]sql.Options{
		"no table":     {URL: url},
		"no column":    {URL: url, Table: "u", Domain: true},
		"other column": {URL: url, Query: "SELECT username FROM u WHERE username={user}"},
		"no file":      {URL: "sqlite:/nowhere/x.db"},
	} {
		t.Run(name, func(t *testing.T) {
			o.Proof = []source.Proof{source.Password}
			if _, err := newSource(t, o).Lookup(t.Context(), "r", "alice"); err == nil || errors.Is(err, auth.ErrNoUser) {
				t.Errorf("Lookup = %v", err)
			}
		})
	}
}

func TestNew_Refuses(t *testing.T) {
	password := []source.Proof{source.Password}
	tests := []struct {
		name string
		o    sql.Options
		says string
	}{
		{"no proof", sql.Options{URL: "sqlite:x"}, "Proof is required"},
		{"proof", sql.Options{URL: "sqlite:x", Proof: []source.Proof{"token"}}, "Proof is required"},
		{"url", sql.Options{URL: "x", Proof: password}, "is none of sqlite"},
		{"table", sql.Options{URL: "sqlite:x", Proof: password, Table: "a; DROP TABLE b"}, "no name of a table"},
		{"attribute", sql.Options{URL: "sqlite:x", Proof: password, Attributes: []string{"rpid"}}, "nobody knows what a column \"rpid\" means"},
		{"parameter", sql.Options{URL: "sqlite:x", Proof: password, Query: "SELECT {name}"}, "{name} is none of the parameters"},
		{"no user", sql.Options{URL: "sqlite:x", Proof: password, Query: "SELECT password FROM subscriber"}, "does not hold {user}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := sql.New(tt.o); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("New = %v, want an error that says %q", err, tt.says)
			}
		})
	}
}
