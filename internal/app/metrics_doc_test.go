package app

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"reveille/internal/tlscert/certtest"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

// A described metric is a row of docs/metrics.md.
type described struct {
	name, kind, help string
	labels           []string
}

// A recorder is a registry that remembers what was registered, also what has no
// series until there is something to count.
type recorder struct {
	*prometheus.Registry
	t   *testing.T
	mu  sync.Mutex // guards all
	all map[string]*described
}

func newRecorder(t *testing.T) *recorder {
	return &recorder{Registry: prometheus.NewRegistry(), t: t, all: map[string]*described{}}
}

func (r *recorder) Register(c prometheus.Collector) error {
	r.note(c)
	return r.Registry.Register(c)
}

func (r *recorder) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		r.note(c)
	}
	r.Registry.MustRegister(cs...)
}

// descText reads what a Desc is; there is no other way to its parts.
var descText = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: ("(?:[^"\\]|\\.)*"), .*constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

// note remembers what a Collector describes. Vectors tell by their type what they
// are; of others a sample is asked for when all is there.
func (r *recorder) note(c prometheus.Collector) {
	kind := ""
	switch c.(type) {
	case *prometheus.CounterVec:
		kind = "counter"
	case *prometheus.GaugeVec:
		kind = "gauge"
	case *prometheus.HistogramVec:
		kind = "histogram"
	}
	descs := make(chan *prometheus.Desc, 1000)
	c.Describe(descs)
	close(descs)
	r.mu.Lock()
	defer r.mu.Unlock()
	for d := range descs {
		m := descText.FindStringSubmatch(d.String())
		if m == nil {
			r.t.Errorf("cannot read %s", d)
			continue
		}
		var labels []string
		for l := range strings.SplitSeq(m[3]+","+m[4], ",") {
			if name, _, _ := strings.Cut(l, "="); name != "" {
				labels = append(labels, name)
			}
		}
		slices.Sort(labels)
		help, err := strconv.Unquote(m[2])
		if err != nil {
			r.t.Errorf("%s: %v", d, err)
		}
		row := &described{name: m[1], kind: kind, help: help, labels: labels}
		if before := r.all[row.name]; before != nil && (!slices.Equal(before.labels, labels) || before.help != row.help) {
			r.t.Errorf("%s is registered twice, with labels %v and %v", row.name, before.labels, labels)
		}
		r.all[row.name] = row
	}
}

// rows lists what was registered, and of Go's own metrics those that say how the
// process is.
func (r *recorder) rows() (list []described) {
	r.t.Helper()
	families, err := r.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if row := r.all[f.GetName()]; row != nil {
			row.kind = strings.ToLower(f.GetType().String())
		}
	}
	goOnes := []string{"go_build_info", "go_gc_duration_seconds", "go_goroutines", "go_memstats_heap_alloc_bytes"}
	for _, name := range slices.Sorted(maps.Keys(r.all)) {
		if strings.HasPrefix(name, "go_") && !slices.Contains(goOnes, name) {
			continue
		}
		if r.all[name].kind == "" {
			r.t.Errorf("%s: nobody knows what it is: have this test make a sample of it", name)
		}
		list = append(list, *r.all[name])
	}
	return list
}

// everythingYAML is a configuration in which every room has its metrics.
func (r *rig) everythingYAML() []string {
	url, _ := subscribers(r.t)
	authority := certtest.New(r.t)
	certtest.Write(r.t, r.dir, "sip", authority.Issue("sip.example.com"))
	cert, key := certtest.PEM(r.t, authority.Issue("push.example.com"))
	r.file("pair.pem", append(cert, key...))
	sip := func(text string) string {
		return strings.NewReplacer("sip.pem", filepath.Join(r.dir, "sip.pem"), "sip.key", filepath.Join(r.dir, "sip.key")).Replace(text)
	}
	return []string{
		sip(tlsYAML), databaseYAML(url),
		"store: {dir: " + r.t.TempDir() + "}",
		`location: {url: "` + url + `"}`,
		`messages: {policy: store}`,
		`media: {engines: [{addr: "127.0.0.1:9"}]}`,
		`registrar: {qualify: {interval: 1h}}`,
		`proxy: {routes: [{name: carrier, domain: "*", to: "sip:127.0.0.1:9", check: {interval: 1h}}]}`,
		`hep: {addr: "127.0.0.1:9"}`,
		`otlp: {endpoint: "http://127.0.0.1:9/"}`,
		`hooks: {register: {url: "http://127.0.0.1:9/"}, route: {url: "http://127.0.0.1:9/"}}`,
		`events: {webhooks: [{name: crm, url: "http://127.0.0.1:9/", secret: 0123456789abcdef}], log: {format: json, file: ` + filepath.Join(r.t.TempDir(), "events") + `}}`,
		`push: {apps: [` + r.fcm("android", "fcm.json") + `, ` + r.apnsApp("cert_file: pair.pem") + `]}`,
	}
}

// TestMetrics_Documented: docs/metrics.md lists every metric that the server can
// have. A metric that is renamed, or loses a label, is a change for operators: their
// dashboards and alarms stand on the names.
func TestMetrics_Documented(t *testing.T) {
	const file, begin, end = "../../docs/metrics.md", "<!-- From here on `go test ./internal/app -run Documented -update` writes. -->\n", "<!-- Up to here. -->\n"
	recorder := newRecorder(t)
	r := newRig(t)
	a, err := New(Options{Config: r.config(r.everythingYAML()...), Metrics: recorder})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Stop(r.within()); err != nil {
			t.Errorf("Stop = %v", err)
		}
	}()
	rows := recorder.rows()
	if len(rows) < 130 {
		t.Errorf("%d metrics only", len(rows))
	}
	lintRows(t, rows)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(b), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s lacks the lines %q and %q", file, begin, end)
	}
	want := before + begin + metricTables(rows) + end + after
	if want == string(b) {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the server has; run go test ./internal/app -run Documented -update, and look for the old names in deploy", file)
	}
	if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
}

// metricTables are the rows, a table for each room.
func metricTables(rows []described) string {
	var b strings.Builder
	last := ""
	for _, row := range rows {
		room := strings.SplitN(row.name, "_", 3)[1]
		title := room
		if !strings.HasPrefix(row.name, "reveille_") {
			room, title = "process", "The process"
		}
		if room != last {
			fmt.Fprintf(&b, "\n## %s\n\n| metric | type | labels | |\n|---|---|---|---|\n", title)
			last = room
		}
		labels := ""
		if len(row.labels) > 0 {
			labels = "`" + strings.Join(row.labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", row.name, row.kind, labels, row.help)
	}
	return b.String() + "\n"
}

// lintRows holds the names to the conventions of Prometheus, those without a series
// too.
func lintRows(t *testing.T, rows []described) {
	t.Helper()
	for _, row := range rows {
		if !strings.HasPrefix(row.name, "reveille_") {
			continue // promlint's authors made these
		}
		for _, what := range lintRow(row) {
			t.Errorf("%s: %s", row.name, what)
		}
	}
}

func lintRow(row described) (complaints []string) {
	kinds := map[string]dto.MetricType{"counter": dto.MetricType_COUNTER, "gauge": dto.MetricType_GAUGE, "histogram": dto.MetricType_HISTOGRAM, "summary": dto.MetricType_SUMMARY}
	kind := kinds[row.kind]
	sample := &dto.Metric{}
	for _, l := range row.labels {
		sample.Label = append(sample.Label, &dto.LabelPair{Name: &l, Value: new(string)})
	}
	family := &dto.MetricFamily{Name: &row.name, Help: &row.help, Type: &kind, Metric: []*dto.Metric{sample}}
	problems, err := promlint.NewWithMetricFamilies([]*dto.MetricFamily{family}).Lint()
	if err != nil {
		return []string{err.Error()}
	}
	for _, p := range problems {
		complaints = append(complaints, p.Text)
	}
	if row.kind == "histogram" && !strings.HasSuffix(row.name, "_seconds") && !strings.HasSuffix(row.name, "_bytes") {
		complaints = append(complaints, "a histogram has a unit: _seconds or _bytes")
	}
	if !strings.HasSuffix(row.help, ".") {
		complaints = append(complaints, "its help is no sentence: "+row.help)
	}
	return complaints
}

// TestMetrics_Lint: what these rules find.
func TestMetrics_Lint(t *testing.T) {
	tests := []struct {
		row  described
		want int
	}{
		{described{"reveille_push_requests_total", "counter", "Pushes.", []string{"app"}}, 0},
		{described{"reveille_push_requests", "counter", "Pushes.", nil}, 1},
		{described{"reveille_push_queue_total", "gauge", "Pushes.", nil}, 1},
		{described{"reveille_push_wait_milliseconds", "histogram", "Time.", nil}, 2},
		{described{"reveille_push_queue", "gauge", "queue", nil}, 1},
		{described{"reveille_push_size", "histogram", "Sizes.", nil}, 1},
	}
	for _, tt := range tests {
		if got := lintRow(tt.row); len(got) != tt.want {
			t.Errorf("%s: %q, want %d", tt.row.name, got, tt.want)
		}
	}
}
