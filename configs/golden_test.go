package configs

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden checks the exact complaints about each testdata/*.golden: the file
// holds the configuration, a line "----", and what check says of it.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil || len(files) < 20 {
		t.Fatalf("found %d golden files, %v", len(files), err)
	}
	dir := placeFiles(t)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".golden"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, ok := strings.Cut(string(text), "----\n")
			if !ok {
				t.Fatal("no line ----")
			}
			got := report(filepath.Join(dir, "r.yaml"), input)
			got = strings.ReplaceAll(got, dir+"/", "")
			if *update {
				if err := os.WriteFile(file, []byte(input+"----\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("complaints (-want +got):\n%s", d)
			}
		})
	}
}

// report returns what check prints for a configuration.
func report(name, text string) string {
	cfg, warnings, err := Parse(name, []byte(text), env())
	var out strings.Builder
	for _, w := range warnings {
		out.WriteString(w.String() + "\n")
	}
	if err != nil {
		out.WriteString(err.Error() + "\n")
	}
	if (cfg != nil) != (err == nil) {
		out.WriteString("both or neither of configuration and error\n")
	}
	if cfg != nil {
		out.WriteString("ok\n")
	}
	return out.String()
}

// placeFiles copies testdata/files to a folder of the test's own. Git keeps no
// permissions, so they are given by name: only "open-" files are for everyone.
func placeFiles(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "files"), 0o700); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("testdata/files")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join("testdata/files", e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o600)
		if strings.HasPrefix(e.Name(), "open-") {
			mode = 0o644
		}
		if err := os.WriteFile(filepath.Join(dir, "files", e.Name()), data, mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
