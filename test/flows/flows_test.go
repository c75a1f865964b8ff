package flows

import (
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
)

var rewrite = flag.Bool("update", false, "write what is received into the flows")

func TestMain(m *testing.M) {
	sip.SetDefaultLogger(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// flows lists the files of testdata.
func flows(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.flow")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d flows: %v", len(files), err)
	}
	return files
}

// nameOf is the name of a flow, which is that of its test.
func nameOf(file string) string { return strings.TrimSuffix(filepath.Base(file), ".flow") }

// TestFlow plays every flow of testdata, each with a server of its own.
func TestFlow(t *testing.T) {
	for _, file := range flows(t) {
		t.Run(nameOf(file), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s, err := parse(string(text))
			if err != nil {
				t.Fatal(err)
			}
			st := newStage(t, file, s)
			if *rewrite {
				st.update = &update{blocks: map[int][]string{}}
				t.Cleanup(func() {
					if err := st.update.write(file, s); err != nil {
						t.Error(err)
					}
				})
			}
			st.play(s)
		})
	}
}

// TestFlows_AreListed holds docs/conformance.md to the files: every flow stands
// there, and none that is gone.
func TestFlows_AreListed(t *testing.T) {
	doc, err := os.ReadFile("../../docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("`test/flows\\.TestFlow/([^`]*)`").FindAllStringSubmatch(string(doc), -1) {
		listed[m[1]] = true
	}
	for _, file := range flows(t) {
		if !listed[nameOf(file)] {
			t.Errorf("%s is not in docs/conformance.md", nameOf(file))
		}
		delete(listed, nameOf(file))
	}
	for name := range listed {
		t.Errorf("docs/conformance.md lists the flow %s, which does not exist", name)
	}
}
