package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (p program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which build this is",
		Args:  exactly(0, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(p.stdout, version(debug.ReadBuildInfo()))
			return err
		},
	}
}

// version describes a build by what the Go tool recorded about it.
func version(info *debug.BuildInfo, ok bool) string {
	name, revision, modified := "unknown", "", ""
	if ok {
		if info.Main.Version != "" {
			name = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				revision = " " + s.Value[:min(12, len(s.Value))]
			case s.Key == "vcs.modified" && s.Value == "true":
				modified = " modified"
			}
		}
	}
	return fmt.Sprintf("reveille %s%s%s %s %s/%s", name, revision, modified, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
