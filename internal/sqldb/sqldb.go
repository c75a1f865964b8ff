package sqldb

import (
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// A Dialect is what one kind of database understands.
type Dialect uint8

// The dialects. MySQL is also MariaDB's.
const (
	SQLite Dialect = iota + 1
	PostgreSQL
	MySQL
)

// DefaultMaxConns is the size of a pool.
const DefaultMaxConns = 8

// connLife is how long a connection is used: behind a balancer or after a
// fail-over the pool finds its way to the servers of the day.
const connLife = 30 * time.Minute

// Options say which database is meant.
type Options struct {
	// URL names it:
	//
	//	sqlite:/var/lib/kamailio/kamailio.db
	//	postgres://user:password@host:5432/name?sslmode=verify-full
	//	mysql://user:password@host:3306/name?tls=true
	//	mysql://user:password@/name?socket=/run/mysqld/mysqld.sock
	//
	// What is special in a URL is percent-encoded in the password. It is a
	// secret: no error and no log line shows it.
	URL string
	// Name is the pool's in metrics.
	Name string
	// MaxConns bounds the connections; 0 means DefaultMaxConns.
	MaxConns int
	// Timeout bounds the time to connect; 0 leaves it to the caller's contexts.
	Timeout time.Duration
	// ReadOnly keeps an SQLite file from being written. For other databases the
	// rights of the user do that.
	ReadOnly bool
	// Logger takes what a driver has to say; nil discards.
	Logger *slog.Logger
	// Registerer takes the figures of the pool; nil: none.
	Registerer prometheus.Registerer
}

// A DB is a pool of connections to one database.
type DB struct {
	*sql.DB
	Dialect Dialect

	unregister func()
}

// Open checks the URL and makes the pool. It does not connect.
func Open(o Options) (*DB, error) {
	if o.MaxConns <= 0 {
		o.MaxConns = DefaultMaxConns
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	pool, dialect, err := open(&o)
	if err != nil {
		return nil, err
	}
	db := &DB{DB: pool, Dialect: dialect, unregister: func() {}}
	db.SetMaxOpenConns(o.MaxConns)
	db.SetMaxIdleConns(o.MaxConns)
	db.SetConnMaxLifetime(connLife)
	if r := o.Registerer; r != nil {
		figures := collectors.NewDBStatsCollector(db.DB, o.Name)
		if err := r.Register(figures); err != nil {
			return nil, errors.Join(fmt.Errorf("sqldb: %w", err), db.Close())
		}
		db.unregister = func() { r.Unregister(figures) }
	}
	return db, nil
}

// Close closes the connections; those in use when they are given back.
func (db *DB) Close() error {
	db.unregister()
	return db.DB.Close()
}

// open returns the pool of a URL. Its errors never hold the URL as it was given:
// where it cannot be read, nobody knows which part is the password.
func open(o *Options) (*sql.DB, Dialect, error) {
	scheme, file, _ := strings.Cut(o.URL, ":")
	if scheme == "sqlite" {
		db, err := openSQLite(file, o)
		return db, SQLite, err
	}
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, 0, errors.New("sqldb: the URL cannot be read: are special characters of the password percent-encoded?")
	}
	switch u.Scheme {
	case "postgres", "postgresql":
		db, err := openPostgreSQL(o)
		return db, PostgreSQL, err
	case "mysql", "mariadb":
		db, err := openMySQL(u, o)
		return db, MySQL, err
	}
	return nil, 0, errors.New("sqldb: the scheme of the URL is none of sqlite, postgres, mysql")
}

// openSQLite takes "/absolute", "relative" and "///absolute". The file has to
// exist unless the URL says mode=rwc.
func openSQLite(file string, o *Options) (*sql.DB, error) {
	file, query, _ := strings.Cut(file, "?")
	if rest, ok := strings.CutPrefix(file, "//"); ok {
		file = rest
	}
	if file == "" {
		return nil, errors.New("sqldb: sqlite: names no file")
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("sqldb: sqlite: the parameters behind ? cannot be read")
	}
	if !params.Has("mode") {
		params.Set("mode", "rw")
	}
	// Another program may be writing at this moment.
	params.Add("_pragma", "busy_timeout("+strconv.FormatInt(max(o.Timeout, time.Second).Milliseconds(), 10)+")")
	if o.ReadOnly {
		params.Add("_pragma", "query_only(1)")
	}
	return sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?"+params.Encode())
}

func openPostgreSQL(o *Options) (*sql.DB, error) {
	cfg, err := pgx.ParseConfig(o.URL)
	if err != nil {
		// Its text has the password replaced: the URL can be read, as we saw.
		return nil, fmt.Errorf("sqldb: %w", err)
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = o.Timeout
	}
	return stdlib.OpenDB(*cfg), nil
}

// openMySQL understands the URLs of the other databases, which the driver does
// not. Parameters are the driver's, and socket.
func openMySQL(u *url.URL, o *Options) (*sql.DB, error) {
	params := u.Query()
	socket := params.Get("socket")
	params.Del("socket")
	cfg, err := mysql.ParseDSN("/?" + params.Encode())
	if err != nil {
		return nil, fmt.Errorf("sqldb: mysql: %w", err)
	}
	cfg.User, cfg.DBName = u.User.Username(), strings.TrimPrefix(u.Path, "/")
	cfg.Passwd, _ = u.User.Password()
	cfg.Net, cfg.Addr = "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "3306"))
	if socket != "" {
		cfg.Net, cfg.Addr = "unix", socket
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = o.Timeout
	}
	cfg.ParseTime = true
	cfg.Logger = driverLog{o.Logger}
	c, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("sqldb: mysql: %w", err)
	}
	return sql.OpenDB(c), nil
}

// driverLog is where the MySQL driver tells of connections that broke; the error
// comes back to the caller, too.
type driverLog struct{ log *slog.Logger }

// Print implements mysql.Logger.
func (l driverLog) Print(v ...any) { l.log.Debug("the driver tells", "what", fmt.Sprint(v...)) }
