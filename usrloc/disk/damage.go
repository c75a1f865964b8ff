package disk

import (
	"errors"
	"fmt"
	"regexp"
	"syscall"

	crdb "github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2"
)

// A DamageError names the file that cannot be trusted. It is ErrDamaged.
type DamageError struct {
	// File is the damaged file, or the directory if none can be told.
	File string
	Err  error
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("store damaged: %s: %v (restore a backup, or save what can be read: reveille bindings repair)", e.File, e.Err)
}

// Unwrap returns the cause.
func (e *DamageError) Unwrap() error { return e.Err }

// Is makes errors.Is(e, ErrDamaged) true.
func (e *DamageError) Is(target error) bool { return target == ErrDamaged }

// damage turns err into a *DamageError if it speaks of damage, and returns it
// unchanged otherwise.
func (db *database) damage(err error) error {
	var known *DamageError
	if err == nil || errors.As(err, &known) {
		return err
	}
	if info := pebble.ExtractDataCorruptionInfo(err); info != nil {
		return &DamageError{File: info.Path, Err: err}
	}
	file := fileIn(err)
	if file == "" && !pebble.IsCorruptionError(err) && !errors.Is(err, errRecord) {
		return err
	}
	if file == "" {
		return &DamageError{File: db.dir, Err: err}
	}
	return &DamageError{File: db.dir + "/" + file, Err: err}
}

// openError says why the database cannot be opened. What the operating system
// refuses for another reason than a missing file is no damage.
func (db *database) openError(err error) error {
	err = fmt.Errorf("open store in %s: %w", db.dir, err)
	var sys syscall.Errno
	if errors.As(err, &sys) && sys != syscall.ENOENT {
		return err
	}
	if known := db.damage(err); errors.Is(known, ErrDamaged) {
		return known
	}
	return &DamageError{File: db.dir, Err: err}
}

var (
	fileName    = regexp.MustCompile(`\b(?:[0-9]{6,}\.(?:log|sst|blob)|MANIFEST-[0-9]{6,}|OPTIONS-[0-9]{6,}|marker\.[a-z-]+\.[0-9]+\.[A-Za-z0-9-]+)\b`)
	tableNumber = regexp.MustCompile(`file ([0-9]{6,}) \(type sstable\)`)
	walName     = regexp.MustCompile(`replaying wal ([0-9]+)`)
)

// fileIn finds the name of a database file in what err says, "" if there is
// none. Pebble names files in texts and details only.
func fileIn(err error) string {
	texts := append([]string{err.Error()}, crdb.GetAllDetails(err)...)
	texts = append(texts, crdb.GetAllHints(err)...)
	for _, text := range texts {
		if m := walName.FindStringSubmatch(text); m != nil {
			return m[1] + ".log"
		}
		if m := tableNumber.FindStringSubmatch(text); m != nil {
			return m[1] + ".sst"
		}
		if name := fileName.FindString(text); name != "" {
			return name
		}
	}
	return ""
}
