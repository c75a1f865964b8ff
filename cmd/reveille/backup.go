package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"

	"github.com/spf13/cobra"

	"reveille/configs"
	"reveille/internal/admin"
	"reveille/internal/app"
	"reveille/usrloc/disk"
)

// backupCommand copies a store, also while a server has it.
func (p program) backupCommand() *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:   "backup DESTINATION",
		Short: "Copy the registrations and the sealing keys, also while the server runs",
		Long: "Copy the registrations and the sealing keys to DESTINATION, which must not exist or be an empty folder.\n" +
			"The copy is a complete store.dir. A running server is asked over its control socket, makes the copy with\n" +
			"its own rights, and goes on serving: every registration acknowledged before is in it. If no server runs\n" +
			"the store is copied directly. If anything fails nothing stays behind.",
		Args: exactly(1, "one destination"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := p.backup(cmd, t, args[0])
			if err != nil {
				return err
			}
			fmt.Fprintln(p.stdout, dir)
			return nil
		},
	}
	t.flags(cmd)
	return cmd
}

// backup has the running server copy its store to dir, or does it itself, and
// returns the absolute path of the copy.
func (p program) backup(cmd *cobra.Command, t target, dir string) (string, error) {
	t, err := p.named(t)
	if err != nil {
		return "", err
	}
	if t.server != "" {
		if !filepath.IsAbs(dir) {
			return "", usageError{errors.New("the copy is made on the server's machine: name an absolute path")}
		}
		return dir, p.ask(cmd, t, func(ctx context.Context, c control) error { return c.backup(ctx, dir) })
	}
	cfg, err := p.stored(t)
	if err != nil {
		return "", err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	return dir, p.interruptible(cmd.Context(), func(ctx context.Context) error { return backupHere(ctx, cfg, dir) })
}

// backup has the server copy its store.
func (c control) backup(ctx context.Context, dir string) error {
	c.patient = true // A large store takes its time.
	return c.do(ctx, http.MethodPost, "/v1/backup", admin.BackupRequest{Dir: dir}, nil)
}

// backupHere copies the store of a server on this machine, which does it itself if
// it runs.
func backupHere(ctx context.Context, cfg *configs.Config, dir string) error {
	socket := cfg.ControlSocket()
	if socket != "" {
		err := controlOn(socket).backup(ctx, dir)
		if !noServer(err) {
			return err
		}
	}
	err := app.Backup(ctx, cfg, dir)
	if !errors.Is(err, disk.ErrLocked) {
		return err
	}
	if socket == "" {
		return fmt.Errorf("%w; it has no control socket (control.socket) to be asked over", err)
	}
	return fmt.Errorf("%w; nobody answers on %s, where its control socket should be (control.socket)", err, socket)
}
