package archtest

import (
	"strings"
	"testing"
)

// TestMetrics_Documented: docs/metrics.md has every metric that the code names, also
// those of rooms that the test in internal/app, which writes it, does not configure.
func TestMetrics_Documented(t *testing.T) {
	doc := readFile(t, "docs/metrics.md")
	for _, dir := range folders(t) {
		if isHelper(dir) {
			continue
		}
		for _, file := range productFiles(t, dir) {
			for _, m := range metricsOf(dir, file) {
				// "reveille_usrloc_" + name: the beginning is all there is to see.
				if !strings.HasSuffix(m.name, "_") && !strings.Contains(doc, "| `"+m.name+"` |") {
					t.Errorf("%s: %s is not in docs/metrics.md: have everythingYAML in internal/app configure what has it, then -update", dir, m.name)
				}
			}
		}
	}
}
