package main

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// grown is a run of so many minutes in which each measure begins at 100 units and
// grows by so much each minute.
func grown(minutes int, each float64) (s series) {
	for at := time.Duration(0); at < time.Duration(minutes)*time.Minute; at += time.Second {
		v := map[string]float64{}
		for i, m := range measures() {
			// What the garbage collector has not looked at yet.
			noise := float64(int(at/time.Second)*(i+7)%5) / 10
			v[m.metric] = (100 + each*at.Minutes() + noise) * m.unit
		}
		s = append(s, sample{at, v})
	}
	return s
}

func TestSeries_Flat(t *testing.T) {
	for _, tt := range []struct {
		name string
		each float64
		grew int
	}{
		{"flat", 0, 0}, {"noise", .2, 0}, {"memory grows", 1, 2}, {"everything grows", 4, len(measures())}, {"shrinks", -3, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := grown(30, tt.each).flat(30 * time.Minute); len(got) != tt.grew {
				t.Errorf("flat() = %q, want %d measures", got, tt.grew)
			}
		})
	}
}

func TestSeries_Table(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(grown(3, 0).table()), "\n")
	if len(lines) != 2+3 {
		t.Fatalf("table of %d lines:\n%s", len(lines), strings.Join(lines, "\n"))
	}
	for _, l := range lines {
		if strings.Count(l, "|") != strings.Count(lines[0], "|") {
			t.Errorf("%q has other columns than %q", l, lines[0])
		}
	}
}

func TestSlope(t *testing.T) {
	for _, tt := range []struct {
		points []float64
		want   float64
	}{
		{nil, 0}, {[]float64{7}, 0}, {[]float64{1, 2, 3}, 1}, {[]float64{5, 1, 5}, 0}, {[]float64{0, 2, 1, 3}, .8},
	} {
		if got := slope(tt.points); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("slope(%v) = %v, want %v", tt.points, got, tt.want)
		}
	}
}

func TestReadMetrics(t *testing.T) {
	got, err := readMetrics(strings.NewReader("# HELP a x\n# TYPE a gauge\na{b=\"c d\"} 1\na{b=\"}\"} 2.5\ne 1e+06\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]float64{"a": 3.5, "e": 1e6}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := readMetrics(strings.NewReader("a b\n")); err == nil {
		t.Error("a value that is no number was read")
	}
}
