package archtest

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A metric is a name as it stands in the code, with what it counts.
type metric struct {
	dir, name string
	labels    []string
}

// metricName is the pattern of a whole name: reveille, the package, what.
var metricName = regexp.MustCompile(`^reveille_[a-z]+(_[a-z0-9]+)+$`)

// forbiddenLabels would make as many series as there are users, or show secrets.
func forbiddenLabels() []string {
	return []string{"aor", "prid", "pn_prid", "token", "call_id", "callid", "user", "contact", "purr", "address", "source"}
}

// TestMetrics_Names reads the metrics of every package from its code, so that
// also those are seen that a test does not make.
func TestMetrics_Names(t *testing.T) {
	found := 0
	for _, dir := range folders(t) {
		if isHelper(dir) {
			continue
		}
		for _, file := range productFiles(t, dir) {
			for _, m := range metricsOf(dir, file) {
				found++
				for _, what := range lint(m) {
					t.Error(what)
				}
			}
		}
	}
	if found < 5 {
		t.Errorf("found %d metrics only: does this test still know how they are made?", found)
	}
}

// metricsOf finds string literals that begin like a metric, and the labels
// that are named in the same call.
func metricsOf(dir string, file *ast.File) []metric {
	var list []metric
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		var m metric
		for _, arg := range call.Args {
			for _, s := range stringsIn(arg) {
				if strings.HasPrefix(s, "reveille_") && m.name == "" {
					m = metric{dir: dir, name: s}
				} else if m.name != "" {
					m.labels = append(m.labels, s)
				}
			}
		}
		if m.name != "" {
			list = append(list, m)
			return false
		}
		return true
	})
	return list
}

// stringsIn returns the string literals of an expression, but not of function
// literals in it.
func stringsIn(e ast.Expr) []string {
	var list []string
	ast.Inspect(e, func(n ast.Node) bool {
		if _, ok := n.(*ast.FuncLit); ok {
			return false
		}
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				list = append(list, s)
			}
		}
		return true
	})
	return list
}

// lint returns what is wrong with a metric's name and labels.
func lint(m metric) []string {
	var complaints []string
	complain := func(what string) { complaints = append(complaints, m.dir+": metric "+m.name+" "+what) }
	// "reveille_usrloc_" + name: the beginning is all there is to see.
	whole := !strings.HasSuffix(m.name, "_")
	if whole && !metricName.MatchString(m.name) {
		complain("does not look like reveille_<package>_<what>")
	}
	room := m.dir[strings.LastIndexByte(m.dir, '/')+1:]
	// Parts of one package may name what they are, as app does.
	if !strings.HasPrefix(m.name, "reveille_"+room+"_") && m.dir != "internal/app" {
		complain("does not name its package, " + room)
	}
	for _, unit := range []string{"_ms", "_milliseconds", "_minutes", "_kilobytes", "_kb", "_percent"} {
		if strings.HasSuffix(strings.TrimSuffix(m.name, "_total"), unit) {
			complain("is in " + unit[1:] + ": use seconds, bytes or a ratio")
		}
	}
	for _, label := range m.labels {
		if slices.Contains(forbiddenLabels(), label) {
			complain("has the label " + label + ": one series for each would be too many")
		}
	}
	return complaints
}

// TestMetrics_Rules shows what the rule finds.
func TestMetrics_Rules(t *testing.T) {
	tests := []struct {
		metric metric
		want   int
	}{
		{metric{"push", "reveille_push_requests_total", []string{"Wakes.", "app"}}, 0},
		{metric{"push/apns", "reveille_apns_tokens_total", nil}, 0},
		{metric{"usrloc", "reveille_usrloc_", nil}, 0},
		{metric{"push", "reveille_requests_total", nil}, 1},
		{metric{"push", "reveille_push_Requests", nil}, 1},
		{metric{"push", "reveille_push_latency_ms", nil}, 1},
		{metric{"push", "reveille_push_requests_total", []string{"Wakes.", "aor", "prid"}}, 2},
	}
	for _, tt := range tests {
		if got := lint(tt.metric); len(got) != tt.want {
			t.Errorf("%s: %d complaints, want %d: %v", tt.metric.name, len(got), tt.want, got)
		}
	}
}
