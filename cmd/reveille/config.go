package main

import (
	"github.com/spf13/cobra"

	"reveille/configs"
)

func (p program) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print what can be configured",
		Args:  cobra.ArbitraryArgs,
		RunE:  group,
	}
	cmd.AddCommand(
		p.printCommand("default", "Print a file with every key, its default and what it does",
			func() ([]byte, error) { return configs.Reference(), nil }),
		p.printCommand("schema", "Print the JSON Schema of the file, for editors", configs.Schema),
	)
	docs := p.printCommand("docs", "Print docs/configuration.md", configs.Markdown)
	docs.Hidden = true
	cmd.AddCommand(docs)
	return cmd
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
