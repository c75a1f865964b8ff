package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"reveille/configs"
	"reveille/usrloc/disk"
)

// errBackingUp answers a backup that comes while another is made, or while the
// server stops.
var errBackingUp = errors.New("another backup is being made, or the server is stopping")

// A turn admits one backup at a time, and none after the end.
type turn chan struct{}

// take reports whether it is the caller's turn, who then calls done.
func (t turn) take() bool {
	select {
	case t <- struct{}{}:
		return true
	default:
		return false
	}
}

func (t turn) done() { <-t }

// end waits for a backup that is being made, which needs the store.
func (t turn) end(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for a backup: %w", ctx.Err())
	}
}

// Backup makes dir, which must not exist or be empty, a copy of store.dir with
// the bindings and the sealing keys: every registration that was acknowledged
// before is in it. The server goes on meanwhile. If it fails, or ctx ends,
// nothing stays behind. One backup is made at a time.
func (a *App) Backup(ctx context.Context, dir string) error {
	store, ok := a.store.(*disk.Store)
	if !ok {
		return errInMemory
	}
	if !a.backups.take() {
		return errBackingUp
	}
	defer a.backups.done()
	a.mu.Lock()
	cfg := a.config
	a.mu.Unlock()
	if err := backup(ctx, store, cfg, dir); err != nil {
		a.log.Warn("no backup was made", "dir", dir, "err", err)
		return err
	}
	a.log.Info("backup made", "dir", dir)
	return nil
}

// errInMemory answers for a server that has nothing to copy.
var errInMemory = errors.New("registrations are kept in memory alone; there is nothing to back up")

// Backup does what App.Backup does, for a server with that configuration that
// is not running. It fails with disk.ErrLocked if one is.
func Backup(ctx context.Context, cfg *configs.Config, dir string) error {
	if !cfg.Store.OnDisk() {
		return errInMemory
	}
	bindings := BindingsDir(string(cfg.Store.Dir))
	if _, err := os.Stat(bindings); err != nil {
		return fmt.Errorf("no registrations are kept there: %w", err)
	}
	store, err := disk.Open(disk.Options{Dir: bindings, MinFree: -1}) //nolint:contextcheck // What is read at start is read whole.
	if err != nil {
		return err
	}
	return errors.Join(backup(ctx, store, cfg, dir), store.Close())
}

// backup copies everything to a folder beside dir, which then takes dir's name.
func backup(ctx context.Context, store *disk.Store, cfg *configs.Config, dir string) (err error) {
	if err := checkDestination(string(cfg.Store.Dir), dir); err != nil {
		return err
	}
	made, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".partial-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(made))
		}
	}()
	if err := store.Backup(BindingsDir(made)); err != nil {
		return err
	}
	// The keys come second: whatever the bindings need is among them.
	if err := copyKeys(string(sealing(cfg).KeyFile), filepath.Join(made, keysFile)); err != nil {
		return fmt.Errorf("copy the sealing keys: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("nobody waits for the backup any more: %w", err)
	}
	if err := syncFolder(made); err != nil {
		return err
	}
	// Not os.Rename, which does not replace an empty folder.
	if err := syscall.Rename(made, dir); err != nil {
		return taken(dir, err)
	}
	return syncFolder(filepath.Dir(dir))
}

// checkDestination says in words why dir cannot be made. What changes behind its
// back is found by the rename.
func checkDestination(store, dir string) error {
	parent, err := filepath.EvalSymlinks(filepath.Dir(dir))
	if err != nil {
		return fmt.Errorf("there is no folder to make %s in: %w", filepath.Base(dir), err)
	}
	if store, err = filepath.EvalSymlinks(store); err != nil {
		return err
	}
	if within(filepath.Join(parent, filepath.Base(dir)), store) {
		return fmt.Errorf("%s is in the folder of the server itself", dir)
	}
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		// A symbolic link is not followed: it may lead anywhere by now.
		return fmt.Errorf("%s exists and is no folder", dir)
	}
	list, err := os.ReadDir(dir)
	if err == nil && len(list) > 0 {
		err = fmt.Errorf("%s is not empty", dir)
	}
	return err
}

// within reports whether path is dir or lies in it; both are clean.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// taken says why a folder could not get the name dir.
func taken(dir string, err error) error {
	switch {
	case errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("%s is where a file system is mounted: name a folder in it", dir)
	case errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, syscall.EEXIST), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%s has come into being meanwhile: %w", dir, err)
	}
	return fmt.Errorf("name the backup %s: %w", dir, err)
}

// copyKeys copies the keyring file, which is replaced at one stroke whenever it
// changes. A server that seals nothing has none.
func copyKeys(from, to string) (err error) {
	in, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // only read
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// syncFolder makes the names in dir durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
