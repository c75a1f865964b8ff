package sql

import (
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"reveille/internal/auth/source"
)

// meaning returns what a column of this name, in lower case, holds; names that
// others use mean the same.
func meaning(column string) string {
	switch column {
	case "ha1_md5":
		return string(source.HA1)
	case "ha1_sha512t256":
		return string(source.HA1SHA512256)
	}
	return column
}

// field returns what a column of this name is scanned into, or nil for one that
// means nothing here: a query may give more than is asked of it.
//
//	username        the user, compared byte by byte
//	password        the password
//	ha1             H(user:realm:password) by MD5, in hexadecimal; or ha1_md5
//	ha1_sha256      the same by SHA-256
//	ha1_sha512_256  the same by SHA-512/256; or ha1_sha512t256
//	aors            further addresses, separated by commas or blanks
//	max_contacts    a number
//	display_name    a text
func field(r *source.Record, column string) sql.Scanner {
	switch meaning(column) {
	case "username":
		return text{&r.Name}
	case "password":
		return text{&r.Password}
	case "ha1":
		return text{&r.HA1MD5}
	case "ha1_sha256":
		return text{&r.HA1SHA256}
	case "ha1_sha512_256":
		return text{&r.HA1SHA512256}
	case "aors":
		return list{&r.AORs}
	case "max_contacts":
		return number{&r.MaxContacts}
	case "display_name":
		return text{&r.DisplayName}
	}
	return nil
}

// text scans whatever can be read as a string; NULL is "".
type text struct{ to *string }

// Scan implements sql.Scanner.
func (t text) Scan(v any) error {
	var s sql.NullString
	if err := s.Scan(v); err != nil {
		return err
	}
	*t.to = s.String
	return nil
}

// padded scans a column of PostgreSQL's type CHAR(n), as OpenSIPS has them: the
// blanks that fill it are no part of the value.
type padded struct{ to sql.Scanner }

// Scan implements sql.Scanner.
func (p padded) Scan(v any) error {
	var s string
	if err := (text{&s}).Scan(v); err != nil {
		return err
	}
	return p.to.Scan(strings.TrimRight(s, " "))
}

// list scans a text of several values.
type list struct{ to *[]string }

// Scan implements sql.Scanner.
func (l list) Scan(v any) error {
	var s string
	if err := (text{&s}).Scan(v); err != nil {
		return err
	}
	*l.to = strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\r' || r == '\n' })
	return nil
}

// number scans a whole number, also one in a text; NULL and "" are 0.
type number struct{ to *int }

// Scan implements sql.Scanner.
func (n number) Scan(v any) error {
	var s string
	if err := (text{&s}).Scan(v); err != nil || s == "" {
		return err
	}
	var err error
	if *n.to, err = strconv.Atoi(s); err != nil {
		return fmt.Errorf("%q is no whole number", s)
	}
	return nil
}
