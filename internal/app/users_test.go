package app

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"reveille/internal/auth"
	"reveille/internal/phone"
	"reveille/internal/sqldb"
)

// subscribers makes a database with a table like Kamailio's.
func subscribers(t *testing.T) (url string, db *sqldb.DB) {
	t.Helper()
	url = "sqlite:" + filepath.Join(t.TempDir(), "users.db") + "?mode=rwc"
	db, err := sqldb.Open(sqldb.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	execute(t, db, "CREATE TABLE subscriber (username, domain, password, ha1, ha1b, max_contacts)")
	for _, user := range []string{"alice", "bob", "carol"} {
		execute(t, db, fmt.Sprintf("INSERT INTO subscriber VALUES ('%s', 'example.com', '', '%s', '', 1)", user, auth.MD5.HA1(user, "example.com", "secret")))
	}
	return url, db
}

// An executor is a database or one connection to it.
type executor interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func execute(t *testing.T, db executor, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// databaseYAML has users in a database, which may take its time, and one of them in
// the file, too.
func databaseYAML(url string) string {
	return `auth: {mode: {registrar: required, proxy: required}, users: [{name: carol, password: other}], limit: {per_source: 0},` +
		`sql: {url: "` + url + `", attributes: [max_contacts], timeout: 5s}, cache: {negative_ttl: 1h}}`
}

// TestUsers_SQL: users of a table like Kamailio's log in, by the algorithm that
// all have a hash for; those of the file come first.
func TestUsers_SQL(t *testing.T) {
	url, _ := subscribers(t)
	r := newRig(t, databaseYAML(url))
	w := r.dial("tcp")
	w.send(w.request("REGISTER", "sip:example.com"))
	w.expect(401)
	r.register(r.phone("alice", "udp", ""))
	r.register(r.phone("bob", "tcp", ""))
	for user, password := range map[string]string{"alice": "wrong", "nobody": "secret", "carol": "secret"} {
		p := r.phone(user, "udp", "", func(o *phone.Options) { o.Password = password })
		if err := p.Register(r.within()); err == nil {
			t.Errorf("%s registered with the password %q", user, password)
		}
	}
	r.register(r.phone("carol", "udp", "", func(o *phone.Options) { o.Password = "other" }))
	// One contact is all that alice may have, and the second phone is refused.
	if err := r.phone("alice", "tcp", "").Register(r.within()); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("a second contact: %v", err)
	}
	if n := r.metric("reveille_source_lookups_total", "found"); n != 3 { // Of the wrong password it may know more.
		t.Errorf("the database was asked for %v users", n)
	}
}

// TestUsers_Remembered: once remembered, a user costs no more than one of a file:
// refreshes are answered where they are read.
func TestUsers_Remembered(t *testing.T) {
	url, _ := subscribers(t)
	// Without the Sink of a rig, which wants to hear of every refresh.
	a, err := New(Options{Config: newRig(t).config(databaseYAML(url))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	r := &rig{App: a, t: t}
	p := r.phone("alice", "udp", "")
	// What comes while the queue is at work takes the long way.
	for sent := 0; r.metric("reveille_fastpath_answered_total") == 0; sent++ {
		if sent == 1000 {
			t.Fatal("every refresh took the long way")
		}
		r.register(p)
	}
	if n := r.metric("reveille_source_lookups_total"); n != 1 {
		t.Errorf("the database was asked %v times", n)
	}
}

// TestUsers_DatabaseAway: who is remembered logs in, everybody else hears 503, and
// nobody is let in or denied to exist.
func TestUsers_DatabaseAway(t *testing.T) {
	url, db := subscribers(t)
	r := newRig(t, databaseYAML(url))
	r.register(r.phone("alice", "udp", ""))
	execute(t, db, "ALTER TABLE subscriber RENAME TO elsewhere")
	for _, user := range []string{"bob", "nobody"} {
		if err := r.phone(user, "udp", "").Register(r.within()); err == nil || !strings.Contains(err.Error(), "503") {
			t.Errorf("%s: %v, want 503", user, err)
		}
	}
	// A new connection, with everything but the answer of the database new.
	if err := r.phone("alice", "tcp", "").Register(r.within()); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("alice, who has her one contact: %v", err)
	}
	execute(t, db, "ALTER TABLE elsewhere RENAME TO subscriber")
	r.register(r.phone("bob", "udp", ""))
}

// TestUsers_UnknownCallee_RFC3261_16_5: the first caller of nobody does not wait
// for the database; the next one hears what it said. While it says nothing,
// nobody is denied to exist.
func TestUsers_UnknownCallee_RFC3261_16_5(t *testing.T) {
	t.Parallel()
	url, db := subscribers(t)
	r := newRig(t, databaseYAML(url))
	caller := r.phone("alice", "udp", "")
	r.register(caller)
	status := func(user string) string {
		t.Helper()
		return messageStatus(r, caller, user)
	}
	lock, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	// The answer comes while the database says nothing: it gives up after 5 s, for
	// which a busy machine gets another try.
	nobody := 0
	r.eventually("an answer before the question has ended", func() bool {
		nobody++
		ended := r.metric("reveille_source_lookups_total")
		execute(t, lock, "BEGIN EXCLUSIVE")
		if got := status("nobody" + strconv.Itoa(nobody)); got != "480" {
			t.Errorf("the first call: %s", got)
		}
		waited := r.metric("reveille_source_lookups_total") > ended
		execute(t, lock, "ROLLBACK")
		return !waited
	})
	r.eventually("404", func() bool { return status("nobody1") == "404" })
	if got := status("bob"); got != "480" {
		t.Errorf("a user who is not there: %s", got)
	}
	if got := status("carol"); got != "480" {
		t.Errorf("a user of the file who is not there: %s", got)
	}
	execute(t, db, "DROP TABLE subscriber")
	for range 3 {
		if got := status("stranger"); got != "480" {
			t.Errorf("without the database: %s", got)
		}
	}
}

// TestUsers_UnknownCallee_Listed: an address that is listed with a user is somebody's,
// whoever has its name.
func TestUsers_UnknownCallee_Listed(t *testing.T) {
	r := newRig(t, `auth: {mode: {registrar: required, proxy: required}, limit: {per_source: 0},`+
		`users: [{name: alice, password: secret, aors: [sales@example.com]}]}`)
	caller := r.phone("alice", "udp", "")
	r.register(caller)
	for user, want := range map[string]string{"sales": "480", "nobody": "404"} {
		if got := messageStatus(r, caller, user); got != want {
			t.Errorf("a message to %s: %s, want %s", user, got, want)
		}
	}
}

// messageStatus sends a user a message and returns the status of the refusal.
func messageStatus(r *rig, from *phone.Phone, user string) string {
	r.t.Helper()
	err := from.Message(r.within(), "sip:"+user+"@example.com", "hello")
	if err == nil {
		return "200"
	}
	for _, code := range []string{"404", "480", "500", "503", "403"} {
		if strings.Contains(err.Error(), code) {
			return code
		}
	}
	return err.Error()
}

// TestUsers_HTTP: users whom another program knows log in; while it is away
// nobody new does.
func TestUsers_HTTP(t *testing.T) {
	var away atomic.Bool
	program := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		var asked struct{ Realm, User string }
		if err := json.NewDecoder(q.Body).Decode(&asked); err != nil || q.Header.Get("Authorization") != "Bearer hush" || away.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		if asked.User == "nobody" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		json.NewEncoder(w).Encode(map[string]string{"password": "secret"})
	}))
	defer program.Close()
	r := newRig(t, `auth: {mode: {registrar: required, proxy: required}, limit: {per_source: 0}, http: {url: "`+program.URL+`", timeout: 5s, bearer: hush}}`)
	r.register(r.phone("alice", "udp", ""))
	if err := r.phone("nobody", "udp", "").Register(r.within()); err == nil {
		t.Error("nobody registered")
	}
	away.Store(true)
	if err := r.phone("bob", "udp", "").Register(r.within()); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("while it is away: %v", err)
	}
	r.register(r.phone("alice", "udp", ""))
}

// TestUsers_NewPassword: a phone with a new password logs in at once, and from then
// on the one before does not.
func TestUsers_NewPassword(t *testing.T) {
	var password atomic.Value
	password.Store("secret")
	program := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{"password": password.Load()})
	}))
	defer program.Close()
	r := newRig(t, `auth: {mode: {registrar: required, proxy: required}, limit: {per_source: 0}, http: {url: "`+program.URL+`", timeout: 5s}}`)
	r.register(r.phone("alice", "udp", ""))
	password.Store("new")
	r.register(r.phone("alice", "udp", "", func(o *phone.Options) { o.Password = "new" }))
	if err := r.phone("alice", "udp", "").Register(r.within()); err == nil {
		t.Error("the password before logs in")
	}
}

// TestLocation_SQL: registrations are in the table soon, and gone from it when
// the phone is.
func TestLocation_SQL(t *testing.T) {
	url, db := subscribers(t)
	execute(t, db, "CREATE TABLE location (id INTEGER PRIMARY KEY, ruid, username, domain, contact, received, path, expires, q, callid, cseq, last_modified, "+
		"user_agent, socket, methods, instance, reg_id, server_id)")
	r := newRig(t, `location: {url: "`+url+`", interval: 10ms}`)
	p := r.phone("alice", "udp", "token-of-alice")
	r.register(p)
	var contact, socket string
	read := func() bool {
		return db.QueryRowContext(t.Context(), "SELECT contact, socket FROM location WHERE username = 'alice' AND domain = 'example.com'").Scan(&contact, &socket) == nil
	}
	r.eventually("a row", read)
	if strings.Contains(contact, "token-of-alice") || !strings.HasPrefix(contact, "sip:alice@127.0.0.1") || socket != "udp:127.0.0.1:0" {
		t.Errorf("contact %q, socket %q", contact, socket)
	}
	if err := p.Unregister(r.within()); err != nil {
		t.Fatal(err)
	}
	r.eventually("no row", func() bool { return !read() })
}

// TestUsers_AtHome: a device without a password registers and calls from its
// network, and its neighbours do not.
func TestUsers_AtHome(t *testing.T) {
	const users = `auth: {mode: {registrar: required, proxy: required}, users: [{name: door, networks: [127.0.0.1/32]}, {name: bob, password: secret}]}`
	r := newRig(t, users)
	w := r.dial("udp")
	register := func(name string) string {
		return w.registers("To: <sip:"+name+"@example.com>", "Contact: <sip:"+name+"@127.0.0.1>")
	}
	for name, want := range map[string]string{"door": "200", "bob": "401", "alice": "401"} {
		if got := register(name); got != want {
			t.Errorf("REGISTER of %s: %s, want %s", name, got, want)
		}
	}
	w.send(w.request("MESSAGE", "sip:bob@example.com", "From: <sip:door@example.com>;tag=f"))
	w.expect(480)
	if err := r.Reload(r.config(strings.Replace(users, "127.0.0.1", "192.0.2.1", 1))); err != nil {
		t.Fatal(err)
	}
	if got := register("door"); got != "401" {
		t.Errorf("REGISTER from elsewhere: %s", got)
	}
}
