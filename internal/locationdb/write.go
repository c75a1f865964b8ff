package locationdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"reveille/internal/sqldb"
	"reveille/usrloc"
)

// write puts the rows of these users in the place of those that are there, all
// in one transaction. If the database takes some of the users and others not, the
// others are left out: one of them must not keep the rest from being written.
func (w *Writer) write(ctx context.Context, recs []usrloc.Record) error {
	err := w.transact(ctx, recs)
	if err == nil || len(recs) == 1 || ctx.Err() != nil {
		return err
	}
	taken := 0
	var refused []usrloc.Record
	for i := range recs {
		one := w.transact(ctx, recs[i:i+1])
		switch {
		case one == nil:
			taken++
		case taken == 0 && i > 0:
			// Two in a row: it is not about them.
			return err
		default:
			refused = append(refused, recs[i])
		}
	}
	if taken == 0 {
		return err
	}
	w.metrics.refused.Add(float64(len(refused)))
	if len(refused) > 0 {
		w.log.Warn("the database does not take the rows of some users", "aor", string(refused[0].AOR), "count", len(refused), "err", err)
	}
	return nil
}

func (w *Writer) transact(ctx context.Context, recs []usrloc.Record) error {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("write locations: %w", err)
	}
	if err := w.replace(ctx, tx, recs); err != nil {
		return fmt.Errorf("write locations: %w", errors.Join(err, ended(tx.Rollback())))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("write locations: %w", err)
	}
	w.metrics.written.Add(float64(len(recs)))
	return nil
}

// ended forgives a Rollback of what is over already.
func ended(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// replace deletes the rows of these users and inserts what they have now.
func (w *Writer) replace(ctx context.Context, tx *sql.Tx, recs []usrloc.Record) error {
	var del []any
	var ins []any
	rows, now := 0, time.Now()
	for i := range recs {
		username, domain := account(recs[i].AOR)
		del = append(del, valid(username), valid(domain))
		if w.db.Dialect == sqldb.MySQL {
			del = append(del, valid(username))
		}
		for _, b := range alive(&recs[i], now) {
			values, ok := w.rows.row(recs[i].AOR, b)
			if !ok {
				w.metrics.refused.Inc()
				continue
			}
			ins = append(ins, values...)
			rows++
		}
	}
	user := "(username = ? AND domain = ?)"
	if w.db.Dialect == sqldb.MySQL {
		// Its collations mostly say that alice is Alice. The first comparison is for
		// the index.
		user = "(username = ? AND domain = ? AND CAST(CONVERT(username USING utf8mb4) AS BINARY) = CAST(? AS BINARY))"
	}
	if err := w.exec(ctx, tx, "DELETE FROM "+w.o.Table+" WHERE "+repeat(user, " OR ", len(recs)), del); err != nil {
		return err
	}
	for rows > 0 {
		// A statement has a bounded number of parameters.
		n := min(rows, batch)
		one := "(" + repeat("?", ", ", columnCount) + ")"
		text := "INSERT INTO " + w.o.Table + " (" + columns + ") VALUES " + repeat(one, ", ", n)
		if err := w.exec(ctx, tx, text, ins[:n*columnCount]); err != nil {
			return err
		}
		rows, ins = rows-n, ins[n*columnCount:]
	}
	return nil
}

// valid returns what every database takes as a text. A name that it changes is
// in no row.
func valid(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
}

// exec runs a statement whose parameters are written ?.
func (w *Writer) exec(ctx context.Context, tx *sql.Tx, text string, args []any) error {
	_, err := tx.ExecContext(ctx, w.db.Dialect.Number(text), args...)
	return err
}

func repeat(s, between string, n int) string {
	return strings.Repeat(s+between, n-1) + s
}
