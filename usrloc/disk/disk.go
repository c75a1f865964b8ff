// Package disk makes the location service of one node durable: its Store is a
// usrloc.Memory whose changes go to a Pebble database.
//
// One committer gathers whatever waits into one batch with one sync and then
// calls the Updates' done functions, so nobody blocks while the disk works.
// Reads never touch the disk. At start the whole content is read back into
// memory, and every byte of it checked on the way.
//
// Two kinds of record are kept (record.go): the binding, and beside it what a
// plain refresh changes, so that a phone which only says "still here" costs a
// hundred bytes.
//
// The package promises: what done reported without an error is there after
// kill -9 at any instant (both modes), and after a power loss (Fsync). Damaged
// content is never loaded in part: Open refuses and names the file, and Repair
// saves what can be read.
package disk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"reveille/usrloc"
)

// A Mode says what an acknowledged change survives.
type Mode uint8

// The modes.
const (
	// Fsync: a change is acknowledged when the disk has it. It survives a power
	// loss.
	Fsync Mode = iota
	// Write: a change is acknowledged when the operating system has it. It
	// survives the end of the process, kill -9 included. After a power loss the
	// store may refuse to open until it is repaired.
	Write
)

func (m Mode) String() string {
	switch m {
	case Fsync:
		return "fsync"
	case Write:
		return "write"
	}
	return "unknown"
}

// Errors of a Store, beside those of package usrloc.
var (
	// ErrNoSpace: the file system has less room than Options.MinFree, so a
	// change that needs more was refused, before it was applied. It comes with
	// usrloc.ErrUnavailable.
	ErrNoSpace = errors.New("disk: too little free space")
	// ErrLocked: another process has the store open.
	ErrLocked = errors.New("disk: store in use")
	// ErrDamaged: the store holds what was never written. It comes as a
	// *DamageError.
	ErrDamaged = errors.New("disk: store damaged")
)

// DefaultMinFree is the free-space mark if Options names none: room for the
// write-ahead log and for compactions that are under way.
const DefaultMinFree = 256 << 20

// Options are the dependencies and limits of a Store. Zero values stand for the
// defaults.
type Options struct {
	// Dir is the store's directory; it is made if need be. Nothing else may be
	// kept in it.
	Dir string
	// Mode is what an acknowledged change survives; default Fsync.
	Mode Mode
	// FS is the file system; default the operating system's.
	FS vfs.FS
	// MinFree is how many bytes must be free in Dir's file system for a change
	// to be taken; default DefaultMinFree, negative for no such mark. What only
	// removes bindings is always taken.
	MinFree int64
	// OnFailure is called once if a commit failed, on a goroutine of the store
	// and before anything else happens. It should end the process: a new one
	// starts from what is on the disk. If it returns, all methods return
	// usrloc.ErrUnavailable, or Pebble ends the process less kindly; nothing
	// that was not committed is ever acknowledged. It must not call the store.
	OnFailure func(error)
	// Logger takes what an operator should know; nil for none.
	Logger *slog.Logger
	// Registerer takes the metrics, the Memory's too; nil for none.
	Registerer prometheus.Registerer
	// Memory are the limits of the Store. Its Committer and Registerer are set
	// by Open.
	Memory usrloc.MemoryOptions

	pace pace
	// blockSize is that of new tables; tests have little to fill them with.
	blockSize int
}

// A pace is how often the store looks after itself; tests have little time.
type pace struct {
	sweepEvery time.Duration // between two sweeps; default an hour
	sweepStep  time.Duration // between two steps of a sweep; default 20 ms
	spaceEvery time.Duration // between two looks at the free space; default a second
}

func (o *Options) setDefaults() error {
	if o.Dir == "" {
		return errors.New("disk: no directory")
	}
	if o.Mode > Write {
		return fmt.Errorf("disk: mode %d", o.Mode)
	}
	if o.FS == nil {
		o.FS = vfs.Default
		// Locks are known by name: one directory needs one name.
		dir, err := filepath.Abs(o.Dir)
		if err != nil {
			return fmt.Errorf("find directory of store: %w", err)
		}
		o.Dir = dir
	}
	o.MinFree = cmp.Or(o.MinFree, DefaultMinFree)
	if o.OnFailure == nil {
		o.OnFailure = func(error) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.pace.sweepEvery = cmp.Or(o.pace.sweepEvery, time.Hour)
	o.pace.sweepStep = cmp.Or(o.pace.sweepStep, 20*time.Millisecond)
	o.pace.spaceEvery = cmp.Or(o.pace.spaceEvery, time.Second)
	return nil
}

// A Store is a usrloc.Store whose acknowledged changes are durable. List, Stats
// and the rest of Memory are there too.
type Store struct {
	*usrloc.Memory
	db        *database
	committer *committer
	space     *space
	metrics   *metrics
	opts      Options
	failed    sync.Once
	closed    atomic.Bool
}

var (
	_ usrloc.Store      = (*Store)(nil)
	_ usrloc.TokenIndex = (*Store)(nil)
)

// Open opens or creates the store in opts.Dir and reads its content into
// memory. It fails with ErrLocked if another process has the store, and with a
// *DamageError if any part of it cannot be trusted.
func Open(opts Options) (s *Store, err error) {
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	if opts.Registerer != nil {
		reg := &revocable{Registerer: opts.Registerer}
		opts.Registerer = reg
		defer func() {
			if err != nil {
				reg.revoke()
			}
		}()
	}
	s = &Store{opts: opts}
	s.metrics = newMetrics(opts.Registerer)
	db, err := openDatabase(databaseOptions{
		dir: opts.Dir, fs: opts.FS, mode: opts.Mode, logger: opts.Logger, metrics: s.metrics,
		fatal: func(err error) { s.fail(err) }, blockSize: opts.blockSize,
	})
	if err != nil {
		return nil, err
	}
	s.db = db
	if err := s.start(); err != nil {
		return nil, errors.Join(err, db.close())
	}
	return s, nil
}

// start loads the content and begins to take changes.
func (s *Store) start() error {
	high, err := s.db.highVersion()
	if err != nil {
		return err
	}
	s.space = newSpace(s.opts, s.metrics)
	s.committer = newCommitter(s.db, high, s.opts.pace, s.space, s.metrics, s.fail)
	opts := s.opts.Memory
	opts.Committer, opts.Registerer = s.committer, s.opts.Registerer
	s.Memory = usrloc.NewMemory(opts)
	began := time.Now()
	loaded, err := load(context.Background(), s.db, s.Memory, high)
	if err != nil {
		return fmt.Errorf("load bindings from %s: %w", s.opts.Dir, err)
	}
	s.opts.Logger.Info("bindings loaded", "dir", s.opts.Dir, "mode", s.opts.Mode.String(), "bindings", loaded.bindings,
		"expired", loaded.expired, "seconds", math.Round(time.Since(began).Seconds()*1000)/1000)
	s.metrics.loadSeconds.Set(time.Since(began).Seconds())
	s.committer.start()
	s.space.start()
	return nil
}

// fail reports the first failure; it may be called often.
func (s *Store) fail(err error) {
	s.failed.Do(func() {
		err := fmt.Errorf("commit to %s: %w", s.opts.Dir, err)
		s.opts.Logger.Error("a change cannot be made durable, the process must end", "err", err)
		s.opts.OnFailure(err)
	})
}

// Close refuses new Updates, commits those that wait, tells them, and closes the
// database. Later calls do nothing.
func (s *Store) Close() error {
	if !s.closed.CompareAndSwap(false, true) {
		return nil
	}
	err := s.Memory.Close()
	s.space.stop()
	s.committer.stop()
	if s.committer.broken == nil {
		s.db.tidy()
	}
	return errors.Join(err, s.db.close())
}

// Backup makes a copy of the store in dir, which must not exist, as it is at
// one instant; all that was acknowledged before is in it. The store goes on
// meanwhile. The copy shares unchanged files with the store where the file
// system can, and is opened like any store.
func (s *Store) Backup(dir string) error {
	if s.closed.Load() {
		return usrloc.ErrClosed
	}
	if err := s.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("back up store to %s: %w", dir, err)
	}
	return nil
}

// Flush returns when all that was acknowledged is on the disk, also where Update does
// not wait for that.
func (s *Store) Flush() error {
	if s.closed.Load() {
		return usrloc.ErrClosed
	}
	// What is logged later is on the disk later: this entry says nothing else.
	if err := s.db.LogData(nil, pebble.Sync); err != nil {
		return fmt.Errorf("flush store: %w", err)
	}
	return nil
}

// closeAll closes c in order and joins the errors.
func closeAll(c ...io.Closer) error {
	var errs []error
	for _, x := range c {
		errs = append(errs, x.Close())
	}
	return errors.Join(errs...)
}
