package locationdb

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"reveille/usrloc"
)

// writeAll writes every user and then finds the rows that belong to nobody any
// more. What changes meanwhile is noted as always. It reports whether to go on.
func (w *Writer) writeAll(ctx context.Context, from Records, b *backoff) bool {
	w.mu.Lock()
	w.resync = false
	w.mu.Unlock()
	for c := (usrloc.Cursor{}); ; {
		recs, next, err := from.List(ctx, c, batch)
		if err == nil && len(recs) > 0 {
			err = w.write(ctx, recs)
		}
		if err != nil {
			if !b.failed(ctx, err) {
				return false
			}
			continue // at the same place
		}
		b.worked()
		if c = next; c.IsZero() {
			break
		}
	}
	for last := int64(-1); ; {
		next, more, err := w.sweep(ctx, from, last)
		if err != nil {
			if !b.failed(ctx, err) {
				return false
			}
			continue
		}
		b.worked()
		if last = next; !more {
			break
		}
	}
	w.metrics.resyncs.Inc()
	return true
}

// sweepStep is how many rows are looked at by one statement.
const sweepStep = 1000

// sweep looks at our rows behind the one with the id last, and notes the users
// who have rows and no bindings. It returns the last id that it saw.
func (w *Writer) sweep(ctx context.Context, from Records, last int64) (seen int64, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	text := "SELECT id, username, domain FROM " + w.o.Table + " WHERE server_id = ? AND id > ? ORDER BY id LIMIT ?"
	rows, err := w.db.QueryContext(ctx, w.db.Dialect.Number(text), int64(w.o.Node), last, sweepStep)
	if err != nil {
		return 0, false, fmt.Errorf("read locations: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err tells what went wrong.
	n := 0
	for ; rows.Next(); n++ {
		var username string
		var domain sql.NullString
		if err := rows.Scan(&seen, &username, &domain); err != nil {
			return 0, false, fmt.Errorf("read locations: %w", err)
		}
		if !domain.Valid {
			continue // Another server wrote it: ours have a domain.
		}
		aor := usrloc.AOR("sip:" + domain.String)
		if username != "" {
			aor = usrloc.AOR("sip:" + username + "@" + domain.String)
		}
		rec, err := from.Get(ctx, aor)
		if err != nil {
			return 0, false, err
		}
		if len(alive(&rec, time.Now())) == 0 {
			w.Changed(aor)
		}
	}
	if err := rows.Err(); err != nil {
		return 0, false, fmt.Errorf("read locations: %w", err)
	}
	return seen, n == sweepStep, nil
}
