package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"reveille/internal/pjsip"
)

// The files that an import writes.
const (
	importedConfig = "reveille.yaml"
	importedUsers  = "users"
)

// importCommand holds what turns the configurations of other servers into ours.
func (p program) importCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Turn the configuration of another server into one of this server",
		Args:  cobra.ArbitraryArgs,
		RunE:  group,
	}
	cmd.AddCommand(
		p.importPJSIPCommand(),
		p.importTablesCommand("kamailio", "Kamailio"),
		p.importTablesCommand("opensips", "OpenSIPS"),
	)
	return cmd
}

func (p program) importPJSIPCommand() *cobra.Command {
	var dir string
	var domains []string
	cmd := &cobra.Command{
		Use:   "pjsip FILE [ACL-FILE]",
		Short: "Make a configuration and a users file of Asterisk's pjsip.conf",
		Long: "Make a configuration and a users file of Asterisk's pjsip.conf, and of acl.conf if that names its lists.\n" +
			"Includes are read beside FILE unless their paths are absolute. Passwords stand only in the users file. What\n" +
			"has no counterpart is listed on standard error as file:line: [section] option: what; hint: ..., and at the top\n" +
			"of the configuration. Files that exist already are not touched.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return exactly(1, "one file, or two")(cmd, args)
		},
		RunE: func(_ *cobra.Command, args []string) error { return p.importPJSIP(args, dir, domains) },
	}
	cmd.Flags().StringVarP(&dir, "output", "o", ".", "folder for "+importedConfig+" and "+importedUsers+", made if it is not there")
	cmd.Flags().StringSliceVar(&domains, "domain", nil, "domain of the users' addresses, which pjsip.conf does not say; may be repeated")
	return cmd
}

// importPJSIP reads pjsip.conf and, if a second file is named, acl.conf.
func (p program) importPJSIP(files []string, dir string, domains []string) error {
	docs := make([]*pjsip.Document, 2)
	for i, file := range files {
		var err error
		if docs[i], err = pjsip.Parse(filepath.Base(file), asteriskFiles{dir: filepath.Dir(file)}); err != nil {
			return fmt.Errorf("import %s: %w", file, err)
		}
	}
	plan := pjsip.MakePlan(filepath.Base(files[0]), docs[0], pjsip.Options{
		Domains: domains, UsersFile: importedUsers, ACLs: docs[1], Readable: readable,
	})
	written, err := p.writeImport(dir, plan)
	for _, n := range plan.Notes {
		fmt.Fprintln(p.stderr, n)
	}
	if err != nil {
		return err
	}
	for _, name := range written {
		fmt.Fprintf(p.stdout, "%s: written\n", name)
	}
	fmt.Fprintf(p.stdout, "next: reveille check %s\n", written[len(written)-1])
	return nil
}

// writeImport writes the files of a plan and returns their names, the
// configuration last.
func (p program) writeImport(dir string, plan *pjsip.Plan) (written []string, err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	config, users := filepath.Join(dir, importedConfig), filepath.Join(dir, importedUsers)
	for _, name := range []string{config, users} {
		if _, err := os.Lstat(name); err == nil {
			return nil, fmt.Errorf("%s exists already: name another folder with -o", name)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if text := plan.Users(); text != nil {
		if err := writeNew(users, text, 0o600); err != nil {
			return nil, err
		}
		written = append(written, users)
	}
	if err := writeNew(config, plan.Config(), 0o640); err != nil {
		return nil, err
	}
	return append(written, config), nil
}

// writeNew writes a file that must not exist.
func writeNew(name string, text []byte, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// asteriskFiles reads a configuration and its includes in Asterisk's folder.
type asteriskFiles struct{ dir string }

var _ pjsip.Files = asteriskFiles{}

func (a asteriskFiles) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(a.dir, name)
}

// Read implements pjsip.Files.
func (a asteriskFiles) Read(name string) ([]byte, error) {
	info, err := os.Stat(a.path(name))
	if err != nil {
		return nil, reason(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is no regular file")
	}
	text, err := os.ReadFile(a.path(name))
	return text, reason(err)
}

// readable reports whether a file can be read. Relative paths are relative to
// wherever Asterisk runs, which cannot be known.
func readable(name string) bool {
	if !filepath.IsAbs(name) {
		return false
	}
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	return f.Close() == nil
}

// Glob implements pjsip.Files.
func (a asteriskFiles) Glob(pattern string) ([]string, error) {
	if _, err := os.Stat(a.path(pattern)); err == nil {
		return []string{pattern}, nil
	}
	names, err := filepath.Glob(a.path(pattern))
	if err != nil || filepath.IsAbs(pattern) {
		return names, err
	}
	for i, name := range names {
		if rel, err := filepath.Rel(a.dir, name); err == nil {
			names[i] = rel
		}
	}
	return names, nil
}

// reason drops the path of a file error, which the caller names.
func reason(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	return err
}
