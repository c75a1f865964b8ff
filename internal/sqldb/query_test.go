package sqldb

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name, text string
		dialect    Dialect
		want       string
		args       []any
	}{
		{"sqlite", "SELECT a FROM t WHERE u={user} AND r={realm}", SQLite, "SELECT a FROM t WHERE u=? AND r=?", []any{"alice", "example.com"}},
		{"mysql, twice", "SELECT {user}, {realm}, {user}", MySQL, "SELECT ?, ?, ?", []any{"alice", "example.com", "alice"}},
		{"postgres, twice", "SELECT {realm}, {user}, {realm}", PostgreSQL, "SELECT $1, $2, $1", []any{"example.com", "alice"}},
		{"none", "SELECT 1", PostgreSQL, "SELECT 1", []any{}},
		{"braces in quotes", "SELECT '{a}', \"{b}\", `{c}` /* {d} */ -- {e}\n, {user}", MySQL, "SELECT '{a}', \"{b}\", `{c}` /* {d} */ -- {e}\n, ?", []any{"alice"}},
		{"a quote in quotes", "SELECT 'it''s', {user}", SQLite, "SELECT 'it''s', ?", []any{"alice"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q, err := Parse(tt.dialect, tt.text, "user", "realm")
			if err != nil {
				t.Fatal(err)
			}
			if q.Text != tt.want {
				t.Errorf("Parse(%q) = %q, want %q", tt.text, q.Text, tt.want)
			}
			if d := cmp.Diff(tt.args, q.Args("alice", "example.com")); d != "" {
				t.Errorf("Args of %q (-want +got):\n%s", tt.text, d)
			}
		})
	}
}

func TestParse_Refuses(t *testing.T) {
	tests := []struct{ name, text, says string }{
		{"unknown", "SELECT {name}", "{name} is none of the parameters {user}, {realm}"},
		{"open", "SELECT {user", "is none of the parameters"},
		{"in quotes", "SELECT '{user}'", "stands in quotes"},
		{"in quotes that never end", "SELECT '{user}", "stands in quotes"},
		{"in a comment", "SELECT 1 -- {realm}", "stands in quotes or a comment"},
		{"in a comment that never ends", "SELECT 1 /* {realm}", "stands in quotes or a comment"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(MySQL, tt.text, "user", "realm")
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Parse(%q) = %v, want an error that says %q", tt.text, err, tt.says)
			}
		})
	}
}

// FuzzParse: whatever the statement, there is a placeholder for each argument,
// and nothing of a value can get into the text.
func FuzzParse(f *testing.F) {
	f.Add("SELECT {user}, '{a}' -- x\n/* y */ {realm}")
	f.Add("`{user}`")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsAny(text, "?$") {
			return
		}
		for _, d := range []Dialect{SQLite, MySQL, PostgreSQL} {
			q, err := Parse(d, text, "user", "realm")
			if err != nil {
				continue
			}
			args := q.Args("alice", "example.com")
			switch marks := strings.Count(q.Text, "?"); d {
			case PostgreSQL:
				if len(args) > 2 {
					t.Errorf("Parse(%q): %d arguments", text, len(args))
				}
			case SQLite, MySQL:
				if marks != len(args) {
					t.Errorf("Parse(%q) = %q with %d arguments", text, q.Text, len(args))
				}
			}
			for _, name := range []string{"{user}", "{realm}"} {
				if strings.Contains(q.Text, name) {
					t.Errorf("Parse(%q) = %q still holds %s", text, q.Text, name)
				}
			}
		}
	})
}

func TestNumber(t *testing.T) {
	for d, want := range map[Dialect]string{SQLite: "a=? OR b=?", MySQL: "a=? OR b=?", PostgreSQL: "a=$1 OR b=$2"} {
		if got := d.Number("a=? OR b=?"); got != want {
			t.Errorf("Number for %d = %q, want %q", d, got, want)
		}
	}
}
