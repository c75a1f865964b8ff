//go:build e2e

package sql

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"reveille/flow"
	"reveille/internal/locationdb"
	"reveille/internal/sqldb"
	"reveille/usrloc"
)

// TestLocation_Written: the table holds what the store does, in values that the
// database has understood, and follows it; also through a time in which it cannot
// be reached.
func TestLocation_Written(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		address, cut := s.fresh(t)
		db := tableOf(t, address)
		w, store := writer(t, address)
		contacts := map[usrloc.AOR]int{"sip:alice@example.com": 2, "sip:b'ob\"ä@example.com": 1, "sip:example.com": 1}
		for aor, n := range contacts {
			register(t, store, aor, n)
		}
		follow(t, w, store)
		until(t, func() bool { return count(t, db, "") == 4 })
		want := "alice example.com sip:0@192.0.2.1 sip:198.51.100.1:4711;transport=tcp 2095-01-02 03:04:05 0.50 call 2147483647 257 <urn:uuid:x> 9"
		if got := first(t, db); got != want {
			t.Errorf("row\n got %s\nwant %s", got, want)
		}
		register(t, store, "sip:alice@example.com", 1)
		register(t, store, "sip:b'ob\"ä@example.com", 0)
		until(t, func() bool { return count(t, db, "") == 2 })
		cut()
	})
}

// TestLocation_CaseCounts: the rows of alice are not those of Alice, whatever the
// collation of the table says.
func TestLocation_CaseCounts(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		address, _ := s.fresh(t)
		db := tableOf(t, address)
		w, store := writer(t, address)
		follow(t, w, store)
		register(t, store, "sip:Alice@example.com", 1)
		until(t, func() bool { return count(t, db, "") == 1 })
		register(t, store, "sip:alice@example.com", 2)
		until(t, func() bool { return count(t, db, "") == 3 })
		register(t, store, "sip:alice@example.com", 0)
		until(t, func() bool { return count(t, db, "") == 1 })
		var left string
		if err := db.QueryRowContext(t.Context(), "SELECT username FROM location").Scan(&left); err != nil || left != "Alice" {
			t.Errorf("the row left is of %q, %v; want Alice", left, err)
		}
	})
}

// TestLocation_Away: a database that cannot be reached delays nobody, and gets
// everything when it is there.
func TestLocation_Away(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		address, _ := s.fresh(t)
		db := tableOf(t, address)
		execute(t, db, "ALTER TABLE location RENAME TO elsewhere")
		w, store := writer(t, address)
		follow(t, w, store)
		start := time.Now()
		for i := range 300 {
			register(t, store, usrloc.AOR(fmt.Sprintf("sip:u%d@example.com", i)), 1)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("300 registrations took %v", took)
		}
		execute(t, db, "ALTER TABLE elsewhere RENAME TO location")
		until(t, func() bool { return count(t, db, "") == 300 })
	})
}

// TestLocation_Resync: what an earlier run left is taken out, and what others
// wrote is not.
func TestLocation_Resync(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		address, _ := s.fresh(t)
		db := tableOf(t, address)
		for i, server := range []int{9, 9, 8} {
			execute(t, db, fmt.Sprintf("INSERT INTO location (ruid, username, domain, contact, server_id) VALUES ('r%d', 'old%d', 'example.com', 'sip:o', %d)", i, i, server))
		}
		w, store := writer(t, address)
		register(t, store, "sip:old0@example.com", 1)
		follow(t, w, store)
		until(t, func() bool {
			return count(t, db, "WHERE server_id = 9 AND username = 'old1'") == 0 && count(t, db, "") == 2
		})
	})
}

func tableOf(t *testing.T, address string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(sqldb.Options{URL: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	for _, statement := range strings.SplitAfter(locationdb.Schema(db.Dialect), ";\n") {
		if strings.TrimSpace(statement) != "" {
			execute(t, db, statement)
		}
	}
	return db
}

func execute(t *testing.T, db *sqldb.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func writer(t *testing.T, address string) (*locationdb.Writer, *usrloc.Memory) {
	t.Helper()
	w, err := locationdb.New(locationdb.Options{URL: address, Node: 9, Interval: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return w, usrloc.NewMemory(usrloc.MemoryOptions{Changed: w.Changed})
}

// follow runs w to the end of the test.
func follow(t *testing.T, w *locationdb.Writer, store *usrloc.Memory) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); w.Run(ctx, store) }()
	t.Cleanup(func() { cancel(); <-ended; w.Close() })
}

// register gives a user so many contacts.
func register(t *testing.T, store *usrloc.Memory, aor usrloc.AOR, n int) {
	t.Helper()
	until := time.Date(2095, 1, 2, 3, 4, 5, 0, time.UTC)
	p := usrloc.Partition(aor)
	store.Update(t.Context(), aor, func(usrloc.Record) (usrloc.Record, error) {
		var rec usrloc.Record
		for i := range n {
			rec.Bindings = append(rec.Bindings, usrloc.Binding{
				ID: usrloc.BindingID{byte(p >> 8), byte(p), byte(i)}, Contact: fmt.Sprintf("sip:%d@192.0.2.1", i), Q: 500, CallID: "call", CSeq: 1<<32 - 1,
				Updated: time.Now(), Expires: until, RetainUntil: until, UserAgent: "phone 'ä'", Instance: "urn:uuid:x",
				Methods: usrloc.MethodInvite | usrloc.MethodMessage,
				Flow:    flow.Flow{Transport: flow.TCP, Remote: netip.MustParseAddrPort("198.51.100.1:4711"), Conn: 1},
			})
		}
		return rec, nil
	}, func(_ usrloc.Record, _ []usrloc.Change, err error) {
		if err != nil {
			t.Errorf("register %s: %v", aor, err)
		}
	})
}

func count(t *testing.T, db *sqldb.DB, where string) int {
	t.Helper()
	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM location "+where).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// first returns alice's first row in one line.
func first(t *testing.T, db *sqldb.DB) string {
	t.Helper()
	var user, domain, contact, received, call, instance string
	var expires time.Time
	var q float64
	var cseq, methods, server int
	err := db.QueryRowContext(t.Context(), "SELECT username, domain, contact, received, expires, q, callid, cseq, methods, instance, server_id "+
		"FROM location WHERE username = 'alice' ORDER BY contact").Scan(&user, &domain, &contact, &received, &expires, &q, &call, &cseq, &methods, &instance, &server)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %s %s %s %s %.2f %s %d %d %s %d", user, domain, contact, received, expires.Format(time.DateTime), q, call, cseq, methods, instance, server)
}

func until(t *testing.T, done func() bool) {
	t.Helper()
	tick, late := time.NewTicker(20*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("it never came")
		}
	}
}
