package load

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"image/png"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write golden files")

func TestRecorder_Latency(t *testing.T) {
	tests := []struct {
		name string
		ns   func(i int) int64
		n    int
		want Latency
	}{
		{"one", func(int) int64 { return 5 * milli }, 1, Latency{1, 5, 5, 5, 5, 5, 5}},
		{"1 to 1000 ms", func(i int) int64 { return int64(i+1) * milli }, 1000, Latency{1000, 500.5, 500, 900, 990, 999, 1000}},
		{"the last of ten thousand", func(i int) int64 { return milli + 99*milli*int64(i/9999) }, 10000, Latency{10000, 1.0099, 1, 1, 1, 1, 100}},
		{"negative counts as nothing", func(int) int64 { return -1 }, 1, Latency{Count: 1}},
		{"too long counts as the longest", func(int) int64 { return 3600 * second }, 1, Latency{1, 600e3, 600e3, 600e3, 600e3, 600e3, 600e3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRecorder()
			r.begin("x", 0)
			for i := range tt.n {
				r.saw(Added, tt.ns(i))
			}
			r.end(second)
			got := r.done[0].Latency["added"]
			// Three digits are significant.
			near := func(a, b float64) bool { return a == b || a > b*0.999 && a < b*1.001 }
			if d := cmp.Diff(tt.want, got, cmp.Comparer(near)); d != "" {
				t.Errorf("latency (-want +got):\n%s", d)
			}
		})
	}
}

func TestRecorder_PhasesAndRowsAreParted(t *testing.T) {
	r := newRecorder()
	r.begin("one", 0)
	r.registered(true)
	r.saw(Register, 2*milli)
	row := r.cut(second, 3, 2)
	if row.Seconds != 1 || row.Registers != 1 || row.Open != 3 || row.Held != 2 || row.Register.P50 < 1.9 || row.Register.P99 > 2.1 {
		t.Errorf("row = %+v", row)
	}
	r.end(2 * second)
	r.begin("two", 2*second)
	r.registered(false)
	r.failed("register", "503")
	if row = r.cut(3*second, 0, 0); row.Registers != 0 || row.Failed != 1 || row.Register != (Quantiles{}) {
		t.Errorf("row = %+v", row)
	}
	r.end(4 * second)
	one, two := r.done[0], r.done[1]
	if one.Registers.OK != 1 || one.Registers.Rate != 0.5 || len(one.Failures) != 0 || len(two.Latency) != 0 || two.Failures["register: 503"] != 1 || two.Seconds != 2 {
		t.Errorf("phases = %+v, %+v", one, two)
	}
	s := Summary{Phases: r.done}
	if s.Failed() != 1 {
		t.Errorf("Failed = %d, want 1", s.Failed())
	}
}

// sample is a summary with a value everywhere.
func sample() *Summary {
	r := newRecorder()
	r.begin("storm", 0)
	for m := range NumMeasures {
		r.saw(m, int64(m+1)*milli)
	}
	r.present.Registers = RegisterCounts{Started: 5, OK: 4, Failed: 1, Challenged: 1, Retransmitted: 1, Expired: 1}
	r.present.Calls = CallCounts{Started: 3, Answered: 2, Completed: 2, Failed: 1, MaxOpen: 3, MaxHeld: 1}
	r.present.Pushes = PushCounts{Call: 1}
	r.failed("invite", "480")
	for i := range int64(3) {
		r.saw(Register, (i+1)*milli)
		r.saw(Added, (i+4)*milli)
		r.cut((i+1)*second, 1, 1)
	}
	r.end(3 * second)
	return &Summary{
		Target: "127.0.0.1:5984", Phones: 5, Seconds: 3, Interrupted: true, Unsent: 2, Phases: r.done, Series: r.rows,
		Server: &Server{Parked: 2, Bindings: 5, CPUSeconds: 1.5, Resident: 100 << 20, Asked: 3, Failed: 1},
	}
}

// keys lists all paths of an encoded value, without the values.
func keys(t *testing.T, text []byte) []string {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	set := map[string]bool{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, sub := range v {
				walk(path+"."+name, sub)
			}
		case []any:
			for _, sub := range v {
				walk(path+"[]", sub)
			}
		default:
			set[strings.TrimPrefix(path, ".")] = true
		}
	}
	walk("", v)
	return slices.Sorted(maps.Keys(set))
}

// TestSummary_JSONKeysStay: programs read them.
func TestSummary_JSONKeysStay(t *testing.T) {
	text, err := json.Marshal(sample())
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(keys(t, text), "\n") + "\n"
	if *update {
		if err := os.WriteFile("testdata/keys.txt", []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/keys.txt")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("keys (-want +got), -update if they are meant:\n%s", d)
	}
}

func TestSummary_Text(t *testing.T) {
	var out bytes.Buffer
	if err := sample().WriteText(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"5 phones, 127.0.0.1:5984, 3.0 s, interrupted\n", "\nstorm: 3.0 s\n",
		"REGISTER: 5 sent, 4 ok (1/s), 1 failed, 1 challenged, 1 retransmitted, 1 expired\n",
		"at once: 3 calls, 1 held", "pushes: 1 for calls", "failed: 1 × invite: 480\n", "2 messages were not sent",
		"server: 2 parked at once, 5 bindings, 1.5 s of CPU, 100 MB resident; 1 of 4 looks",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q:\n%s", want, &out)
		}
	}
	for m := range NumMeasures {
		if !strings.Contains(out.String(), " "+m.String()+" ") {
			t.Errorf("lacks %s", m)
		}
	}
	if NumMeasures.String() != "unknown" {
		t.Errorf("%d has a name", NumMeasures)
	}
}

// svg returns the texts of a drawing and how many paths it has.
func svg(t *testing.T, b []byte) (texts []string, paths int) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(b))
	inText := false
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return texts, paths
		}
		if err != nil {
			t.Fatalf("no XML: %v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			inText = token.Name.Local == "text"
			if token.Name.Local == "path" {
				paths++
			}
		case xml.CharData:
			if inText {
				texts = append(texts, string(token))
			}
		}
	}
}

func TestChart_SVGHoldsTheSeries(t *testing.T) {
	draw := func(s *Summary) ([]string, int) {
		var out bytes.Buffer
		if err := s.WriteChart(&out, "svg"); err != nil {
			t.Fatal(err)
		}
		return svg(t, out.Bytes())
	}
	texts, paths := draw(sample())
	for _, c := range curves() {
		if !slices.Contains(texts, c.name) {
			t.Errorf("%v lacks %s", texts, c.name)
		}
	}
	empty, fewer := draw(&Summary{Target: "x"})
	if slices.Contains(empty, "REGISTER p50") || fewer >= paths {
		t.Errorf("a run without values has %v and %d lines, with them %d", empty, fewer, paths)
	}
}

func TestChart_PNG(t *testing.T) {
	var out bytes.Buffer
	if err := sample().WriteChart(&out, "png"); err != nil {
		t.Fatal(err)
	}
	if _, err := png.Decode(&out); err != nil {
		t.Error(err)
	}
	if err := sample().WriteChart(&out, "bmp"); err == nil {
		t.Error("bmp was drawn")
	}
}

func TestCurve_GapsWithoutValues(t *testing.T) {
	c := curve{value: func(r Row) float64 { return r.Register.P50 }}
	var rows []Row
	for i, v := range []float64{0, 1, 2, 0, 0, 3, 0} {
		rows = append(rows, Row{Seconds: float64(i), Register: Quantiles{P50: v}})
	}
	parts := c.segments(rows)
	if len(parts) != 2 || len(parts[0]) != 2 || len(parts[1]) != 1 || parts[1][0].X != 5 {
		t.Errorf("segments = %v", parts)
	}
}

func TestWatcher_KeepsTheLargest(t *testing.T) {
	pages := []string{
		"# TYPE reveille_proxy_parked gauge\nreveille_proxy_parked 7\n# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 2\n",
		"damaged {",
		"# TYPE reveille_proxy_parked gauge\nreveille_proxy_parked 3\n# TYPE reveille_usrloc_bindings gauge\nreveille_usrloc_bindings 9\n" +
			"# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 2.5\n",
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if len(pages) == 0 {
			http.Error(w, "no more", http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(w, pages[0])
		pages = pages[1:]
	}))
	defer srv.Close()
	w := Watch(srv.URL)
	for range 4 {
		w.ask(t.Context())
	}
	want := &Server{Parked: 7, Bindings: 9, CPUSeconds: 0.5, Asked: 2, Failed: 2}
	if d := cmp.Diff(want, w.Seen()); d != "" {
		t.Errorf("seen (-want +got):\n%s", d)
	}
}

func TestParseSpan(t *testing.T) {
	tests := []struct {
		text string
		want Span
		ok   bool
	}{
		{"50ms..2s", Span{50 * time.Millisecond, 2 * time.Second}, true},
		{"1s", Span{time.Second, time.Second}, true},
		{"0s", Span{}, true},
		{"2s..1s", Span{}, false},
		{"-1s", Span{}, false},
		{"1s..", Span{}, false},
		{"fast", Span{}, false},
		{"", Span{}, false},
	}
	for _, tt := range tests {
		got, err := ParseSpan(tt.text)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("ParseSpan(%q) = %v, %v, want %v, ok %t", tt.text, got, err, tt.want, tt.ok)
		}
		if again, err := ParseSpan(got.String()); tt.ok && (err != nil || again != got) {
			t.Errorf("ParseSpan(%q) = %v, %v, want %v", got, again, err, got)
		}
	}
}

// TestSummary_KeysAreDocumented: docs/load.md names each key of the JSON form.
func TestSummary_KeysAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/load.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []any{Summary{}, PhaseSummary{}, RegisterCounts{}, CallCounts{}, PushCounts{}, Latency{}, Row{}, Quantiles{}, Server{}} {
		for f := range reflect.TypeOf(part).Fields() {
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if key == "" || !bytes.Contains(text, []byte("`"+key+"`")) {
				t.Errorf("%T.%s: docs/load.md lacks `%s`", part, f.Name, key)
			}
		}
	}
	for m := range NumMeasures {
		if !bytes.Contains(text, []byte("| `"+m.String()+"` |")) {
			t.Errorf("docs/load.md lacks the measure %s", m)
		}
	}
}
