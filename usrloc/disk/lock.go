package disk

import (
	"errors"
	"fmt"
	"os"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// lockDirectory takes the store's lock, or says who has it.
func lockDirectory(dir string, fs vfs.FS) (*pebble.Lock, error) {
	lock, err := pebble.LockDirectory(dir, fs)
	if err == nil {
		return lock, nil
	}
	if _, ok := errors.AsType[*os.PathError](err); ok { // the file cannot be made
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return nil, fmt.Errorf("lock %s: %w by %s: %w", dir, ErrLocked, lockHolder(fs.PathJoin(dir, "LOCK"), err), err)
}

// lockHolder describes the process that has the lock. The lock file is not
// opened if this process has it: closing it again would give up the lock.
func lockHolder(name string, cause error) string {
	if cause.Error() == "lock held by current process" {
		return "this process"
	}
	const unknown = "another process"
	f, err := os.Open(name)
	if err != nil {
		return unknown
	}
	defer f.Close() //nolint:errcheck // only read
	spec := unix.Flock_t{Type: unix.F_WRLCK}
	if unix.FcntlFlock(f.Fd(), unix.F_GETLK, &spec) != nil || spec.Type == unix.F_UNLCK || spec.Pid <= 0 {
		return unknown
	}
	return fmt.Sprintf("process %d", spec.Pid)
}
