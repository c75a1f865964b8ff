package locationdb

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/internal/sqldb"
	"reveille/usrloc"
)

// A rig is a store whose changes a Writer is told, and the database behind it.
type rig struct {
	t     *testing.T
	store *usrloc.Memory
	w     *Writer
	db    *sqldb.DB
	b     backoff
}

func newRig(t *testing.T, o Options) *rig {
	t.Helper()
	o.URL = "sqlite:" + filepath.Join(t.TempDir(), "location.db") + "?mode=rwc"
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	w, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqldb.Open(sqldb.Options{URL: o.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close(); db.Close() })
	r := &rig{t: t, w: w, db: db, b: backoff{writer: w}}
	r.store = usrloc.NewMemory(usrloc.MemoryOptions{Changed: w.Changed})
	r.exec(Schema(db.Dialect))
	return r
}

func (r *rig) exec(text string) {
	r.t.Helper()
	if _, err := r.db.ExecContext(r.t.Context(), text); err != nil {
		r.t.Fatal(err)
	}
}

// put gives a user contacts with these numbers.
func (r *rig) put(aor usrloc.AOR, numbers ...int) {
	r.t.Helper()
	now := time.Now()
	r.store.Update(r.t.Context(), aor, func(usrloc.Record) (usrloc.Record, error) {
		var rec usrloc.Record
		for _, n := range numbers {
			b := *phone()
			p := usrloc.Partition(aor)
			b.ID = usrloc.BindingID{byte(p >> 8), byte(p), byte(n), byte(n >> 8)}
			b.Contact = fmt.Sprintf("sip:%d@192.0.2.1", n)
			b.Created, b.Updated, b.Expires, b.RetainUntil = now, now, now.Add(time.Hour), now.Add(time.Hour)
			rec.Bindings = append(rec.Bindings, b)
		}
		return rec, nil
	}, func(_ usrloc.Record, _ []usrloc.Change, err error) {
		if err != nil {
			r.t.Errorf("put %s: %v", aor, err)
		}
	})
}

// flush writes what there is to write.
func (r *rig) flush() {
	r.t.Helper()
	for r.w.step(r.t.Context(), r.store, &r.b) {
	}
	if n, _ := r.w.backlog(); n != 0 {
		r.t.Errorf("%d users are left", n)
	}
}

// rows returns "username contact" of all rows, in order.
func (r *rig) rows() []string {
	r.t.Helper()
	rows, err := r.db.QueryContext(r.t.Context(), "SELECT username, contact FROM location ORDER BY username, contact")
	if err != nil {
		r.t.Fatal(err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var user, contact string
		if err := rows.Scan(&user, &contact); err != nil {
			r.t.Fatal(err)
		}
		list = append(list, user+" "+contact)
	}
	if rows.Err() != nil {
		r.t.Fatal(rows.Err())
	}
	return list
}

func (r *rig) expect(what string, want ...string) {
	r.t.Helper()
	if d := cmp.Diff(want, r.rows()); d != "" {
		r.t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestWriter_FollowsTheStore(t *testing.T) {
	r := newRig(t, Options{})
	r.put(alice, 1, 2)
	r.put("sip:bob@example.com", 3)
	r.flush()
	r.expect("two users", "alice sip:1@192.0.2.1", "alice sip:2@192.0.2.1", "bob sip:3@192.0.2.1")
	r.put(alice, 2)
	r.put(alice, 2, 4)
	r.put("sip:bob@example.com")
	if n, age := r.w.backlog(); n != 2 || age <= 0 {
		t.Errorf("%d users wait for %v: changes of one are one", n, age)
	}
	r.flush()
	r.expect("changed", "alice sip:2@192.0.2.1", "alice sip:4@192.0.2.1")
	r.flush()
	if n := testutil.ToFloat64(r.w.metrics.written); n != 4 {
		t.Errorf("%v users written", n)
	}
}

// TestWriter_Many: users in many batches, and one with more contacts than a
// statement inserts.
func TestWriter_Many(t *testing.T) {
	r := newRig(t, Options{})
	var all []int
	for i := range 2*batch + 1 {
		all = append(all, i)
		r.put(usrloc.AOR(fmt.Sprintf("sip:u%d@example.com", i)), i)
	}
	r.put(alice, all...)
	r.flush()
	if n := len(r.rows()); n != 2*len(all) {
		t.Errorf("%d rows, want %d", n, 2*len(all))
	}
}

// TestWriter_Resync: everything is written, and what is gone is taken out; rows
// of others stay.
func TestWriter_Resync(t *testing.T) {
	r := newRig(t, Options{Node: 1})
	r.put(alice, 1)
	r.put("sip:gone@example.com", 2)
	r.flush()
	r.exec("INSERT INTO location (ruid, username, domain, contact, server_id) VALUES ('x', 'other', 'example.com', 'sip:o', 2)")
	r.exec(fmt.Sprintf("WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i+1 FROM n WHERE i < %d) "+
		"INSERT INTO location (ruid, username, domain, contact, server_id) SELECT 'g'||i, 'g'||i, 'example.com', 'sip:g', 1 FROM n", sweepStep+5))
	// Another run of the server, with less in its store.
	next := usrloc.NewMemory(usrloc.MemoryOptions{Changed: r.w.Changed})
	r.store = next
	r.put("sip:new@example.com", 3)
	r.put(alice, 1)
	r.w.resync = true
	r.flush()
	r.expect("after a resync", "alice sip:1@192.0.2.1", "new sip:3@192.0.2.1", "other sip:o")
	if n := testutil.ToFloat64(r.w.metrics.resyncs); n != 1 {
		t.Errorf("%v resyncs", n)
	}
}

// TestWriter_ResyncPassesOverRowsOfOthers: a server that has no domains leaves
// the column empty, and perhaps has the number that is ours.
func TestWriter_ResyncPassesOverRowsOfOthers(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := newRig(t, Options{Logger: slog.New(slog.NewTextHandler(writerFunc(cancel), nil))})
	r.put(alice, 1)
	r.exec("INSERT INTO location (ruid, username, domain, contact) VALUES ('x', 'other', NULL, 'sip:o'), ('y', 'gone', 'example.com', 'sip:g')")
	r.w.resync = true
	for r.w.step(ctx, r.store, &r.b) {
	}
	r.expect("after a resync", "alice sip:1@192.0.2.1", "other sip:o")
}

// TestWriter_Overflow: more changes than can be noted cost a resync, and no
// memory.
func TestWriter_Overflow(t *testing.T) {
	r := newRig(t, Options{Queue: 4})
	for i := range 10 {
		r.put(usrloc.AOR(fmt.Sprintf("sip:u%d@example.com", i)), i)
	}
	if len(r.w.pending) > 4 || !r.w.resync {
		t.Errorf("%d pending, resync %t", len(r.w.pending), r.w.resync)
	}
	r.flush()
	if n := len(r.rows()); n != 10 {
		t.Errorf("%d rows", n)
	}
	if n := testutil.ToFloat64(r.w.metrics.overflows); n != 1 {
		t.Errorf("%v overflows", n)
	}
}

// TestWriter_Away: what could not be written is written later, with what is true
// then, and telling of changes never waits.
func TestWriter_Away(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// The line that tells of the failure ends the pause after it.
	r := newRig(t, Options{Logger: slog.New(slog.NewTextHandler(writerFunc(cancel), nil))})
	r.exec("ALTER TABLE location RENAME TO elsewhere")
	r.put(alice, 1)
	if r.w.step(ctx, r.store, &r.b) {
		t.Error("step wrote into nothing")
	}
	r.put(alice, 2)
	r.put("sip:bob@example.com", 3)
	if n, _ := r.w.backlog(); n != 2 {
		t.Errorf("%d users wait", n)
	}
	if n := testutil.ToFloat64(r.w.metrics.failures); n != 1 {
		t.Errorf("%v failures", n)
	}
	r.exec("ALTER TABLE elsewhere RENAME TO location")
	r.flush()
	r.expect("back", "alice sip:2@192.0.2.1", "bob sip:3@192.0.2.1")
}

// A writerFunc is called for each line.
type writerFunc func()

func (f writerFunc) Write(b []byte) (int, error) { f(); return len(b), nil }

// TestWriter_OneThatTheDatabaseRefuses does not keep the others out.
func TestWriter_OneThatTheDatabaseRefuses(t *testing.T) {
	r := newRig(t, Options{})
	r.exec("CREATE TRIGGER no BEFORE INSERT ON location WHEN NEW.username = 'mallory' BEGIN SELECT RAISE(ABORT, 'no'); END")
	for _, user := range []usrloc.AOR{"sip:a@example.com", "sip:b@example.com", "sip:mallory@example.com", "sip:c@example.com"} {
		r.put(user, 1)
	}
	// The order of a batch is any; one whose first two fail is tried again.
	for range 3 {
		recs, err := records(t.Context(), r.store, []usrloc.AOR{"sip:a@example.com", "sip:mallory@example.com", "sip:b@example.com", "sip:c@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.w.write(t.Context(), recs); err != nil {
			t.Fatal(err)
		}
	}
	r.expect("others", "a sip:1@192.0.2.1", "b sip:1@192.0.2.1", "c sip:1@192.0.2.1")
	if n := testutil.ToFloat64(r.w.metrics.refused); n != 3 {
		t.Errorf("%v refused", n)
	}
}

// TestWriter_Run ends with its context, and has written what it was told.
func TestWriter_Run(t *testing.T) {
	r := newRig(t, Options{Interval: time.Millisecond})
	r.put(alice, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); r.w.Run(ctx, r.store) }()
	until(t, func() bool { return slices.Contains(r.rows(), "alice sip:1@192.0.2.1") })
	r.put("sip:bob@example.com", 2)
	until(t, func() bool { return slices.Contains(r.rows(), "bob sip:2@192.0.2.1") })
	cancel()
	<-ended
}

func until(t *testing.T, done func() bool) {
	t.Helper()
	tick, late := time.NewTicker(5*time.Millisecond), time.After(10*time.Second)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("it never came")
		}
	}
}

func TestWriter_Metrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	newRig(t, Options{Registerer: reg})
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		// The figures of the pool are the library's.
		for _, p := range problems {
			if strings.HasPrefix(p.Metric, "reveille_") {
				t.Errorf("%v", p)
			}
		}
	}
}

func TestNew_Refuses(t *testing.T) {
	for _, o := range []Options{{}, {URL: "sqlite:x", Table: "a b"}, {URL: "x"}} {
		if _, err := New(o); err == nil {
			t.Errorf("New(%+v) succeeded", o)
		}
	}
}

func TestSchema(t *testing.T) {
	for _, d := range []sqldb.Dialect{sqldb.SQLite, sqldb.PostgreSQL, sqldb.MySQL} {
		if !strings.Contains(Schema(d), "CREATE TABLE location") {
			t.Errorf("Schema(%d) = %q", d, Schema(d))
		}
	}
	if Schema(0) != "" {
		t.Error("a schema of nothing")
	}
}
