package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"reveille/configs"
	"reveille/internal/admin"
	"reveille/internal/locationdb"
	"reveille/internal/sqldb"
)

func (p program) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print what can be configured, or is",
		Args:  cobra.ArbitraryArgs,
		RunE:  group,
	}
	cmd.AddCommand(
		p.printCommand("default", "Print a file with every key, its default and what it does",
			func() ([]byte, error) { return configs.Reference(), nil }),
		p.printCommand("schema", "Print the JSON Schema of the file, for editors", configs.Schema),
	)
	cmd.AddCommand(p.locationCommand(), p.configShowCommand())
	docs := p.printCommand("docs", "Print docs/configuration.md", configs.Markdown)
	docs.Hidden = true
	cmd.AddCommand(docs)
	return cmd
}

// configShowCommand shows what a running server has loaded.
func (p program) configShowCommand() *cobra.Command {
	return listCommand(p, listing[admin.Configuration]{
		Command: cobra.Command{Use: "show", Short: "Print the configuration that a running server has loaded, its secrets redacted"},
		path:    at("/v1/config"),
		print: func(c *admin.Configuration) error {
			_, err := fmt.Fprintf(p.stdout, "# loaded %s, generation %d\n%s", when(c.Loaded), c.Generation, visibleText(c.YAML))
			return err
		},
	})
}

// locationCommand prints the statement that makes the table of location.
func (p program) locationCommand() *cobra.Command {
	dialects := map[string]sqldb.Dialect{"sqlite": sqldb.SQLite, "postgres": sqldb.PostgreSQL, "mysql": sqldb.MySQL}
	return &cobra.Command{
		Use:   "location sqlite|postgres|mysql",
		Short: "Print the SQL statement that makes the table of the key location",
		Args:  exactly(1, "one kind of database"),
		RunE: func(_ *cobra.Command, args []string) error {
			text := locationdb.Schema(dialects[args[0]])
			if text == "" {
				return fmt.Errorf("%q is none of sqlite, postgres, mysql", args[0])
			}
			fmt.Fprint(p.stdout, text)
			return nil
		},
	}
}

// printCommand prints what text returns.
func (p program) printCommand(name, short string, text func() ([]byte, error)) *cobra.Command {
	return &cobra.Command{
		Use:   name,
		Short: short,
		Args:  exactly(0, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			out, err := text()
			if err != nil {
				return err
			}
			_, err = p.stdout.Write(out)
			return err
		},
	}
}
