package disk

import (
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A lazyLogFS hands the write-ahead log to the operating system at each commit
// without waiting for the disk: the mode Write. Pebble's own NoSync does not do:
// it leaves the log in a buffer of the process, which kill -9 takes along.
// All other files are synced as ever.
type lazyLogFS struct{ vfs.FS }

// Create implements vfs.FS.
func (fs lazyLogFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return lazyLog(name)(fs.FS.Create(name, c))
}

// ReuseForWrite implements vfs.FS.
func (fs lazyLogFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return lazyLog(newname)(fs.FS.ReuseForWrite(oldname, newname, c))
}

// OpenReadWrite implements vfs.FS.
func (fs lazyLogFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return lazyLog(name)(fs.FS.OpenReadWrite(name, c, opts...))
}

// Unwrap implements vfs.FS.
func (fs lazyLogFS) Unwrap() vfs.FS { return fs.FS }

// lazyLog returns a function that wraps the file called name if it is a log.
func lazyLog(name string) func(vfs.File, error) (vfs.File, error) {
	return func(f vfs.File, err error) (vfs.File, error) {
		if err != nil || !strings.HasSuffix(name, ".log") {
			return f, err
		}
		return lazyLogFile{f}, nil
	}
}

// A lazyLogFile is a log that is never synced.
type lazyLogFile struct{ vfs.File }

// Sync implements vfs.File.
func (lazyLogFile) Sync() error { return nil }

// SyncData implements vfs.File.
func (lazyLogFile) SyncData() error { return nil }

// SyncTo implements vfs.File.
func (lazyLogFile) SyncTo(int64) (bool, error) { return false, nil }
