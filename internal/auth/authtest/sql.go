package authtest

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"reveille/internal/auth"
	"reveille/internal/auth/source"
	"reveille/internal/auth/sql"
	"reveille/internal/sqldb"
)

// A Layout is a table of users, and what has to be said about it.
type Layout struct {
	Name string
	// Create makes the table and Insert fills it, with the parameters {user},
	// {realm}, {password}, {ha1}, {aors}, {max_contacts} and {display_name}.
	Create, Insert string
	// Options are those of the source, less URL and Proof.
	Options sql.Options
}

// Layouts returns the tables that a source has to read.
func Layouts() []Layout {
	kamailio := Layout{
		Name: "Kamailio",
		Create: `CREATE TABLE subscriber (id INTEGER, username VARCHAR(64) NOT NULL DEFAULT '', domain VARCHAR(64) NOT NULL DEFAULT '',
			password VARCHAR(64) NOT NULL DEFAULT '', ha1 VARCHAR(128) NOT NULL DEFAULT '', ha1b VARCHAR(128) NOT NULL DEFAULT '',
			rpid VARCHAR(64), aors VARCHAR(255), max_contacts INTEGER, display_name VARCHAR(64), UNIQUE (username, domain))`,
		Insert: `INSERT INTO subscriber (username, domain, password, ha1, aors, max_contacts, display_name)
			VALUES ({user}, {realm}, {password}, {ha1}, {aors}, {max_contacts}, {display_name})`,
		Options: sql.Options{Domain: true, Attributes: []string{"aors", "max_contacts", "display_name"}},
	}
	opensips := kamailio
	opensips.Name = "OpenSIPS"
	// Its columns are of a type that some databases fill with blanks.
	opensips.Create = `CREATE TABLE subscriber (id INTEGER, username CHAR(64) NOT NULL DEFAULT '', domain CHAR(64) NOT NULL DEFAULT '',
		password CHAR(64) NOT NULL DEFAULT '', ha1 CHAR(64) NOT NULL DEFAULT '', ha1_sha256 CHAR(64) NOT NULL DEFAULT '',
		ha1_sha512t256 CHAR(64) NOT NULL DEFAULT '', aors CHAR(255), max_contacts INTEGER, display_name CHAR(64), UNIQUE (username, domain))`
	query := Layout{
		Name:   "Query",
		Create: `CREATE TABLE people (login VARCHAR(64), realm VARCHAR(64), cleartext VARCHAR(64), hash VARCHAR(64), more VARCHAR(255), most VARCHAR(8), full_name VARCHAR(64))`,
		Insert: `INSERT INTO people VALUES ({user}, {realm}, {password}, {ha1}, {aors}, {max_contacts}, {display_name})`,
		Options: sql.Options{Query: `SELECT login AS username, cleartext AS PASSWORD, hash AS ha1_md5, more AS aors, most AS max_contacts,
			full_name AS display_name, '{}' AS "something", 17 AS else_ FROM people WHERE realm = {realm} AND login = {user}`},
	}
	return []Layout{kamailio, opensips, query}
}

// RunSQL runs the suite on every Layout. fresh returns the URL of an empty
// database, and what makes it go away, or nil for one that can only be closed.
func RunSQL(t *testing.T, fresh func(t *testing.T) (url string, kill func())) {
	for _, l := range Layouts() {
		t.Run(l.Name, func(t *testing.T) {
			Run(t, func(t *testing.T, accounts []auth.Account) (auth.Source, func()) {
				url, kill := fresh(t)
				l.fill(t, url, accounts)
				o := l.Options
				o.URL, o.Proof = url, []source.Proof{source.HA1}
				if accounts[0].Password != "" {
					o.Proof = []source.Proof{source.Password}
				}
				s, err := sql.New(o)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = s.Close() })
				if kill == nil {
					kill = func() { _ = s.Close() }
				}
				return Remember(t, s), kill
			})
		})
	}
}

// Remember puts a source behind a source.Cached that forgets at once, so that
// the suite sees both.
func Remember(t *testing.T, s auth.Source) auth.Source {
	t.Helper()
	cached, err := source.NewCached(source.Options{Source: s, TTL: 1, NegativeTTL: 1, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cached.Close)
	return cached
}

// fill makes the table.
func (l *Layout) fill(t *testing.T, url string, accounts []auth.Account) {
	t.Helper()
	db, err := sqldb.Open(sqldb.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	ctx := context.Background()
	create := l.Create
	if db.Dialect == sqldb.MySQL {
		create += " CHARACTER SET utf8mb4"
	}
	if _, err := db.ExecContext(ctx, create); err != nil {
		t.Fatal(err)
	}
	q, err := sqldb.Parse(db.Dialect, l.Insert, "user", "realm", "password", "ha1", "aors", "max_contacts", "display_name")
	if err != nil {
		t.Fatal(err)
	}
	// Others of the same name, or with nothing to prove it, are in nobody's way.
	others := []auth.Account{{Name: "alice", Realm: "example.net", Password: "other"}, {Name: "nothing", Realm: Realm}}
	for _, a := range append(others, accounts...) {
		var most any
		if a.MaxContacts != 0 {
			most = strconv.Itoa(a.MaxContacts) // a text fits columns of all types
		}
		if _, err := db.ExecContext(ctx, q.Text, q.Args(a.Name, a.Realm, a.Password, a.HA1MD5, strings.Join(a.AORs, ", "), most, a.DisplayName)...); err != nil {
			t.Fatal(err)
		}
	}
}
