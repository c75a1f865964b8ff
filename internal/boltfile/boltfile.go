// Package boltfile opens the bbolt files in which rooms keep what waits: events for
// webhooks, messages for phones. bbolt panics where it finds damage, and when it opens
// a file for writing it does so on a goroutine of its own; so a file is read whole
// before that, and one that cannot be read is put aside.
package boltfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// openWait is how long another process may take to let go of the file.
const openWait = 2 * time.Second

// errDamaged says that the file is none of ours, or not any more.
var errDamaged = errors.New("damaged")

// Options of Open. Path is required.
type Options struct {
	Path string
	// NoSync leaves it to the system when writes reach the disk: they survive the end
	// of the process, and not a power loss.
	NoSync bool
}

// A File is a database that is open.
type File struct {
	*bbolt.DB
	// Damage says what was wrong with the file that was there, which is in Aside now;
	// nil if nothing was. The database is empty then.
	Damage error
	Aside  string
}

// Open opens or makes a file. read is shown what is in it before anybody else; its
// errors are returned. What it has read of a damaged file means nothing.
func Open(o Options, read func(*bbolt.Tx) error) (*File, error) {
	f := &File{}
	err := look(o.Path, read)
	if errors.Is(err, errDamaged) {
		f.Damage, f.Aside = err, o.Path+".damaged"
		err = os.Rename(o.Path, f.Aside)
	}
	if err != nil {
		return nil, err
	}
	f.DB, err = open(o.Path, &bbolt.Options{FreelistType: bbolt.FreelistMapType, NoFreelistSync: true, NoSync: o.NoSync})
	if err != nil {
		return nil, err
	}
	if !o.NoSync {
		// bbolt syncs what is in the file. That there is such a file is in its folder.
		if err := syncFolder(filepath.Dir(o.Path)); err != nil {
			return nil, errors.Join(fmt.Errorf("sync the folder of %s: %w", o.Path, err), f.Close())
		}
	}
	return f, nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func open(path string, o *bbolt.Options) (*bbolt.DB, error) {
	o.Timeout, o.NoStatistics = openWait, true
	db, err := bbolt.Open(path, 0o600, o)
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("another process has %s", path)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return db, err
}

// look has read see the file, if there is one.
func look(path string, read func(*bbolt.Tx) error) (err error) {
	if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	// A file that was cut off faults where its end is missing.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errDamaged, r)
		}
	}()
	db, err := open(path, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(read)
}
