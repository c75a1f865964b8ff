package locationdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/flow"
	"reveille/internal/sqldb"
	"reveille/usrloc"
)

// Defaults of Options.
const (
	DefaultTable    = "location"
	DefaultInterval = time.Second
	DefaultQueue    = 100_000
)

// batch is how many users are written in one transaction.
const batch = 100

// The pause after a write that failed doubles from the first of these to the
// second.
const (
	minPause = time.Second
	maxPause = time.Minute
)

// writeTime bounds one transaction.
const writeTime = 30 * time.Second

// Records is the location service as usrloc.Memory has it.
type Records interface {
	Get(ctx context.Context, aor usrloc.AOR) (usrloc.Record, error)
	List(ctx context.Context, c usrloc.Cursor, n int) ([]usrloc.Record, usrloc.Cursor, error)
}

// Options configure a Writer. URL is required.
type Options struct {
	// URL names the database as sqldb.Options does.
	URL string
	// Timeout bounds the time to connect; 0 means what the database's driver has.
	Timeout time.Duration
	// Table is written to; it must exist. "" means DefaultTable.
	Table string
	// Node is the server_id of the rows. Rows with others are left alone, but for
	// those of users that are written.
	Node uint32
	// PushParams leaves the push parameters in the contacts. They are secrets of
	// the phones.
	PushParams bool
	// Socket names the address on which a flow arrived, "udp:192.0.2.1:5060"; nil
	// leaves it out.
	Socket func(flow.Flow) string
	// Interval is how long changes are gathered; 0 means DefaultInterval.
	Interval time.Duration
	// Queue is how many users can be noted as changed; 0 means DefaultQueue.
	Queue int
	// Logger is told when the database fails and when it is back.
	Logger *slog.Logger
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer
}

// A Writer writes what it is told of. Changed is safe for concurrent use.
type Writer struct {
	o       Options
	db      *sqldb.DB
	rows    translation
	log     *slog.Logger
	metrics *metrics
	changed chan struct{} // there is something to do

	mu sync.Mutex // guards the rest
	// pending are the users whose rows are not what they should be, since is when
	// the first of them was noted.
	pending map[usrloc.AOR]struct{}
	since   time.Time
	resync  bool // more changed than pending holds
}

// identifier is what may stand in a statement: a name, or schema and name.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?$`)

// New returns a Writer. It connects when Run has something to write.
func New(o Options) (*Writer, error) {
	if o.Table == "" {
		o.Table = DefaultTable
	}
	if !identifier.MatchString(o.Table) {
		return nil, fmt.Errorf("locationdb: %q is no name of a table", o.Table)
	}
	if o.Interval <= 0 {
		o.Interval = DefaultInterval
	}
	if o.Queue <= 0 {
		o.Queue = DefaultQueue
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	// Run alone writes, one transaction at a time.
	db, err := sqldb.Open(sqldb.Options{
		URL: o.URL, Name: "location", MaxConns: 2, Timeout: o.Timeout, Logger: o.Logger, Registerer: o.Registerer,
	})
	if err != nil {
		return nil, err
	}
	w := &Writer{
		o: o, db: db, log: o.Logger, changed: make(chan struct{}, 1), pending: make(map[usrloc.AOR]struct{}),
		rows: translation{node: o.Node, pushParams: o.PushParams, socket: o.Socket},
	}
	w.metrics = newMetrics(o.Registerer, w)
	return w, nil
}

// Close closes the database; Run must have ended.
func (w *Writer) Close() error { return w.db.Close() }

// Changed notes that the bindings of aor are others now. It never waits and may
// be called under a lock; aor may lie in a buffer that changes after the call.
func (w *Writer) Changed(aor usrloc.AOR) {
	w.mu.Lock()
	if _, noted := w.pending[aor]; noted || w.resync {
		w.mu.Unlock()
		return
	}
	w.note(usrloc.AOR(strings.Clone(string(aor))), time.Now())
	w.mu.Unlock()
	w.signal()
}

func (w *Writer) signal() {
	select {
	case w.changed <- struct{}{}:
	default: // It is known already.
	}
}

// note adds a user to the pending ones, or gives up telling them apart. The
// caller holds the lock.
func (w *Writer) note(aor usrloc.AOR, at time.Time) {
	if len(w.pending) >= w.o.Queue {
		w.resync = true
		clear(w.pending)
		w.metrics.overflows.Inc()
		return
	}
	if len(w.pending) == 0 || at.Before(w.since) {
		w.since = at
	}
	w.pending[aor] = struct{}{}
}

// backlog returns how many users wait, and how long the first of them has.
func (w *Writer) backlog() (n int, age time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.pending) == 0 && !w.resync {
		return 0, 0
	}
	return len(w.pending), time.Since(w.since)
}

// take returns up to n pending users and the time since when they may wait. all
// is set if everything has to be written instead.
func (w *Writer) take(n int) (aors []usrloc.AOR, since time.Time, all bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.resync {
		return nil, w.since, true
	}
	for aor := range w.pending {
		if len(aors) == n {
			break
		}
		aors = append(aors, aor)
		delete(w.pending, aor)
	}
	return aors, w.since, false
}

// giveBack notes users again that could not be written.
func (w *Writer) giveBack(aors []usrloc.AOR, since time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, aor := range aors {
		if !w.resync {
			w.note(aor, since)
		}
	}
}

// Run writes all of from, and then what changes, until ctx ends.
func (w *Writer) Run(ctx context.Context, from Records) {
	w.mu.Lock()
	w.resync, w.since = true, time.Now()
	w.mu.Unlock()
	w.signal()
	b := backoff{writer: w}
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.changed:
		}
		// Who registers often within this time is written once.
		if !wait(ctx, w.o.Interval) {
			return
		}
		for w.step(ctx, from, &b) {
		}
	}
}

// step writes one batch, or everything. It reports whether there may be more to
// do.
func (w *Writer) step(ctx context.Context, from Records, b *backoff) bool {
	aors, since, all := w.take(batch)
	if all {
		return w.writeAll(ctx, from, b)
	}
	if len(aors) == 0 {
		return false
	}
	recs, err := records(ctx, from, aors)
	if err == nil {
		err = w.write(ctx, recs)
	}
	if err != nil {
		w.giveBack(aors, since)
		return b.failed(ctx, err)
	}
	b.worked()
	return true
}

// records reads users as they are now.
func records(ctx context.Context, from Records, aors []usrloc.AOR) ([]usrloc.Record, error) {
	recs := make([]usrloc.Record, 0, len(aors))
	for _, aor := range aors {
		rec, err := from.Get(ctx, aor)
		if err != nil {
			return nil, err
		}
		rec.AOR = aor
		recs = append(recs, rec)
	}
	return recs, nil
}

// A backoff makes the pauses after failures in a row.
type backoff struct {
	writer *Writer
	pause  time.Duration
}

// failed tells of the first failure and waits. It reports false if ctx ended.
func (b *backoff) failed(ctx context.Context, err error) bool {
	if ctx.Err() != nil || errors.Is(err, usrloc.ErrClosed) {
		return false
	}
	b.writer.metrics.failures.Inc()
	if b.pause == 0 {
		b.writer.log.Warn("the location table cannot be written; trying again", "err", err)
	}
	b.pause = min(max(2*b.pause, minPause), maxPause)
	return wait(ctx, b.pause/2+rand.N(b.pause/2))
}

func (b *backoff) worked() {
	if b.pause != 0 {
		b.writer.log.Info("the location table can be written again")
	}
	b.pause = 0
}

// wait reports false if ctx ended before the time was over.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
