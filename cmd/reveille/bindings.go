package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"reveille/internal/app"
	"reveille/usrloc/disk"
)

// bindingsCommand holds what is done to registrations.
func (p program) bindingsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bindings",
		Short: "Show and change registrations, and look after those on disk",
		Long: "Show and change registrations, and look after those on disk. list, show, rm and add are about a running server,\n" +
			"backup works while it runs and while it does not. The others want it to be stopped, and take DIR, store.dir of\n" +
			"the configuration: a store that a server has open is not touched, and the command says who has it.",
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	cmd.AddCommand(
		p.storeCommand("check", "Read everything and name what is damaged; exit code 1 if anything is", p.checkBindings),
		p.storeCommand("repair", "Save what can be read of a damaged store; the damaged one is kept beside it", p.repairBindings),
		p.storeCommand("export", "Write all registrations as JSON lines to standard output; they hold push tokens", p.exportBindings),
		p.storeCommand("import", "Read registrations that export wrote from standard input", p.importBindings),
		p.backupCommand(),
		p.showCommand(),
		p.bindingsListCommand(),
		p.bindingsRemoveCommand(),
		p.bindingsAddCommand(),
	)
	return cmd
}

// storeCommand is a command about the store in one folder.
func (p program) storeCommand(name, short string, do func(ctx context.Context, dir string) error) *cobra.Command {
	return &cobra.Command{
		Use:   name + " DIR",
		Short: short,
		Args:  exactly(1, "one folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if info, err := os.Stat(args[0]); err != nil || !info.IsDir() {
				return fmt.Errorf("%s is no folder", args[0])
			}
			return p.interruptible(cmd.Context(), func(ctx context.Context) error { return do(ctx, app.BindingsDir(args[0])) })
		},
	}
}

func (p program) checkBindings(_ context.Context, dir string) error {
	report, err := disk.Check(dir)
	if err != nil {
		return err
	}
	p.printReport(report)
	if len(report.Damage) > 0 {
		fmt.Fprintln(p.stderr, "reveille: the store is damaged; `reveille bindings repair` saves what can be read")
		return errReported
	}
	return nil
}

func (p program) repairBindings(_ context.Context, dir string) error {
	report, err := disk.Repair(dir)
	if err != nil {
		return err
	}
	p.printReport(report)
	if report.Aside != "" {
		fmt.Fprintf(p.stdout, "the damaged store is kept in %s\n", report.Aside)
	}
	return nil
}

func (p program) printReport(r disk.Report) {
	fmt.Fprintf(p.stdout, "%d bindings, %d expired, %d refresh records\n", r.Bindings, r.Expired, r.Refreshes)
	for _, d := range r.Damage {
		fmt.Fprintf(p.stdout, "damaged: %v\n", d)
	}
}

func (p program) exportBindings(ctx context.Context, dir string) error {
	return withStore(dir, func(s *disk.Store) error { //nolint:contextcheck // An interrupted export closes the store in order.
		n, err := disk.Export(ctx, s, p.stdout)
		fmt.Fprintf(p.stderr, "%d bindings written\n", n)
		return err
	})
}

func (p program) importBindings(ctx context.Context, dir string) error {
	return withStore(dir, func(s *disk.Store) error { //nolint:contextcheck // An interrupted import does so, too.
		n, err := disk.Import(ctx, s, p.stdin())
		fmt.Fprintf(p.stderr, "%d bindings read\n", n)
		return err
	})
}

// stdin is standard input; a program without one reads nothing.
func (p program) stdin() io.Reader {
	if p.input == nil {
		return eof{}
	}
	return p.input
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// withStore opens the store in dir for do.
func withStore(dir string, do func(*disk.Store) error) error {
	s, err := disk.Open(disk.Options{Dir: dir, MinFree: -1})
	if err != nil {
		return err
	}
	return errors.Join(do(s), s.Close())
}
