package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"reveille/internal/kamailio"
	"reveille/internal/sqldb"
	"reveille/usrloc"
	"reveille/usrloc/disk"
)

// importedBindings is the file of registrations that an import writes.
const importedBindings = "bindings.jsonl"

// A tableImport is what the arguments of `import kamailio` say.
type tableImport struct {
	url, urlFile, dir, zone string
	subscribers             string
	location                kamailio.LocationOptions
}

// importTablesCommand reads the tables of Kamailio and OpenSIPS, which are alike.
func (p program) importTablesCommand(name, title string) *cobra.Command {
	var t tableImport
	cmd := &cobra.Command{
		Use:   name + " {--db URL | --db-file FILE}",
		Short: "Make a users file and registrations of the database of " + title,
		Long: "Make a users file and registrations of the tables subscriber and location of " + title + ".\n" +
			"URL is sqlite:/path, postgres://user:password@host/name or mysql://user:password@host/name; others see\n" +
			"arguments, so --db-file names a file that holds it. The database is only read. Rows that were not taken are\n" +
			"listed on standard error. Files that exist already are not touched.",
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.interruptible(cmd.Context(), func(ctx context.Context) error { return p.importTables(ctx, t) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&t.url, "db", "", "URL of the database")
	f.StringVar(&t.urlFile, "db-file", "", "file that holds the URL")
	f.StringVarP(&t.dir, "output", "o", ".", "folder for "+importedUsers+" and "+importedBindings+", made if it is not there")
	f.StringVar(&t.subscribers, "subscribers", "subscriber", "table of users; empty reads none")
	f.StringVar(&t.location.Table, "location", "location", "table of registrations; empty reads none")
	f.StringVar(&t.location.Domain, "domain", "", "domain of registrations whose rows have none")
	f.StringVar(&t.location.Listener, "listener", "udp", "name of the listener that reaches phones by UDP")
	f.StringVar(&t.zone, "zone", "Local", "time zone of the other server, as UTC or Europe/Berlin")
	return cmd
}

func (p program) importTables(ctx context.Context, t tableImport) (err error) {
	if t.location.Zone, err = time.LoadLocation(t.zone); err != nil {
		return err
	}
	if t.urlFile != "" {
		text, err := os.ReadFile(t.urlFile)
		if err != nil {
			return err
		}
		t.url = string(bytes.TrimSpace(text))
	}
	if t.url == "" {
		return errors.New("no database: say which with --db or --db-file")
	}
	db, err := sqldb.Open(sqldb.Options{URL: t.url, MaxConns: 1, Timeout: 10 * time.Second, ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // It was only read.
	if err := os.MkdirAll(t.dir, 0o750); err != nil {
		return err
	}
	if t.subscribers != "" {
		if err := p.importSubscribers(ctx, db, t); err != nil {
			return err
		}
	}
	if t.location.Table == "" {
		return nil
	}
	err = p.importLocation(ctx, db, t)
	if err != nil && t.subscribers != "" {
		// What is there already would stop the next attempt.
		return errors.Join(err, os.Remove(filepath.Join(t.dir, importedUsers)))
	}
	return err
}

func (p program) importSubscribers(ctx context.Context, db *sqldb.DB, t tableImport) error {
	name := filepath.Join(t.dir, importedUsers)
	return create(name, func(w io.Writer) error {
		n, notes, err := kamailio.Users(ctx, db, t.subscribers, w)
		p.printNotes(notes)
		if err == nil {
			fmt.Fprintf(p.stdout, "%s: %d users written; name it as auth.users_file\n", name, n)
		}
		return err
	})
}

func (p program) importLocation(ctx context.Context, db *sqldb.DB, t tableImport) error {
	name := filepath.Join(t.dir, importedBindings)
	t.location.Now = time.Now()
	store := usrloc.NewMemory(usrloc.MemoryOptions{})
	return create(name, func(w io.Writer) error {
		_, expired, notes, err := kamailio.Location(ctx, db, t.location, store)
		p.printNotes(notes)
		if err != nil {
			return err
		}
		n, err := disk.Export(ctx, store, w)
		if err == nil {
			fmt.Fprintf(p.stdout, "%s: %d registrations written, %d had expired\nnext: reveille bindings import DIR <%s\n", name, n, expired, name)
		}
		return err
	})
}

func (p program) printNotes(notes []kamailio.Note) {
	for _, n := range notes {
		fmt.Fprintln(p.stderr, n)
	}
}

// create writes a file that must not exist, for its owner alone; if that fails,
// none is left.
func create(name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}
