package kamailio

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"reveille/internal/sqldb"
)

// A Note is about a row that was not taken, or not as it was.
type Note struct {
	Table string
	// Row is its number, from 1, in the order of the database; Who is the user.
	Row  int
	Who  string
	What string
}

// String returns the note in one line.
func (n Note) String() string {
	return fmt.Sprintf("%s: row %d, %s: %s", n.Table, n.Row, n.Who, n.What)
}

// A row is one row of a table whose columns are not known before.
type row map[string]any

// each calls fn for every row of a table.
func each(ctx context.Context, db *sqldb.DB, table string, fn func(number int, r row) error) error {
	rows, err := db.QueryContext(ctx, "SELECT * FROM "+table)
	if err != nil {
		return fmt.Errorf("read %s: %w", table, err)
	}
	defer func() { _ = rows.Close() }() // Err tells what went wrong.
	types, err := rows.ColumnTypes()
	if err != nil {
		return fmt.Errorf("read %s: %w", table, err)
	}
	values, targets := make([]any, len(types)), make([]any, len(types))
	for i := range values {
		targets[i] = &values[i]
	}
	for n := 1; rows.Next(); n++ {
		if err := rows.Scan(targets...); err != nil {
			return fmt.Errorf("read %s: row %d: %w", table, n, err)
		}
		r := make(row, len(types))
		for i, t := range types {
			r[strings.ToLower(t.Name())] = values[i]
		}
		if err := fn(n, r); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read %s: %w", table, err)
	}
	return nil
}

// text returns the first of these columns that is there and not empty, less the
// blanks that fill columns of type CHAR.
func (r row) text(columns ...string) string {
	for _, name := range columns {
		var s string
		switch v := r[name].(type) {
		case nil:
		case []byte:
			s = string(v)
		case time.Time:
			s = v.Format(time.DateTime)
		default:
			s = fmt.Sprint(v)
		}
		if s = strings.TrimRight(s, " "); s != "" {
			return s
		}
	}
	return ""
}

// number returns a whole number, 0 if there is none.
func (r row) number(column string) int64 {
	n, err := strconv.ParseInt(r.text(column), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// when returns a time: a date and clock time of zone, or seconds since 1970. ok
// is false for none, and for the 0 that stands for "never".
func (r row) when(column string, zone *time.Location) (t time.Time, ok bool) {
	s := r.text(column)
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Unix(n, 0).UTC(), n > 0
	}
	s, _, _ = strings.Cut(strings.Replace(s, "T", " ", 1), ".")
	t, err := time.ParseInLocation(time.DateTime, s[:min(len(s), len(time.DateTime))], zone)
	return t.UTC(), err == nil
}
