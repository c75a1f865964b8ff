package sql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/internal/auth"
	"reveille/internal/auth/source"
	"reveille/internal/sqldb"
)

// DefaultTable is what Kamailio and OpenSIPS call their users.
const DefaultTable = "subscriber"

// Options configure a Source. URL and Proof are required.
type Options struct {
	// URL names the database as sqldb.Options does.
	URL string
	// MaxConns bounds the connections, Timeout the time to make one; 0 means the
	// defaults of sqldb.
	MaxConns int
	Timeout  time.Duration
	// Proof names what the table has of every user; it decides which algorithms
	// can be offered.
	Proof []source.Proof

	// Table holds the users, in the columns username and domain and those of
	// Proof and Attributes; "" means DefaultTable.
	Table string
	// Domain: the column domain has to be the realm. Without, a name must not
	// stand there twice.
	Domain bool
	// Attributes are further columns to read: aors, max_contacts, display_name.
	Attributes []string

	// Query takes the place of the four above but Proof: a SELECT with the
	// parameters {user} and {realm} that gives a user's row, or none. What its
	// columns mean their names say, see column.
	Query string

	// Logger and Registerer are those of the pool.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// A Source reads users from a database. It is safe for concurrent use.
type Source struct {
	db         *sqldb.DB
	query      sqldb.Query
	proof      []source.Proof
	algorithms []auth.Algorithm
}

var _ auth.Source = (*Source)(nil)

// New returns a Source. It checks what can be checked without the database, and
// connects when it is asked.
func New(o Options) (*Source, error) {
	algorithms := source.Algorithms(o.Proof)
	if len(algorithms) == 0 {
		return nil, errors.New("auth/sql: Proof is required")
	}
	db, err := sqldb.Open(sqldb.Options{
		URL: o.URL, Name: "users", MaxConns: o.MaxConns, Timeout: o.Timeout, ReadOnly: true, Logger: o.Logger, Registerer: o.Registerer,
	})
	if err != nil {
		return nil, err
	}
	text := o.Query
	if text == "" {
		text, err = o.statement()
	}
	s := &Source{db: db, proof: o.Proof, algorithms: algorithms}
	if err == nil {
		s.query, err = sqldb.Parse(db.Dialect, text, "user", "realm")
	}
	if err == nil && !strings.Contains(text, "{user}") {
		err = errors.New("auth/sql: the query does not hold {user}")
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// identifier is what may stand in a statement: a name, or schema and name.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?$`)

// statement is the query of a table like Kamailio's.
func (o *Options) statement() (string, error) {
	table := o.Table
	if table == "" {
		table = DefaultTable
	}
	columns := []string{"username"}
	for _, p := range o.Proof {
		name := string(p)
		if p == source.HA1SHA512256 {
			// OpenSIPS calls it by the t of "truncated".
			name = "ha1_sha512t256"
		}
		columns = append(columns, name)
	}
	columns = append(columns, o.Attributes...)
	for _, name := range append([]string{table}, columns...) {
		if !identifier.MatchString(name) {
			return "", fmt.Errorf("auth/sql: %q is no name of a table or column", name)
		}
	}
	for _, name := range columns {
		if field(&source.Record{}, name) == nil {
			return "", fmt.Errorf("auth/sql: nobody knows what a column %q means", name)
		}
	}
	text := "SELECT " + strings.Join(columns, ", ") + " FROM " + table + " WHERE username = {user}"
	if o.Domain {
		text += " AND domain = {realm}"
	}
	// Of two rows nobody can say which is meant: see one.
	return text + " LIMIT 2", nil
}

// Close closes the connections.
func (s *Source) Close() error { return s.db.Close() }

// Algorithms implements auth.Source.
func (s *Source) Algorithms(string) []auth.Algorithm { return s.algorithms }

// Lookup implements auth.Source.
func (s *Source) Lookup(ctx context.Context, realm, user string) (auth.Credentials, error) {
	c, err := s.lookup(ctx, realm, user)
	if err != nil && !errors.Is(err, auth.ErrNoUser) {
		return auth.Credentials{}, fmt.Errorf("read user from the database: %w", err)
	}
	return c, err
}

func (s *Source) lookup(ctx context.Context, realm, user string) (auth.Credentials, error) {
	rows, err := s.db.QueryContext(ctx, s.query.Text, s.query.Args(user, realm)...)
	if err != nil {
		return auth.Credentials{}, err
	}
	defer func() { _ = rows.Close() }() // Err tells what went wrong.
	r, err := s.one(rows)
	if err != nil {
		return auth.Credentials{}, err
	}
	return r.Credentials(realm, user)
}

// one reads the only row; none is ErrNoUser, and two are an error, for one of
// them would be the wrong user's.
func (s *Source) one(rows *sql.Rows) (*source.Record, error) {
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	r := &source.Record{}
	targets := make([]any, len(types))
	var given []string
	for i, t := range types {
		name := strings.ToLower(t.Name())
		given = append(given, meaning(name))
		f := field(r, name)
		switch {
		case f == nil:
			targets[i] = new(any)
		case t.DatabaseTypeName() == "BPCHAR":
			targets[i] = padded{f}
		default:
			targets[i] = f
		}
	}
	for _, p := range s.proof {
		if !slices.Contains(given, string(p)) {
			return nil, fmt.Errorf("no column %q came: the query has to give what auth.sql.proof names", p)
		}
	}
	if !rows.Next() {
		// An error here is none of ErrNoUser's.
		if err := rows.Err(); err != nil {
			return nil, err
		}
		return nil, auth.ErrNoUser
	}
	if err := rows.Scan(targets...); err != nil {
		return nil, err
	}
	if rows.Next() {
		return nil, errors.New("two rows for one user")
	}
	return r, rows.Err()
}
