package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// maxSocketPath is the longest path of a Unix socket in bytes: Linux has 108 for
// it, and the last one is 0.
const maxSocketPath = 107

// listenSocket makes a socket that only the user of this process can open. Close
// of the listener removes it.
func listenSocket(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("%s has %d bytes, a socket's path may have %d", path, len(path), maxSocketPath)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// The file gets the mode that the socket has when it is bound, so that nobody
	// else can open it at any instant.
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		// Systems where this is an error rely on the mode that is set below.
		return c.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), 0o600) })
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// staleWait is how long a socket that is found may take to answer: it is on this
// machine.
const staleWait = 2 * time.Second

// removeStale removes a socket on which nobody listens any more.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there and is no socket", path)
	}
	conn, err := net.DialTimeout("unix", path, staleWait)
	switch {
	case err == nil:
		return errors.Join(fmt.Errorf("another process serves %s", path), conn.Close())
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	}
	return fmt.Errorf("%s is there and cannot be tried: %w", path, err)
}
