package disk

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A name survives a power loss if the directory that holds it was synced: it is
// not enough to sync the file.

// makeDirectory makes dir, and what is missing above it.
func makeDirectory(dir string, fs vfs.FS) error {
	if exists(dir, fs) {
		return nil
	}
	parent := fs.PathDir(dir)
	if parent != dir {
		if err := makeDirectory(parent, fs); err != nil {
			return err
		}
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	return syncDirectory(parent, fs)
}

// syncDirectory makes the names in dir survive a power loss.
func syncDirectory(dir string, fs vfs.FS) error {
	f, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

// renameDirectory moves a directory beside itself, for good.
func renameDirectory(from, to string, fs vfs.FS) error {
	if err := fs.Rename(from, to); err != nil {
		return fmt.Errorf("rename directory: %w", err)
	}
	return syncDirectory(fs.PathDir(to), fs)
}

// exists reports whether there is something of this name.
func exists(name string, fs vfs.FS) bool {
	_, err := fs.Stat(name)
	return err == nil
}
