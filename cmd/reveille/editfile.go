package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// How long an edit waits for another one of the same folder.
const (
	editWait  = 10 * time.Second
	editRetry = 20 * time.Millisecond
)

var (
	errEditedElsewhere = errors.New("somebody else changed it meanwhile; nothing was changed; hint: do it again")
	errEditLocked      = errors.New("another command is changing files of this folder; hint: do it again when that has ended")
)

// editFile replaces what is in a file by what edit makes of it, after check has seen
// a draft of that in another file. Whoever reads the file, and whoever is there after
// a kill or a power loss, sees all of the change or nothing. Owner and mode stay, and a
// link stays one: what it leads to is replaced.
func editFile(path string, edit func([]byte) ([]byte, error), check func(draft string) error) (err error) {
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	unlock, err := lockFolder(dir)
	if err != nil {
		return fmt.Errorf("change %s: %w", path, err)
	}
	defer unlock()
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := edit(old)
	if err != nil {
		return err
	}
	draft := filepath.Join(dir, "."+filepath.Base(path)+".new")
	if err := writeDraft(path, draft, text); err != nil {
		return fmt.Errorf("change %s: %w", path, errors.Join(err, removed(draft)))
	}
	if err := check(draft); err != nil {
		return errors.Join(err, os.Remove(draft))
	}
	// Editors do not know the lock.
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, old) {
		return fmt.Errorf("change %s: %w", path, errors.Join(errEditedElsewhere, err, os.Remove(draft)))
	}
	if err := os.Rename(draft, path); err != nil {
		return errors.Join(err, os.Remove(draft))
	}
	return syncFolder(dir)
}

// writeDraft writes text to a new file with the owner and mode of another; it is on
// the disk when writeDraft returns. What a killed command left there is removed.
func writeDraft(like, draft string, text []byte) error {
	info, err := os.Stat(like)
	if err != nil {
		return err
	}
	if err := removed(draft); err != nil {
		return err
	}
	f, err := os.OpenFile(draft, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && (int(owner.Uid) != os.Geteuid() || int(owner.Gid) != os.Getegid()) {
		err = f.Chown(int(owner.Uid), int(owner.Gid))
	}
	if err == nil {
		err = f.Chmod(info.Mode().Perm())
	}
	if err == nil {
		_, err = f.Write(text)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// removed removes a file, if there is one.
func removed(name string) error {
	if err := os.Remove(name); !isMissing(err) {
		return err
	}
	return nil
}

// lockFolder keeps other commands from changing files of a folder until unlock. A
// lock on the file itself would be one on a file that the next command replaces. It
// ends with the process.
func lockFolder(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	fd := int(f.Fd()) //nolint:gosec // A descriptor is a small number.
	for end := time.Now().Add(editWait); ; time.Sleep(editRetry) {
		err := syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			// Nothing was written to it, and closing it unlocks.
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) || time.Now().After(end) {
			if errors.Is(err, syscall.EWOULDBLOCK) {
				err = errEditLocked
			}
			return nil, errors.Join(err, f.Close())
		}
	}
}

// syncFolder makes a rename in a folder durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
