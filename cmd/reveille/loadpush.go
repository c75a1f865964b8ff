package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"reveille/configs"
	"reveille/internal/load"
	"reveille/push/pushsim"
)

// The files that prepare writes.
const (
	loadConfigFile      = "load.yaml"
	loadCredentialsFile = "credentials.pem"
	loadCAFile          = "ca.pem"
	loadAccountFile     = "service-account.json"
	loadUsersFile       = "users"
)

// prepareFlags say what prepare writes.
type prepareFlags struct {
	target, http, pushListen string
	password                 string
	phones                   int
}

// prepareCommand writes what a server needs to be loaded.
func (p program) prepareCommand() *cobra.Command {
	var f prepareFlags
	cmd := &cobra.Command{
		Use:   "prepare DIR",
		Short: "Write a configuration for the server, and pretend credentials",
		Long: "Write load.yaml for `reveille serve --config DIR/load.yaml`, and beside it the credentials of the\n" +
			"pretend push services, which `reveille load calls`, `storm` and `due` run themselves.",
		Args: exactly(1, "one folder"),
		RunE: func(_ *cobra.Command, args []string) error {
			if f.password != "" && (f.phones < 1 || f.phones > load.MaxPhones) {
				return usageError{fmt.Errorf("--phones %d, want 1 to %d", f.phones, load.MaxPhones)}
			}
			if err := f.write(args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(p.stdout, "reveille serve --config %s\n", filepath.Join(args[0], loadConfigFile))
			return err
		},
	}
	cmd.Flags().StringVar(&f.target, "target", "127.0.0.1:5984", "UDP address that the server listens on")
	cmd.Flags().StringVar(&f.http, "http", "127.0.0.1:5985", "HTTP address that the server listens on")
	cmd.Flags().StringVar(&f.pushListen, "push-listen", "127.0.0.1:5986", "address of the pretend push services")
	cmd.Flags().StringVar(&f.password, "password", "", "password that phones must prove to know; empty asks nobody")
	cmd.Flags().IntVar(&f.phones, "phones", 1000, "users to write for --password")
	return cmd
}

// write writes all files into dir. Credentials that are there are kept.
func (f *prepareFlags) write(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	creds, err := readPushCredentials(dir)
	if errors.Is(err, fs.ErrNotExist) {
		creds, err = pushsim.NewCredentials()
	}
	if err != nil {
		return err
	}
	// The service account names the address, which is checked by the way.
	sim, err := pushsim.Start(pushsim.Options{Addr: f.pushListen, Credentials: creds})
	if err != nil {
		return err
	}
	defer func() { _ = sim.Close() }()
	text := strings.NewReplacer("127.0.0.1:5984", f.target, "127.0.0.1:5985", f.http, "127.0.0.1:5986", sim.Addr().String()).
		Replace(string(configs.ForLoad()))
	if f.password != "" {
		text += "auth:\n  mode: {registrar: required}\n  users_file: " + loadUsersFile + "\n"
		if err := f.writeUsers(filepath.Join(dir, loadUsersFile)); err != nil {
			return err
		}
	}
	for name, content := range map[string][]byte{
		loadCredentialsFile: creds.Encode(), loadCAFile: creds.CAPEM(),
		loadAccountFile: sim.ServiceAccountJSON(), loadConfigFile: []byte(text),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	return nil
}

// writeUsers writes a user for each phone.
func (f *prepareFlags) writeUsers(name string) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write users: %w", err)
	}
	return errors.Join(load.WriteUsers(file, f.phones, f.password), file.Close())
}

func readPushCredentials(dir string) (*pushsim.Credentials, error) {
	text, err := os.ReadFile(filepath.Join(dir, loadCredentialsFile))
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	return pushsim.LoadCredentials(text)
}

// startPush starts the pretend push services, which tell run of each push.
func (l *loadFlags) startPush(run *load.Load) (*pushsim.Server, error) {
	creds, err := readPushCredentials(l.pushDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; `reveille load prepare %s` writes them, and the server must have them too", err, l.pushDir)
	}
	if err != nil {
		return nil, err
	}
	return pushsim.Start(pushsim.Options{
		Addr: l.pushListen, Credentials: creds, MaxPushes: 1,
		OnPush: func(p pushsim.Push) { run.Pushed(p.Token, pushKind(p.Kind), p.Time) },
	})
}

// pushKind reads the kind in a payload.
func pushKind(kind string) load.PushKind {
	switch kind {
	case "call":
		return load.CallPush
	case "refresh":
		return load.RefreshPush
	default:
		return load.OtherPush
	}
}
