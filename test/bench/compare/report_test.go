package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reveille/configs"
)

func TestPlace(t *testing.T) {
	const before, after = "# Title\n\n<!-- other -->\nkept\n<!-- /other -->\n", "\nhand-written\n"
	tests := []struct {
		name, document, want string
	}{
		{"empty", before + "<!-- x -->\n<!-- /x -->" + after, before + "<!-- x -->\nnew\n<!-- /x -->" + after},
		{"full", before + "<!-- x -->\nold\nold\n<!-- /x -->" + after, before + "<!-- x -->\nnew\n<!-- /x -->" + after},
		{"no markers", before + after, ""},
		{"no end", before + "<!-- x -->\nold" + after, ""},
		{"no begin", before + "old\n<!-- /x -->" + after, ""},
		{"the wrong way round", "<!-- /x -->\n<!-- x -->\n", ""},
		{"twice", "<!-- x -->\n<!-- /x -->\n<!-- x -->\n<!-- /x -->\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := place(tt.document, "x", "new\n\n")
			if got != tt.want || (err != nil) != (tt.want == "") || err != nil && !errors.Is(err, errNoPlace) {
				t.Errorf("place = %q, %v; want %q", got, err, tt.want)
			}
		})
	}
	// What was placed can be replaced.
	once, err := place(tests[0].document, "x", "| a |\n")
	if err != nil {
		t.Fatal(err)
	}
	if twice, err := place(once, "x", "| a |\n"); err != nil || twice != once {
		t.Errorf("the second time: %q, %v", twice, err)
	}
}

// TestPlace_Document: the document has a place for each table.
func TestPlace_Document(t *testing.T) {
	text, err := os.ReadFile("../../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"compare", "flat", "churn", "tls", "push", "calls"} {
		if _, err := place(string(text), name, "table"); err != nil {
			t.Error(err)
		}
	}
}

func TestMiddle(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := middle(tt.values); got != tt.want {
			t.Errorf("middle(%v) = %v, want %v", tt.values, got, tt.want)
		}
	}
}

func TestComparison(t *testing.T) {
	round := func(first, refresh float64) figures {
		return figures{firstCPU: first, refreshCPU: refresh, refreshes: 12345.6, median: 99.96, slowest: 1500, pacedMedian: 50, pacedSlowest: 123.4, perBinding: 1595}
	}
	outcomes := []outcome{
		{contender{name: "peer", peer: true}, series{round(50, 20), round(60, 25), round(40, 10)}},
		{contender{name: "ours"}, series{round(25, 5), round(36, 5), round(16, 4)}},
	}
	got := comparison(outcomes)
	want := "|  | first registration | ratio | refresh | ratio | refreshes/s | p50 | p99 | p50 at 5,000/s | p99 | bytes a binding |\n" +
		"|---|---|---|---|---|---|---|---|---|---|---|\n" +
		"| peer | 50.0 µs |  | 20.0 µs |  | 12,346 | 100.0 µs | 1.5 ms | 50.0 µs | 123 µs | 1,595 |\n" +
		"| ours | 25.0 µs | **0.50** (0.40 to 0.60) | 5.0 µs | **0.25** (0.20 to 0.40) | 12,346 | 100.0 µs | 1.5 ms | 50.0 µs | 123 µs | 1,595 |\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := comparison(outcomes[1:]); !strings.Contains(got, "| 25.0 µs | – |") {
		t.Errorf("without the peer:\n%s", got)
	}
}

func TestThousands(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 999.4: "999", 1000: "1,000", 123456: "123,456", 1234567: "1,234,567", -1234: "-1,234"} {
		if got := thousands(v); got != want {
			t.Errorf("thousands(%v) = %s, want %s", v, got, want)
		}
	}
}

func TestFlatTable(t *testing.T) {
	got := flatTable(flatOutcome{10_000, 8, 100_000, 900, 3000}, flatOutcome{1_000_000, 10, 90_000, 1200, 850}, restart{1_000_000, 2500 * time.Millisecond})
	for _, want := range []string{"| 1,000,000 | 10.0 µs | 90,000 | 1.2 ms | 850 |", "1.25 times", "1,000,000 bindings again, and served, in 2.5 s"} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
}

func TestChurnTable(t *testing.T) {
	got := churnTable([]sample{{"before", 1000, 100e6, 60e6}, {"1 min", 61000, 150e6, 90e6}, {"after", 1000, 104e6, 61e6}})
	for _, want := range []string{"| 1 min | 61,000 | 150 MB | 90 MB |", "1.04 times"} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
}

func TestParseStat(t *testing.T) {
	const stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 300 0 2 0 150 25 7 9 20 0 8 0 100 1000 20 18446744073709551615\n"
	if got, err := parseStat([]byte(stat)); err != nil || got != 1750*time.Millisecond {
		t.Errorf("parseStat = %v, %v", got, err)
	}
	for _, text := range []string{"", "42 (a) S 1", strings.Replace(stat, "150", "x", 1), strings.Replace(stat, " 25 ", " x ", 1)} {
		if got, err := parseStat([]byte(text)); err == nil {
			t.Errorf("parseStat(%q) = %v", text, got)
		}
	}
	if isZombie([]byte(stat)) || !isZombie([]byte(strings.Replace(stat, " S ", " Z ", 1))) {
		t.Error("who has ended is not told from who has not")
	}
}

func TestParsePSS(t *testing.T) {
	const rollup = "55d0-7ffe ---p 00000000 00:00 0 [rollup]\nRss:   5000 kB\nPss:   1234 kB\nPss_Dirty:  10 kB\n"
	if got, err := parsePSS([]byte(rollup)); err != nil || got != 1234<<10 {
		t.Errorf("parsePSS = %d, %v", got, err)
	}
	for _, text := range []string{"", "Pss: 12 MB\n", "Pss: x kB\n"} {
		if got, err := parsePSS([]byte(text)); err == nil {
			t.Errorf("parsePSS(%q) = %d", text, got)
		}
	}
}

// TestFamily_Own reads what /proc says of this process.
func TestFamily_Own(t *testing.T) {
	f := familyOf(os.Getpid())
	if pss, err := f.pss(); err != nil || pss < 1<<20 {
		t.Errorf("pss = %d, %v", pss, err)
	}
	if _, err := f.cpu(); err != nil {
		t.Error(err)
	}
	if n, err := (family{1 << 30}).cpu(); n != 0 || err != nil {
		t.Errorf("a process that has ended: %v, %v", n, err)
	}
}

func TestReadGauge(t *testing.T) {
	const text = "# HELP a_b What.\n# TYPE a_b gauge\na_b_total 5\na_b 1e+06\n"
	if n, err := readGauge(strings.NewReader(text), "a_b"); n != 1_000_000 || err != nil {
		t.Errorf("readGauge = %d, %v", n, err)
	}
	if _, err := readGauge(strings.NewReader(text), "a"); err == nil {
		t.Error("a gauge was found that is not there")
	}
}

func TestProcessor(t *testing.T) {
	const text = "processor\t: 0\nmodel name\t: Some  CPU 3\nprocessor\t: 1\nmodel name\t: Some  CPU 3\n"
	if got := processor([]byte(text)); got != "2 × Some CPU 3" {
		t.Errorf("processor = %q", got)
	}
}

func TestFirstTwo(t *testing.T) {
	var set unix.CPUSet
	set.Set(3)
	if _, err := firstTwo(&set); !errors.Is(err, errOneCore) {
		t.Errorf("with one core: %v", err)
	}
	set.Set(5)
	set.Set(9)
	if got, err := firstTwo(&set); err != nil || got != (cores{3, 5}) {
		t.Errorf("firstTwo = %v, %v", got, err)
	}
}

// TestConfigs_AreAccepted: the server takes what it is measured with, and serves
// where the phones go.
func TestConfigs_AreAccepted(t *testing.T) {
	all, err := contenders("../../../configs")
	if err != nil || len(all) != 5 {
		t.Fatalf("%d contenders, %v", len(all), err)
	}
	dir := t.TempDir()
	if err := writeUsersFile(filepath.Join(dir, usersFile), 2); err != nil {
		t.Fatal(err)
	}
	for name, digest := range map[string]bool{"bench.yaml": false, "bench-fsync.yaml": false, "bench-digest.yaml": true} {
		text, err := os.ReadFile(filepath.Join("../../../configs", name))
		if err != nil {
			t.Fatal(err)
		}
		cfg, warnings, err := configs.Parse(filepath.Join(dir, name), text, configs.Env{})
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v, %v", name, warnings, err)
			continue
		}
		if stored := cfg.Store.OnDisk(); stored != (name != "bench.yaml") || (cfg.Auth.Mode.Registrar == configs.Required) != digest {
			t.Errorf("%s: on disk %t, registrar %s", name, stored, cfg.Auth.Mode.Registrar)
		}
	}
}
