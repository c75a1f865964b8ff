package disk

import (
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A logFS stands between Pebble and the files of its write-ahead log in dir; all
// other files it leaves alone, the logs that a backup copies elsewhere too.
//
// It reports an error of the log before Pebble hears of it: Pebble fails the
// commit in the one case, and panics in another (when it changes to a new log).
//
// In the mode Write it hands the log to the operating system at each commit
// without waiting for the disk. Pebble's own NoSync does not do for that: it
// leaves the log in a buffer of the process, which kill -9 takes along.
type logFS struct {
	vfs.FS
	dir  string
	lazy bool
	fail func(error)
}

// Create implements vfs.FS.
func (fs *logFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, c)
	return fs.wrap(name, f, err)
}

// ReuseForWrite implements vfs.FS.
func (fs *logFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(oldname, newname, c)
	return fs.wrap(newname, f, err)
}

// OpenReadWrite implements vfs.FS.
func (fs *logFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := fs.FS.OpenReadWrite(name, c, opts...)
	return fs.wrap(name, f, err)
}

// Unwrap implements vfs.FS.
func (fs *logFS) Unwrap() vfs.FS { return fs.FS }

func (fs *logFS) wrap(name string, f vfs.File, err error) (vfs.File, error) {
	if !strings.HasSuffix(name, ".log") || fs.PathDir(name) != fs.dir {
		return f, err
	}
	l := &logFile{File: f, fs: fs, name: name}
	if err := l.check("create", err); err != nil {
		return nil, err
	}
	return l, nil
}

type logFile struct {
	vfs.File
	fs   *logFS
	name string
}

// check reports err, if it is one, and returns it.
func (f *logFile) check(what string, err error) error {
	if err != nil {
		f.fs.fail(fmt.Errorf("%s %s: %w", what, f.name, err))
	}
	return err
}

// Write implements vfs.File.
func (f *logFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.check("write", err)
}

// Sync implements vfs.File.
func (f *logFile) Sync() error {
	if f.fs.lazy {
		return nil
	}
	return f.check("sync", f.File.Sync())
}

// SyncData implements vfs.File.
func (f *logFile) SyncData() error {
	if f.fs.lazy {
		return nil
	}
	return f.check("sync", f.File.SyncData())
}

// SyncTo implements vfs.File. It promises nothing, so its error is Pebble's.
func (f *logFile) SyncTo(length int64) (bool, error) {
	if f.fs.lazy {
		return false, nil
	}
	return f.File.SyncTo(length)
}
