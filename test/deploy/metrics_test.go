package deploy

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// A rules file as Prometheus reads it.
type rulesFile struct {
	Groups []struct {
		Name  string
		Rules []alarm
	}
}

type alarm struct {
	Alert, Expr, For string
	Labels           map[string]string
	Annotations      map[string]string
}

func alarms(t *testing.T) []alarm {
	t.Helper()
	var f rulesFile
	decode(t, "deploy/prometheus/rules.yaml", &f)
	if len(f.Groups) != 1 || len(f.Groups[0].Rules) < 10 {
		t.Fatal("there are few alarms")
	}
	return f.Groups[0].Rules
}

// A board is what these tests need of deploy/grafana/reveille.json.
type board struct {
	Title      string
	Templating struct {
		List []struct{ Name, Definition string }
	}
	Panels []struct {
		ID         int
		Type       string
		Title      string
		Datasource map[string]string
		GridPos    struct{ X, Y, W, H int }
		Targets    []struct{ Expr string }
	}
}

func dashboard(t *testing.T) (b board) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, "deploy/grafana/reveille.json")), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// metricLabels are the metrics of docs/metrics.md and their labels. Histograms stand
// for what they are made of.
func metricLabels(t *testing.T) map[string][]string {
	t.Helper()
	known := map[string][]string{}
	row := regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\| (counter|gauge|histogram|summary) \\| ([^|]*) \\|")
	for _, m := range row.FindAllStringSubmatch(read(t, "docs/metrics.md"), -1) {
		labels := strings.FieldsFunc(m[3], func(r rune) bool { return r == '`' || r == ',' || r == ' ' })
		if m[2] == "histogram" {
			known[m[1]+"_bucket"] = append(slices.Clone(labels), "le")
			known[m[1]+"_count"], known[m[1]+"_sum"] = labels, labels
			continue
		}
		known[m[1]] = labels
	}
	if len(known) < 100 {
		t.Fatalf("%d metrics in docs/metrics.md", len(known))
	}
	return known
}

var (
	quoted   = regexp.MustCompile(`"[^"]*"`)
	selector = regexp.MustCompile(`([a-z][a-z0-9_]*)(\{[^}]*\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)(=~|!~|!=|=)`)
	grouping = regexp.MustCompile(`\b(?:by|without|on|ignoring) \(([^)]*)\)`)
	interval = regexp.MustCompile(`\[[^\]]*\]`)
)

// unknown says what an expression names that docs/metrics.md does not have. It is no
// parser of PromQL: promtool reads the same expressions in `make dashboards-check`.
// Prometheus's own parser would bring a hundred modules.
func unknown(expr string, known map[string][]string) (complaints []string) {
	expr = interval.ReplaceAllString(quoted.ReplaceAllString(expr, `""`), "")
	// What every series gets when it is scraped.
	have := []string{"instance", "job"}
	rest := grouping.ReplaceAllString(expr, "")
	found := false
	for _, m := range selector.FindAllStringSubmatch(rest, -1) {
		name, labels := m[1], m[2]
		if !strings.Contains(name, "_") || name == "histogram_quantile" {
			continue // a function or an operator
		}
		own, ok := known[name]
		if !ok {
			complaints = append(complaints, "there is no metric "+name)
			continue
		}
		found = true
		for _, l := range matcher.FindAllStringSubmatch(labels, -1) {
			if !slices.Contains(own, l[1]) && l[1] != "instance" && l[1] != "job" {
				complaints = append(complaints, name+" has no label "+l[1])
			}
		}
		have = append(have, own...)
	}
	if !found {
		complaints = append(complaints, "no metric is named")
	}
	for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
		for l := range strings.SplitSeq(m[1], ",") {
			if l = strings.TrimSpace(l); !slices.Contains(have, l) {
				complaints = append(complaints, "nothing has the label "+l)
			}
		}
	}
	return complaints
}

// TestUnknown shows what is found.
func TestUnknown(t *testing.T) {
	known := map[string][]string{"reveille_push_requests_total": {"app", "class"}, "reveille_proxy_wake_seconds_bucket": {"provider", "le"}, "reveille_proxy_parked": nil}
	tests := []struct {
		expr string
		want int
	}{
		{`sum(reveille_proxy_parked)`, 0},
		{`sum by (app, class) (rate(reveille_push_requests_total{class="ok", job=~"$job"}[$__rate_interval]))`, 0},
		{`histogram_quantile(0.5, sum by (le, provider) (rate(reveille_proxy_wake_seconds_bucket[5m])))`, 0},
		{`reveille_proxy_parked offset 1h and time() > 1e9`, 0},
		{`sum(reveille_proxy_waiting)`, 2},
		{`sum by (class) (reveille_proxy_parked)`, 1},
		{`reveille_push_requests_total{kind="call"}`, 1},
		{`time() > 5`, 1},
	}
	for _, tt := range tests {
		if got := unknown(tt.expr, known); len(got) != tt.want {
			t.Errorf("unknown(%s) = %q, want %d", tt.expr, got, tt.want)
		}
	}
}

// TestDashboard_NamesMetrics: every panel asks for what there is.
func TestDashboard_NamesMetrics(t *testing.T) {
	known, b := metricLabels(t), dashboard(t)
	rows, ids := 0, map[int]bool{}
	for _, p := range b.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		ids[p.ID] = true
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%s lies beside the dashboard", p.Title)
		}
		if p.Type == "row" {
			rows++
			continue
		}
		if len(p.Targets) == 0 || p.Datasource["uid"] != "${datasource}" {
			t.Errorf("%s asks nobody for anything", p.Title)
		}
		for _, target := range p.Targets {
			for _, what := range unknown(target.Expr, known) {
				t.Errorf("%s: %s: %s", p.Title, target.Expr, what)
			}
			if !strings.Contains(target.Expr, `instance=~"$instance"`) {
				t.Errorf("%s: %s: is about all servers, whichever is chosen", p.Title, target.Expr)
			}
		}
	}
	if rows < 6 {
		t.Errorf("%d rows", rows)
	}
	for _, v := range b.Templating.List {
		if m := regexp.MustCompile(`reveille_\w+`).FindString(v.Definition); m != "" && known[m] == nil && !hasKey(known, m) {
			t.Errorf("%s is filled from %s, which does not exist", v.Name, m)
		}
	}
}

func hasKey(m map[string][]string, key string) bool {
	_, ok := m[key]
	return ok
}

// TestAlarms_NamesMetricsAndRunbooks: an alarm about a metric that is not there never
// comes, and one without a runbook helps nobody at night.
func TestAlarms_NamesMetricsAndRunbooks(t *testing.T) {
	known, seen := metricLabels(t), map[string]bool{}
	anchors := headings(read(t, "docs/troubleshooting.md"))
	for _, a := range alarms(t) {
		if seen[a.Alert] {
			t.Errorf("%s is there twice", a.Alert)
		}
		seen[a.Alert] = true
		for _, what := range unknown(a.Expr, known) {
			t.Errorf("%s: %s", a.Alert, what)
		}
		if s := a.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s has the severity %q", a.Alert, s)
		}
		for _, key := range []string{"summary", "description"} {
			if a.Annotations[key] == "" {
				t.Errorf("%s has no %s", a.Alert, key)
			}
		}
		anchor, ok := strings.CutPrefix(a.Annotations["runbook"], "docs/troubleshooting.md#")
		if !ok || !slices.Contains(anchors, anchor) {
			t.Errorf("%s: the runbook %q is not there", a.Alert, a.Annotations["runbook"])
		}
	}
	// Each is tried out.
	tests := read(t, "deploy/prometheus/rules_test.yaml")
	for name := range seen {
		if n := strings.Count(tests, "alertname: "+name); n < 2 {
			t.Errorf("%s is in %d tests of rules_test.yaml, want one that fires and one that does not", name, n)
		}
	}
}

// headings are the anchors of a document, as web pages of repositories make them.
func headings(text string) (anchors []string) {
	for line := range strings.SplitSeq(text, "\n") {
		title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " ")
		if !ok || !strings.HasPrefix(line, "#") {
			continue
		}
		anchors = append(anchors, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, title))
	}
	return anchors
}

// TestDashboard_Expressions writes the dashboard's expressions as a file of rules
// where $REVEILLE_RULES_OUT says: `make dashboards-check` has promtool read it.
func TestDashboard_Expressions(t *testing.T) {
	var b strings.Builder
	b.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	for _, p := range dashboard(t).Panels {
		for i, target := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "5m", "$job", ".+", "$instance", ".+").Replace(target.Expr)
			fmt.Fprintf(&b, "      - record: panel:%d:%d\n        expr: %q\n", p.ID, i, expr)
		}
	}
	out := os.Getenv("REVEILLE_RULES_OUT")
	if out == "" {
		out = filepath.Join(t.TempDir(), "rules.yaml")
	}
	if err := os.WriteFile(out, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}
