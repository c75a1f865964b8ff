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
	var file, store string
	cmd := &cobra.Command{
		Use:   "backup {--config FILE | --store DIR} DESTINATION",
		Short: "Copy the registrations and the sealing keys, also while the server runs",
		Long: "Copy the registrations and the sealing keys to DESTINATION, which must not exist or be an empty folder.\n" +
			"The copy is a complete store.dir. A running server is asked over its control socket, makes the copy with\n" +
			"its own rights, and goes on serving: every registration acknowledged before is in it. If no server runs\n" +
			"the store is copied directly. If anything fails nothing stays behind.",
		Args: exactly(1, "one destination"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := p.stored(file, store)
			if err != nil {
				return err
			}
			dir, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			if err := p.interruptible(cmd.Context(), func(ctx context.Context) error { return backup(ctx, cfg, dir) }); err != nil {
				return err
			}
			fmt.Fprintln(p.stdout, dir)
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "the server's configuration file")
	cmd.Flags().StringVar(&store, "store", "", "store.dir of a server that leaves control.socket and push.purr.key_file at their defaults")
	return cmd
}

// stored returns the configuration of the server whose registrations are meant:
// that in a file, or the default one with a store in dir.
func (p program) stored(file, dir string) (*configs.Config, error) {
	switch {
	case (file == "") == (dir == ""):
		return nil, usageError{errors.New("name the server by one of --config FILE and --store DIR")}
	case dir == "":
		// Its warnings were for serve and check.
		cfg, _, err := configs.Load(file, configs.Env{Lookup: p.lookupEnv})
		return cfg, err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	cfg := configs.Default()
	cfg.Store.Dir = configs.Folder(dir)
	return cfg, nil
}

// backup has the running server copy its store to dir, or does it itself.
func backup(ctx context.Context, cfg *configs.Config, dir string) error {
	socket := cfg.ControlSocket()
	if socket != "" {
		err := control{socket}.do(ctx, http.MethodPost, "/v1/backup", admin.BackupRequest{Dir: dir}, nil)
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
