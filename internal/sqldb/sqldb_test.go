package sqldb

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestOpen_SQLite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a b%#.db")
	if _, err := Open(Options{URL: "sqlite:"}); err == nil {
		t.Error("no file, and no error")
	}
	url := "sqlite:" + file
	missing := open1(t, Options{URL: url})
	if err := missing.PingContext(t.Context()); err == nil {
		t.Error("a file that does not exist was made")
	}
	db := open1(t, Options{URL: url + "?mode=rwc"})
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (a INT)"); err != nil {
		t.Fatal(err)
	}
	reader := open1(t, Options{URL: strings.Replace(url, "sqlite:", "sqlite://", 1), ReadOnly: true})
	if _, err := reader.ExecContext(t.Context(), "INSERT INTO t VALUES (1)"); err == nil {
		t.Error("a reader wrote")
	}
	var n int
	if err := reader.QueryRowContext(t.Context(), "SELECT count(*) FROM t").Scan(&n); err != nil {
		t.Error(err)
	}
}

func open1(t *testing.T, o Options) *DB {
	t.Helper()
	db, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestOpen_Dialects(t *testing.T) {
	tests := []struct {
		url  string
		want Dialect
	}{
		{"postgres://u:p@127.0.0.1:1/db?sslmode=disable", PostgreSQL},
		{"postgresql:///db?host=/nowhere", PostgreSQL},
		{"mysql://u:p@127.0.0.1:1/db?tls=true", MySQL},
		{"mariadb://u:p@/db?socket=/nowhere", MySQL},
		{"sqlite:/nowhere/db", SQLite},
	}
	for _, tt := range tests {
		db := open1(t, Options{URL: tt.url, Timeout: time.Second})
		if db.Dialect != tt.want {
			t.Errorf("Open(%q): dialect %d, want %d", tt.url, db.Dialect, tt.want)
		}
		if err := db.PingContext(t.Context()); err == nil {
			t.Errorf("Open(%q) answers", tt.url)
		}
	}
}

// TestOpen_KeepsTheSecret: neither a URL that cannot be read nor a server that
// does not answer brings a password into an error.
func TestOpen_KeepsTheSecret(t *testing.T) {
	const secret = "hush"
	for _, url := range []string{
		"postgres://u:hush#@127.0.0.1:1/db", "postgres://u:hush@127.0.0.1:1/db?sslmode=hm", "postgres://u:a b/hush@[::1/db",
		"postgres://u:hush@127.0.0.1:1/db?connect_timeout=1", "postgres://127.0.0.1:1/db?user=u&password=hush&sslmode=hm", "postgres://127.0.0.1:x/db?password=hush", "postgres://u:hush@127.0.0.1:x/db", "postgres://u:%zzhush@127.0.0.1/db",
		"mysql://u:hush#@127.0.0.1:1/db", "mysql://u:hush@127.0.0.1:1/db", "mysql://u:hush@127.0.0.1:1/db?timeout=x", "mysql://u:hush@[::1/db",
		"oracle://u:hush@127.0.0.1/db", "hush", "postgres:u:hush@x",
	} {
		db, err := Open(Options{URL: url, Timeout: time.Second})
		if err == nil {
			err = db.PingContext(t.Context())
			db.Close()
		}
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("Open(%q) = %v", url, err)
		}
	}
}

func TestOpen_CountsOnce(t *testing.T) {
	r := prometheus.NewRegistry()
	for range 2 {
		db := open1(t, Options{URL: "sqlite:/nowhere", Name: "users", Registerer: r})
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}
