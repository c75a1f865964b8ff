package kamailio

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"reveille/flow"
	"reveille/internal/auth"
	"reveille/internal/sipmsg"
	"reveille/internal/sqldb"
	"reveille/usrloc"
)

// database returns one in which these statements ran.
func database(t *testing.T, statements ...string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(sqldb.Options{URL: "sqlite:" + filepath.Join(t.TempDir(), "k.db") + "?mode=rwc"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return db
}

const (
	md5Hash = "0123456789abcdef0123456789ABCDEF"
	shaHash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

// TestUsers: what is written is a users file, which gives these accounts.
func TestUsers(t *testing.T) {
	tests := []struct {
		name       string
		statements []string
		want       []auth.Account
		notes      []string
	}{
		{
			name: "Kamailio",
			statements: []string{
				"CREATE TABLE subscriber (id, username, domain, password, ha1, ha1b, email_address)",
				"INSERT INTO subscriber VALUES (1, 'alice', 'example.com', '0123', '" + md5Hash + "', 'x', 'a@b'), (2, 'bob', 'example.org', '', '" + md5Hash + "', '', '')",
				"INSERT INTO subscriber VALUES (3, 'empty', 'example.com', '', '', '', ''), (4, 'a:b', 'example.com', 'x', '', '', ''), (5, 'yes', '', ': \"#''\\ ', NULL, '', '')",
			},
			want: []auth.Account{
				{Name: "alice", Realm: "example.com", Password: "0123"},
				{Name: "bob", Realm: "example.org", HA1MD5: strings.ToLower(md5Hash)},
				{Name: "yes", Password: `: "#'\`},
			},
			notes: []string{
				"subscriber: row 3, empty: not taken: neither password nor hash",
				"subscriber: row 4, a:b: not taken: no name that a user can have",
			},
		},
		{
			name: "OpenSIPS",
			statements: []string{
				"CREATE TABLE subscriber (id, username, domain, password, ha1, ha1_sha256, ha1_sha512t256)",
				"INSERT INTO subscriber VALUES (1, 'alice   ', 'example.com   ', '   ', '" + md5Hash + "   ', '" + shaHash + "', 'old'), (2, 'bob', 'example.com', '', '', '', '" + shaHash + "')",
			},
			want: []auth.Account{
				{Name: "alice", Realm: "example.com", HA1MD5: strings.ToLower(md5Hash), HA1SHA256: shaHash},
				{Name: "bob", Realm: "example.com", HA1SHA512256: shaHash},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var file strings.Builder
			n, notes, err := Users(t.Context(), database(t, tt.statements...), "subscriber", &file)
			if err != nil || n != len(tt.want) {
				t.Fatalf("%d users, %v", n, err)
			}
			got, err := auth.ParseFile("users", []byte(file.String()))
			if err != nil {
				t.Fatalf("%v\n%s", err, file.String())
			}
			if d := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(auth.Account{}, "Origin")); d != "" {
				t.Errorf("accounts (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.notes, lines(notes)); d != "" {
				t.Errorf("notes (-want +got):\n%s", d)
			}
		})
	}
}

func lines(notes []Note) []string {
	var list []string
	for _, n := range notes {
		list = append(list, n.String())
	}
	return list
}

// TestLocation reads rows as both servers write them.
func TestLocation(t *testing.T) {
	// Far from now: the store forgets what has expired by its own clock.
	now := time.Date(2095, 11, 22, 12, 0, 0, 0, time.UTC)
	berlin := time.FixedZone("CET", 3600)
	tests := []struct {
		name, table, row string
		aor              usrloc.AOR
		want             *usrloc.Binding
		note             string
	}{
		{
			name: "Kamailio", table: "username, domain, contact, received, path, expires, q, callid, cseq, last_modified, user_agent, methods, instance, reg_id",
			row: "'alice', 'Example.com', 'sip:alice@10.0.0.1:5062;ob', 'sip:198.51.100.1:4711', '<sip:a;lr>,\"x,y\" <sip:b;lr>', '2095-11-22 14:00:00', 0.5, 'c', 7," +
				"'2095-11-22 12:30:00', 'phone', 257, '<urn:uuid:1>', 2",
			aor: "sip:alice@example.com",
			want: &usrloc.Binding{
				Contact: "sip:alice@10.0.0.1:5062;ob", Q: 500, CallID: "c", CSeq: 7, UserAgent: "phone", Methods: usrloc.MethodInvite | usrloc.MethodMessage,
				Instance: "urn:uuid:1", RegID: 2, Params: `;+sip.instance="<urn:uuid:1>";reg-id=2`, Path: []string{"<sip:a;lr>", `"x,y" <sip:b;lr>`},
				Created: now.Add(-30 * time.Minute), Updated: now.Add(-30 * time.Minute), Expires: now.Add(time.Hour), RetainUntil: now.Add(time.Hour),
				Flow: udp("198.51.100.1:4711"),
			},
		},
		{
			name: "OpenSIPS, woken by push", table: "contact_id, username, domain, contact, received, path, expires, q, callid, cseq, last_modified, cflags, user_agent, methods, sip_instance",
			row: "1, 'bob', NULL, 'sip:bob@10.0.0.1;transport=tcp;pn-provider=fcm;pn-param=p;pn-prid=a%3Ab', NULL, NULL, 3972805200, -1, 'c', 1, '2095-11-22 13:00:00', '', '', NULL, '\"<urn:uuid:2>\"'",
			aor: "sip:bob@example.org",
			want: &usrloc.Binding{
				Contact: "sip:bob@10.0.0.1;transport=tcp;pn-provider=fcm;pn-param=p;pn-prid=a%3Ab", Q: usrloc.QUnset, CallID: "c", CSeq: 1,
				Instance: "urn:uuid:2", Params: `;+sip.instance="<urn:uuid:2>"`, Push: usrloc.Push{Provider: "fcm", Param: "p", PRID: "a:b"},
				Created: now, Updated: now, Expires: now.Add(time.Hour), RetainUntil: now.Add(time.Hour), RefreshAt: now.Add(58 * time.Minute),
			},
		},
		{name: "expired", table: "username, domain, contact, expires", row: "'a', 'b', 'sip:a@h', '2095-11-22 12:59:59'"},
		{name: "for ever", table: "username, domain, contact, expires", row: "'a', 'b', 'sip:a@h', 0", note: "location: row 1, a: not taken: it never expires; write it as a fixed contact"},
		{name: "no contact", table: "username, domain, contact, expires", row: "'a', 'b', 'tel:1', 3972805200", note: "location: row 1, a: not taken: its contact is no SIP URI"},
		{name: "line end", table: "username, domain, contact, user_agent, expires", row: "'a', 'b', 'sip:a@h', 'x'||char(13), 3972805200", note: "location: row 1, a: not taken: it holds a control character"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			db := database(t, "CREATE TABLE location ("+tt.table+")", "INSERT INTO location VALUES ("+tt.row+")")
			store := usrloc.NewMemory(usrloc.MemoryOptions{})
			o := LocationOptions{Table: "location", Domain: "example.org", Listener: "udp", Zone: berlin, Now: now}
			n, expired, notes, err := Location(t.Context(), db, o, store)
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == nil {
				if got := strings.Join(lines(notes), "\n"); n != 0 || got != tt.note || (expired == 1) != (tt.note == "") {
					t.Errorf("%d taken, %d expired, notes %q", n, expired, got)
				}
				return
			}
			rec, err := store.Get(t.Context(), tt.aor)
			if err != nil || len(rec.Bindings) != 1 || n != 1 {
				t.Fatalf("%d bindings, %d taken, %v, %v", len(rec.Bindings), n, lines(notes), err)
			}
			if d := cmp.Diff(*tt.want, rec.Bindings[0], cmpopts.IgnoreFields(usrloc.Binding{}, "ID"), cmpopts.EquateComparable(flow.Flow{}), cmpopts.EquateEmpty()); d != "" {
				t.Errorf("binding (-want +got):\n%s", d)
			}
		})
	}
}

func TestPreference(t *testing.T) {
	for s, want := range map[string]usrloc.Q{
		"": usrloc.QUnset, "-1": usrloc.QUnset, "1.01": usrloc.QUnset, "nan": usrloc.QUnset, "inf": usrloc.QUnset, "0": 0, "0.50": 500, "1": 1000,
	} {
		if got := preference(s); got != want {
			t.Errorf("preference(%q) = %d, want %d", s, got, want)
		}
	}
}

func udp(remote string) flow.Flow {
	u := "sip:" + remote
	return lastFlow(u, mustURI(u), "udp")
}

// TestLastFlow: only what is reached by UDP is reached from here.
func TestLastFlow(t *testing.T) {
	for received, want := range map[string]string{
		"":                                 "udp:192.0.2.1:5060@main",
		"sip:198.51.100.1:4711":            "udp:198.51.100.1:4711@main",
		"sip:[2001:db8::1]:1":              "udp:[2001:db8::1]:1@main",
		"sip:198.51.100.1;transport=UDP":   "udp:198.51.100.1:5060@main",
		"sip:198.51.100.1:1;transport=tcp": "none",
		"sips:198.51.100.1":                "none",
		"sip:host.example.com":             "none",
		"hello":                            "udp:192.0.2.1:5060@main",
	} {
		if got := lastFlow(received, mustURI("sip:a@192.0.2.1"), "main").String(); got != want {
			t.Errorf("lastFlow(%q) = %s, want %s", received, got, want)
		}
	}
}

func FuzzSplitPath(f *testing.F) {
	f.Add(`<sip:a;lr>, "x,y" <sip:b;lr>`)
	f.Add(`<<,">`)
	f.Fuzz(func(t *testing.T, s string) {
		values := splitPath(s)
		// Nothing but blanks and commas is lost.
		strip := strings.NewReplacer(" ", "", ",", "", "\t", "", "\r", "", "\n", "", "\v", "", "\f", "", "\u0085", "", "\u00a0", "").Replace
		if got := strip(strings.Join(values, "")); got != strip(s) && !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7f }) {
			t.Errorf("splitPath(%q) = %q", s, values)
		}
		if slices.Contains(values, "") {
			t.Errorf("splitPath(%q) has an empty value", s)
		}
	})
}

func mustURI(s string) sipmsg.URI {
	u, err := sipmsg.ParseURI(s)
	if err != nil {
		panic(err)
	}
	return u
}
