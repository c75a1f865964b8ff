package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A database is the Pebble database of a store, with its lock.
type database struct {
	*pebble.DB
	lock   *pebble.Lock
	dir    string
	logger *slog.Logger
}

type databaseOptions struct {
	dir      string
	fs       vfs.FS
	mode     Mode
	readOnly bool
	logger   *slog.Logger
	metrics  *metrics
	// fatal is told what Pebble cannot survive.
	fatal func(error)
	// blockSize is that of new tables in bytes; 0 for Pebble's.
	blockSize int
}

// openDatabase opens or creates the database, of which it has the lock
// afterwards. It does not read the content.
func openDatabase(o databaseOptions) (db *database, err error) {
	if repairInterrupted(o.dir, o.fs) {
		return nil, &DamageError{File: o.dir, Err: errors.New("a repair was interrupted; repair again to finish it")}
	}
	if !o.readOnly {
		if err := makeDirectory(o.dir, o.fs); err != nil {
			return nil, err
		}
	}
	lock, err := lockDirectory(o.dir, o.fs)
	if err != nil {
		return nil, err
	}
	db = &database{lock: lock, dir: o.dir, logger: o.logger}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.close())
		}
	}()
	if err := checkPresent(o.dir, o.fs, o.readOnly); err != nil {
		return db, err
	}
	if err := checkLogs(o.dir, o.fs); err != nil {
		return db, err
	}
	if db.DB, err = open(o, lock); err != nil {
		return db, db.openError(err)
	}
	return db, db.checkFormat(o.readOnly)
}

// open opens Pebble. It panics on some kinds of damage, where it could not tell
// it from a defect of its own; the panic is caught.
func open(o databaseOptions, lock *pebble.Lock) (db *pebble.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			db, err = nil, fmt.Errorf("%w: %v", pebble.ErrCorruption, p)
		}
	}()
	return pebble.Open(o.dir, pebbleOptions(o, lock))
}

func pebbleOptions(o databaseOptions, lock *pebble.Lock) *pebble.Options {
	opts := &pebble.Options{
		FS:       &logFS{FS: o.fs, dir: o.fs.PathDir(o.fs.PathJoin(o.dir, "log")), lazy: o.mode == Write, fail: o.fatal},
		Lock:     lock,
		ReadOnly: o.readOnly,
		// With it a damaged log can be told from one that just ends: the log
		// says how far it had been synced.
		FormatMajorVersion: pebble.FormatWALSyncChunks,
		// Content is read once, at start, and by sweeps.
		CacheSize:    8 << 20,
		MaxOpenFiles: 512,
		// What is inserted into a memtable of this size finds it in the
		// processor's caches; with one of 32 MB a refresh costs a sixth more.
		// Flushes gather in level 0, and are merged with the rest seldom: each
		// time with as many refreshes as a large store has bindings.
		MemTableSize:                8 << 20,
		MemTableStopWritesThreshold: 8,
		L0CompactionThreshold:       12,
		L0StopWritesThreshold:       48,
		LBaseMaxBytes:               128 << 20,
		Logger:                      &pebbleLogger{log: o.logger, fatal: o.fatal},
		EventListener:               listener(o),
	}
	// What is soon merged with the rest is not worth the time. Each level is
	// like the one before if it does not say otherwise.
	opts.Levels[0].Compression = func() *block.CompressionProfile { return block.NoCompression }
	opts.Levels[1].Compression = func() *block.CompressionProfile { return block.SnappyCompression }
	opts.Levels[0].BlockSize = o.blockSize
	return opts
}

// listener hears what an operator should know. Pebble goes on after these.
func listener(o databaseOptions) *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			o.metrics.backgroundErrors.Inc()
			o.logger.Warn("database error, will be tried again", "dir", o.dir, "err", err)
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			o.metrics.backgroundErrors.Inc()
			o.logger.Error("store damaged", "file", info.Path, "err", info.Details)
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			o.metrics.stalls.Inc()
			o.logger.Warn("commits wait for the disk", "dir", o.dir, "reason", info.Reason)
		},
	}
}

// checkPresent refuses a directory that holds parts of a database but not its
// head: Pebble would take it for an empty one, and delete the parts.
func checkPresent(dir string, fs vfs.FS, mustExist bool) error {
	desc, err := pebble.Peek(dir, fs)
	if err != nil {
		return &DamageError{File: dir, Err: err}
	}
	if desc.Exists {
		if desc.FormatMajorVersion == pebble.FormatDefault {
			return &DamageError{File: fs.PathJoin(dir, "marker.format-version.*"), Err: errors.New("it is missing")}
		}
		return nil
	}
	if mustExist {
		return fmt.Errorf("open store in %s: there is none", dir)
	}
	names, err := fs.List(dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	for _, name := range names {
		// A log alone is what is left of a creation that was interrupted.
		if strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob") {
			return &DamageError{
				File: fs.PathJoin(dir, "marker.manifest.*"),
				Err:  fmt.Errorf("it is missing, though there is %s", name),
			}
		}
	}
	return nil
}

// checkFormat compares the format version, and writes it into a new store.
func (db *database) checkFormat(readOnly bool) error {
	value, err := db.get(keyFormat)
	if err != nil {
		return err
	}
	if value == nil {
		return db.writeFormat(readOnly)
	}
	if len(value) != 1 || value[0] != formatVersion {
		return fmt.Errorf("open store in %s: format %x, this program knows %x", db.dir, value, formatVersion)
	}
	return nil
}

// writeFormat makes an empty database a store.
func (db *database) writeFormat(readOnly bool) error {
	it, err := db.NewIter(nil)
	if err != nil {
		return db.damage(err)
	}
	foreign := it.First()
	if err := it.Close(); err != nil {
		return db.damage(err)
	}
	if foreign {
		return &DamageError{File: db.dir, Err: errors.New("a database without a format version, not one of this program")}
	}
	if readOnly {
		return nil
	}
	b := db.NewBatch()
	if err := b.Set([]byte(keyFormat), []byte{formatVersion}, nil); err != nil {
		return fmt.Errorf("write format version: %w", err)
	}
	if err := db.commit(b); err != nil {
		return err
	}
	// The first log of a database still has the oldest format, in which damage
	// cannot be seen (wal.go). A flush begins another.
	if err := db.Flush(); err != nil {
		return fmt.Errorf("begin a new log: %w", err)
	}
	return nil
}

// highVersion returns the greatest Version that any Record had.
func (db *database) highVersion() (uint64, error) {
	value, err := db.get(keyVersion)
	if err != nil || value == nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, db.damage(fmt.Errorf("version %x: %w", value, errRecord))
	}
	return binary.BigEndian.Uint64(value), nil
}

// get returns a copy of a value, nil if there is none.
func (db *database) get(key string) ([]byte, error) {
	value, closer, err := db.Get([]byte(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, db.damage(fmt.Errorf("read %s: %w", key, err))
	}
	value = append([]byte{}, value...)
	if err := closer.Close(); err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return value, nil
}

// commit makes b durable. Pebble reports a log that cannot be written through
// its logger, in the goroutine of the commit, which must not return then.
func (db *database) commit(b *pebble.Batch) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case *fatalError:
			err = p
		default:
			panic(p)
		}
	}()
	return b.Commit(pebble.Sync)
}

// tidyTime bounds tidy: on a disk without room it would never end.
const tidyTime = 10 * time.Second

// tidy writes the memtables out, so that the next start has no log to read.
func (db *database) tidy() {
	flushed, err := db.AsyncFlush()
	if err != nil {
		db.logger.Warn("flush at end of store", "dir", db.dir, "err", err)
		return
	}
	select {
	case <-flushed:
	case <-time.After(tidyTime):
	}
}

// close closes the database and gives up the lock.
func (db *database) close() (err error) {
	if db.DB != nil {
		err = db.closeDB()
		db.DB = nil
	}
	return errors.Join(err, db.lock.Close())
}

func (db *database) closeDB() (err error) {
	// After a failed commit Pebble's Close may panic or fail; the process is
	// about to end, and must do so with the first error.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("close database: %v", p)
		}
	}()
	return db.Close()
}
