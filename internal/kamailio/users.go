package kamailio

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"reveille/internal/sqldb"
)

// A user is an entry of the users file.
type user struct {
	Name         string `yaml:"name"`
	Realm        string `yaml:"realm,omitempty"`
	Password     string `yaml:"password,omitempty"`
	HA1MD5       string `yaml:"ha1_md5,omitempty"`
	HA1SHA256    string `yaml:"ha1_sha256,omitempty"`
	HA1SHA512256 string `yaml:"ha1_sha512_256,omitempty"`
}

// Users writes the rows of the table subscriber as a users file, and returns how
// many. A password goes before hashes: from it all follow. The file is as secret
// as the table.
func Users(ctx context.Context, db *sqldb.DB, table string, w io.Writer) (n int, notes []Note, err error) {
	if _, err := io.WriteString(w, "users:\n"); err != nil {
		return 0, nil, err
	}
	err = each(ctx, db, table, func(number int, r row) error {
		u := user{Name: r.text("username"), Realm: r.text("domain"), Password: r.text("password")}
		note := func(what string) { notes = append(notes, Note{table, number, u.Name, what}) }
		if u.Password == "" {
			u.HA1MD5 = digest(r.text("ha1"), 16)
			u.HA1SHA256 = digest(r.text("ha1_sha256"), 32)
			u.HA1SHA512256 = digest(r.text("ha1_sha512t256"), 32)
		}
		switch {
		case u.Name == "" || strings.ContainsFunc(u.Name, func(c rune) bool { return c == ':' || c < ' ' || c == 0x7f }):
			note("not taken: no name that a user can have")
			return nil
		case u.Password == "" && u.HA1MD5 == "" && u.HA1SHA256 == "" && u.HA1SHA512256 == "":
			note("not taken: neither password nor hash")
			return nil
		}
		text, err := yaml.Marshal([]user{u})
		if err != nil {
			return fmt.Errorf("write user %q: %w", u.Name, err)
		}
		for line := range strings.Lines(string(text)) {
			if _, err := io.WriteString(w, "  "+line); err != nil {
				return err
			}
		}
		n++
		return nil
	})
	return n, notes, err
}

// digest returns s if it is a hash of so many bytes in hexadecimal. Tables hold
// others where a version of the server knew no better.
func digest(s string, size int) string {
	if b, err := hex.DecodeString(s); err != nil || len(b) != size {
		return ""
	}
	return strings.ToLower(s)
}
