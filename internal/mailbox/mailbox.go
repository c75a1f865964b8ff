package mailbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/internal/boltfile"
	"reveille/internal/event"
	"reveille/usrloc"
)

// File is the name of the journal in its folder.
const File = "messages.db"

// Options of a Box. Dir, Store and Limits are required.
type Options struct {
	// Dir is a folder that exists and is this server's alone.
	Dir string
	// NoSync: what was accepted survives the end of the process, and not a power loss.
	NoSync bool
	Limits Limits
	// Deliveries is how many messages are on their way to phones at a time; default
	// 100.
	Deliveries int
	// Store tells when a phone registers.
	Store Watcher
	Sink  event.Sink
	// Logger, or nil to discard; Registerer of the metrics, or nil for none.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// A Watcher is what a Box needs of a usrloc.Store.
type Watcher interface {
	Watch(ctx context.Context, aor usrloc.AOR, until time.Time, changed func(usrloc.Change)) (rec usrloc.Record, cancel func(), err error)
}

// A Carrier takes messages to phones. Its methods are safe for concurrent use and do not
// wait.
type Carrier interface {
	// Carry hands m to all phones of its user that are awake. done runs once, on any
	// goroutine, when the first has it or all have answered.
	Carry(m Message, done func(Outcome))
	// Behind runs fn when all is done that has arrived with a Call-ID.
	Behind(callID string, fn func())
}

// A Ticket names a message that is kept.
type Ticket struct{ place place }

// A Box keeps messages. Its methods are safe for concurrent use and do not wait for the
// disk, but for Stop.
type Box struct {
	opts    Options
	log     *slog.Logger
	journal *journal
	metrics *metrics
	// wake has room for one: there is something to do for the clerk.
	wake chan struct{}
	// quit ends the clerk, gone is closed when it has ended.
	quit, gone chan struct{}
	stop       sync.Once

	mu      sync.Mutex // guards the fields below
	book    *book
	orders  []order
	carrier Carrier // nil: nothing is handed over yet, or any more
	stopped bool

	// Of the clerk:

	// owed are messages that are to be removed from the disk.
	owed []place
	// full: the last write failed.
	full bool
}

// New opens the journal. Nothing is handed over before Start.
func New(o Options) (*Box, error) {
	if o.Dir == "" || o.Store == nil || o.Limits.Bytes <= 0 || o.Limits.Users <= 0 || o.Limits.UserMessages <= 0 || o.Limits.UserBytes <= 0 {
		return nil, errors.New("mailbox: Dir, Store and Limits are required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Sink == nil {
		o.Sink = event.Discard{}
	}
	if o.Deliveries <= 0 {
		o.Deliveries = 100
	}
	b := &Box{
		opts: o, log: o.Logger, book: newBook(o.Limits),
		wake: make(chan struct{}, 1), quit: make(chan struct{}), gone: make(chan struct{}),
	}
	var err error
	b.journal, err = openJournal(boltfile.Options{Path: filepath.Join(o.Dir, File), NoSync: o.NoSync}, b.book.load, o.Logger)
	if err != nil {
		return nil, fmt.Errorf("messages that wait: %w", err)
	}
	b.metrics = newMetrics(o.Registerer, b)
	go b.run() // Ends with Stop, which waits for it.
	return b, nil
}

// Start begins to hand messages over, and tries all that waited before.
func (b *Box) Start(c Carrier) {
	b.mu.Lock()
	b.carrier = c
	var all []usrloc.AOR
	for aor := range b.book.users {
		all = append(all, aor)
	}
	slices.Sort(all)
	for _, aor := range all {
		b.book.call(aor)
	}
	b.mu.Unlock()
	b.signal()
}

// Halt hands nothing over any more. What is on its way goes on.
func (b *Box) Halt() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.carrier = nil
}

// Waiting reports whether messages wait for a user, or are on their way to the disk. Who
// has another one must not pass by them.
func (b *Box) Waiting(aor usrloc.AOR) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := b.book.users[aor]
	return u != nil && u.waits() > 0
}

// Keep takes a message, whose Request must not change any more. done runs once, on any
// goroutine: with nil the message is as durable as Options say, and will be handed over
// after the next registration, or Try. An error says why it is not kept.
func (b *Box) Keep(m Message, done func(Ticket, error)) {
	m.AOR = usrloc.AOR(strings.Clone(string(m.AOR)))
	b.mu.Lock()
	err := ErrStopped
	if !b.stopped {
		err = b.book.reserve(m.AOR, len(m.Request))
	}
	if err == nil {
		b.orders = append(b.orders, order{add: &m, kept: done})
	}
	b.mu.Unlock()
	if err != nil {
		b.metrics.declined(err)
		done(Ticket{}, err)
		return
	}
	b.signal()
}

// Withdraw removes a message that a phone got by another way, or whose sender gave up
// before it was told.
func (b *Box) Withdraw(t Ticket) { b.give(order{place: t.place, withdrawn: true}) }

// Try hands over what waits for a user, if phones are awake.
func (b *Box) Try(aor usrloc.AOR) {
	b.mu.Lock()
	b.book.call(aor)
	b.mu.Unlock()
	b.signal()
}

// registered is Try after a registration, which made the Record's Version version.
func (b *Box) registered(aor usrloc.AOR, version uint64) {
	b.mu.Lock()
	if u := b.book.users[aor]; u != nil {
		u.seen = max(u.seen, version)
		b.book.call(aor)
	}
	b.mu.Unlock()
	b.signal()
}

// give has the clerk do something. Orders are bounded: each belongs to a message that
// has its room.
func (b *Box) give(o order) {
	b.mu.Lock()
	if !b.stopped {
		b.orders = append(b.orders, o)
	}
	b.mu.Unlock()
	b.signal()
}

func (b *Box) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// A Summary is what waits for a user.
type Summary struct {
	AOR      usrloc.AOR
	Messages int
	Bytes    int64
	// Oldest is when the first of them came, and Until when it is of no more use.
	Oldest, Until time.Time
}

// Users returns for whom messages wait, by AOR.
func (b *Box) Users() []Summary {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []Summary
	for aor, u := range b.book.users {
		if len(u.entries) > 0 {
			all = append(all, Summary{aor, u.waits(), u.bytes, u.entries[0].kept, u.entries[0].until})
		}
	}
	slices.SortFunc(all, func(x, y Summary) int { return strings.Compare(string(x.AOR), string(y.AOR)) })
	return all
}

// Stop writes what was accepted and closes the journal, with ctx at the latest. It may
// be called again.
func (b *Box) Stop(ctx context.Context) error {
	b.mu.Lock()
	b.stopped, b.carrier = true, nil
	b.mu.Unlock()
	b.stop.Do(func() { close(b.quit) })
	select {
	case <-b.gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("messages on their way to the disk: %w", ctx.Err())
	}
}
