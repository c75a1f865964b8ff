package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"reveille/configs"
)

func TestParseCounts(t *testing.T) {
	const text = "StartTime;SuccessfulCall(P);SuccessfulCall(C);FailedCall(P);FailedCall(C);Retransmissions(P);Retransmissions(C);\n" +
		"x;1;1;0;0;0;0;\nx;4;5;1;1;0;7;\n"
	if got, err := parseCounts(text); err != nil || got != (counts{5, 1, 7}) {
		t.Errorf("parseCounts = %+v, %v", got, err)
	}
	for name, text := range map[string]string{
		"nothing": "", "names alone": "SuccessfulCall(C);FailedCall(C);Retransmissions(C)\n", "a short line": "SuccessfulCall(C);FailedCall(C);Retransmissions(C)\n1;2\n",
		"no number": "SuccessfulCall(C);FailedCall(C);Retransmissions(C)\n1;2;x\n", "another name": "SuccessfulCall(P);FailedCall(C);Retransmissions(C)\n1;2;3\n",
	} {
		if got, err := parseCounts(text); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestParseTimes(t *testing.T) {
	got, err := parseTimes("Date_ms;response_time_ms;rtd_no\n1795348230358.1;3;1\n1795348230359.1;0.5;1\n\n")
	if want := []float64{500, 3000}; err != nil || !slices.Equal(got, want) {
		t.Errorf("parseTimes = %v, %v, want %v", got, err, want)
	}
	if got, err := parseTimes("1;x;1\n"); err == nil {
		t.Errorf("parseTimes = %v", got)
	}
}

func TestPercentile(t *testing.T) {
	var sorted []float64
	for i := range 200 {
		sorted = append(sorted, float64(i))
	}
	for p, want := range map[float64]float64{0: 0, 50: 100, 99: 198, 100: 199} {
		if got := percentile(sorted, p); got != want {
			t.Errorf("percentile %v = %v, want %v", p, got, want)
		}
	}
	if got := percentile(nil, 50); got != 0 {
		t.Errorf("percentile of nothing = %v", got)
	}
}

func TestCallTable(t *testing.T) {
	of := func(few, many, failed float64) figures {
		var f figures
		f[fewCallsCPU], f[manyCallsCPU], f[failedCalls], f[repeatedCalls], f[median], f[slowest] = few, many, failed, 2*failed, 500, 2500
		return f
	}
	got := callTable([]callContender{
		{name: "peer", peer: true, series: series{of(400, 300, 0), of(500, 200, 1), of(400, 300, 1)}},
		{name: "ours", series: series{of(200, 150, 0), of(200, 200, 0), of(240, 120, 0)}},
	})
	for _, want := range []string{
		"| peer | 400 µs |  | 300 µs |  | 2 | 4 | < 1 ms | 2.5 ms |", "| ours | 200 µs | **0.50** (0.40 to 0.60) | 150 µs | **0.50** (0.40 to 1.00) | 0 | 0 | < 1 ms | 2.5 ms |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}

// TestCallContenders: the phone with push has an app of the configuration, and is
// awake if it is called within the time that a datagram counts.
func TestCallContenders(t *testing.T) {
	all, err := callContenders("../../../configs")
	if err != nil || len(all) != 3 || !all[0].peer {
		t.Fatalf("%d contenders, %v", len(all), err)
	}
	cfg, _, err := configs.Load(filepath.Join("../../../configs", "bench.yaml"), configs.Env{})
	if err != nil {
		t.Fatal(err)
	}
	app := cfg.Push.Apps[0]
	if want := ";pn-provider=" + string(app.Provider) + ";"; !strings.HasPrefix(all[2].contact, want) || all[1].contact != "" {
		t.Errorf("phones register %q and %q, want nothing and %q", all[1].contact, all[2].contact, want)
	}
}
