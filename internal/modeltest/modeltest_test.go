package modeltest

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestShorten(t *testing.T) {
	all := wholeRun(0, 50).steps
	for _, tt := range []struct {
		name  string
		tries int
		fails func([]int) bool
		want  []int
	}{
		{"two steps together", 400, func(s []int) bool { return slices.Contains(s, 3) && slices.Contains(s, 41) }, []int{3, 41}},
		{"one step", 400, func(s []int) bool { return slices.Contains(s, 49) }, []int{49}},
		{"what comes before", 400, func([]int) bool { return true }, nil},
		{"many of a kind", 400, func(s []int) bool { return len(s) >= 7 }, []int{42, 43, 44, 45, 46, 47, 48}},
		{"no time", 0, func([]int) bool { return true }, all},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := 0
			got := Shorten(slices.Clone(all), tt.tries, func(s []int) bool {
				asked++
				return tt.fails(s)
			})
			if diff := cmp.Diff(tt.want, got, cmp.Transformer("", func(s []int) string { return fmt.Sprint(s) })); diff != "" {
				t.Error(diff)
			}
			if asked > tt.tries {
				t.Errorf("asked %d times", asked)
			}
		})
	}
}

// failEnv has the model of TestCheck_Model fail.
const failEnv = "REVEILLE_MODELTEST_FAIL"

// TestCheck_Model is a model that fails if it is asked to: the sum of three draws of
// at least 90 is too much.
func TestCheck_Model(t *testing.T) {
	mode := os.Getenv(failEnv)
	runs := 0
	all := Check(t, Options{Seeds: 10, Steps: 100}, func(t *testing.T, r Run) string {
		large := 0
		for i, rng := range r.Steps() {
			if n := rng.IntN(100); n >= 90 {
				t.Logf("step %d draws %d", i, n)
				large++
			}
		}
		runs++
		switch {
		case mode == "panic" && large >= 3:
			panic("too much")
		case mode == "differ":
			return fmt.Sprint(runs)
		case mode != "" && large >= 3:
			t.Error("too much")
		}
		return ""
	})
	if all && mode == "" && runs != 20 {
		t.Errorf("%d runs, want 20", runs)
	}
}

func TestCheck_ReportsAShortPlay(t *testing.T) {
	run := func(env ...string) string {
		t.Helper()
		cmd := exec.Command(os.Args[0], "-test.run", "^TestCheck_Model$", "-test.v")
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Fatalf("a model that fails passes:\n%s", out)
		}
		return string(out)
	}
	out := run(failEnv + "=yes")
	_, short, _ := strings.Cut(out, playEnv+"=")
	play, said, _ := strings.Cut(short, " ")
	if strings.Count(play, ",") != 2 || strings.Count(said, " draws ") != 3 {
		t.Errorf("the play is %q:\n%s", play, out)
	}
	if again := run(failEnv+"=yes", playEnv+"="+play); strings.Count(again, " draws ") != 3 {
		t.Errorf("played again:\n%s", again)
	}
	if out := run(failEnv+"=panic", playEnv+"="+play); !strings.Contains(out, "panic: too much") {
		t.Errorf("a panic:\n%s", out)
	}
	if out := run(failEnv + "=differ"); !strings.Contains(out, "two runs differ") {
		t.Errorf("two runs that differ:\n%s", out)
	}
}

func TestSeeds(t *testing.T) {
	t.Setenv(seedsEnv, "")
	if got := Seeds(t, 7); got != 7 {
		t.Errorf("Seeds = %d, want 7", got)
	}
	t.Setenv(seedsEnv, "5000")
	if got := Seeds(t, 7); got != 5000 {
		t.Errorf("Seeds = %d, want 5000", got)
	}
}
