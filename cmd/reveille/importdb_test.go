package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reveille/internal/auth"
	"reveille/internal/sqldb"
)

// kamailioTables makes a database as Kamailio leaves one.
func kamailioTables(t *testing.T) (url string) {
	t.Helper()
	url = "sqlite:" + filepath.Join(t.TempDir(), "kamailio.db")
	db, err := sqldb.Open(sqldb.Options{URL: url + "?mode=rwc"})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range []string{
		"CREATE TABLE subscriber (id, username, domain, password, ha1)",
		"INSERT INTO subscriber VALUES (1, 'alice', 'example.com', 'not-a-real-one', ''), (2, 'nobody', 'example.com', '', '')",
		"CREATE TABLE location (ruid, username, domain, contact, received, path, expires, q, callid, cseq, last_modified, user_agent, methods, instance, reg_id)",
		"INSERT INTO location VALUES ('a', 'alice', 'example.com', 'sip:alice@192.0.2.1;pn-provider=fcm;pn-param=p;pn-prid=t', NULL, NULL, '2095-01-01 00:00:00', -1, 'c', 1," +
			"'2026-01-01 00:00:00', 'phone', NULL, '', 0), ('b', 'bob', 'example.com', 'sip:b@192.0.2.2;transport=tcp', NULL, NULL, '2095-01-01 00:00:00', -1, 'c', 1," +
			"'2026-01-01 00:00:00', 'phone', NULL, '', 0), ('c', 'carol', 'example.com', 'sip:c@192.0.2.3', NULL, NULL, '2001-01-01 00:00:00', -1, 'c', 1, '2001-01-01 00:00:00', '', NULL, '', 0)",
	} {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	return url
}

// TestImportTables_TheServerTakesIt: the users file is one, and the registrations
// go into a store.
func TestImportTables_TheServerTakesIt(t *testing.T) {
	for _, from := range []string{"kamailio", "opensips"} {
		t.Run(from, func(t *testing.T) {
			dir, secret := filepath.Join(t.TempDir(), "new"), filepath.Join(t.TempDir(), "url")
			if err := os.WriteFile(secret, []byte(kamailioTables(t)+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			code, stdout, stderr := runWith(program{}, "import", from, "--db-file", secret, "-o", dir)
			if code != exitOK || !strings.Contains(stdout, "1 users written") || !strings.Contains(stdout, "2 registrations written, 1 had expired") ||
				stderr != "subscriber: row 2, nobody: not taken: neither password nor hash\n" {
				t.Fatalf("import = %d, %q, %q", code, stdout, stderr)
			}
			users, bindings := filepath.Join(dir, importedUsers), filepath.Join(dir, importedBindings)
			accounts, warning, err := auth.ReadFile(users)
			if err != nil || warning != "" || len(accounts) != 1 || accounts[0].Password != "not-a-real-one" {
				t.Errorf("users: %v, %q, %v", accounts, warning, err)
			}
			file, err := os.Open(bindings)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			store := t.TempDir()
			if code, _, stderr := runWith(program{input: file}, "bindings", "import", store); code != exitOK || !strings.Contains(stderr, "2 bindings read") {
				t.Errorf("bindings import = %d, %q", code, stderr)
			}
			// What is there is not touched.
			if code, _, stderr := runWith(program{}, "import", from, "--db-file", secret, "-o", dir); code != exitFailed || !strings.Contains(stderr, "file exists") {
				t.Errorf("again: %d, %q", code, stderr)
			}
			if info, err := os.Stat(users); err != nil || info.Size() == 0 || info.Mode().Perm() != 0o600 {
				t.Errorf("users file: %v", err)
			}
		})
	}
}

func TestImportTables_Refuses(t *testing.T) {
	url := kamailioTables(t)
	for name, tt := range map[string]struct {
		args []string
		says string
	}{
		"no database":   {nil, "no database"},
		"no such file":  {[]string{"--db-file", "/nowhere"}, "no such file"},
		"no URL":        {[]string{"--db", "oracle:hush"}, "is none of sqlite"},
		"no table":      {[]string{"--db", url, "--subscribers", "people"}, "people"},
		"no other":      {[]string{"--db", url, "--location", "places"}, "places"},
		"no zone":       {[]string{"--db", url, "--zone", "Nowhere/Land"}, "Nowhere/Land"},
		"more argument": {[]string{"--db", url, "x"}, "arguments"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			code, _, stderr := runWith(program{}, append([]string{"import", "kamailio", "-o", dir}, tt.args...)...)
			if code == exitOK || !strings.Contains(stderr, tt.says) || strings.Contains(stderr, "hush") {
				t.Errorf("import = %d, %q, want it to say %q", code, stderr, tt.says)
			}
			for _, file := range []string{importedUsers, importedBindings} {
				if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
					t.Errorf("%s of a failed import is left, which stops the next one", file)
				}
			}
		})
	}
}

// TestConfigLocation prints what makes the table.
func TestConfigLocation(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres", "mysql"} {
		if code, stdout, _ := runWith(program{}, "config", "location", kind); code != exitOK || !strings.Contains(stdout, "CREATE TABLE location") {
			t.Errorf("config location %s = %d, %q", kind, code, stdout)
		}
	}
	if code, _, stderr := runWith(program{}, "config", "location", "oracle"); code == exitOK || !strings.Contains(stderr, "none of sqlite, postgres, mysql") {
		t.Errorf("config location oracle = %d, %q", code, stderr)
	}
}
