// Package modeltest runs the randomised models of other packages' tests: many seeds,
// some of them twice, and for the first that fails it finds a short play that fails
// too.
//
// A model draws each step from a source of its own (Run.Rand), so that a step is the
// same whether others are done or not. To make a play short, Check runs the test
// binary again and again without some of the steps: so a play may fail as it likes,
// by a panic or a deadlock of its bubble, too.
package modeltest

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const (
	// seedsEnv is how many seeds every model plays, in place of the usual number.
	seedsEnv = "REVEILLE_MODEL_SEEDS"
	// playEnv is one play: a seed, and the steps that are done: "17:0,3,4".
	playEnv = "REVEILLE_MODEL_PLAY"
	// tries bounds how often a play is run to make it short.
	tries = 400
)

// Seeds is how many seeds a model plays: usual, or what REVEILLE_MODEL_SEEDS says.
func Seeds(t testing.TB, usual int) uint64 {
	t.Helper()
	text := os.Getenv(seedsEnv)
	if text == "" {
		return uint64(usual)
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		t.Fatalf("%s: %v", seedsEnv, err)
	}
	return n
}

// A Run is one play of a model.
type Run struct {
	Seed uint64
	// steps are those that are done, in order.
	steps []int
}

// Rand is the source of one step's choices; -1 is that of what comes before all.
func (r Run) Rand(step int) *rand.Rand { return rand.New(rand.NewPCG(r.Seed, uint64(step+1))) }

// Steps are those to be done, each with the source of its choices.
func (r Run) Steps() iter.Seq2[int, *rand.Rand] {
	return func(yield func(int, *rand.Rand) bool) {
		for _, step := range r.steps {
			if !yield(step, r.Rand(step)) {
				return
			}
		}
	}
}

func wholeRun(seed uint64, steps int) Run {
	r := Run{Seed: seed}
	for i := range steps {
		r.steps = append(r.steps, i)
	}
	return r
}

// Options say what Check does.
type Options struct {
	// Seeds is how many seeds are usual, Steps how many steps a play has.
	Seeds, Steps int
	// Again: each so many-th seed is played twice; 0: each.
	Again int
}

// Check plays many seeds. play returns what came of it, which must be the same when
// a seed is played twice. Of the first seed that fails the trace of a short play is
// printed, with the way to play it again. all is false if only one play was asked for.
func Check(t *testing.T, o Options, play func(*testing.T, Run) (outcome string)) (all bool) {
	t.Helper()
	if r, ok := asked(t); ok {
		play(t, r)
		return false
	}
	if os.Getenv(seedsEnv) != "" || o.Again == 0 {
		o.Again = 1
	}
	for seed := range Seeds(t, o.Seeds) {
		r := wholeRun(seed, o.Steps)
		var first, second string
		passed := t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			if first = play(t, r); seed%uint64(o.Again) == 0 && !t.Failed() {
				if second = play(t, r); first != second {
					t.Errorf("two runs differ:\n%s\n\n%s", first, second)
				}
			}
		})
		if !passed {
			t.Fatal(short(t.Name(), r))
		}
	}
	return true
}

// asked is the play that the environment asks for.
func asked(t *testing.T) (r Run, ok bool) {
	t.Helper()
	text := os.Getenv(playEnv)
	if text == "" {
		return r, false
	}
	seed, steps, _ := strings.Cut(text, ":")
	var err error
	if r.Seed, err = strconv.ParseUint(seed, 10, 64); err != nil {
		t.Fatalf("%s: %v", playEnv, err)
	}
	for s := range strings.SplitSeq(steps, ",") {
		if s == "" {
			continue
		}
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("%s: %v", playEnv, err)
		}
		r.steps = append(r.steps, n)
	}
	return r, true
}

// String is the run as playEnv has it.
func (r Run) String() string {
	var steps []string
	for _, s := range r.steps {
		steps = append(steps, strconv.Itoa(s))
	}
	return fmt.Sprintf("%d:%s", r.Seed, strings.Join(steps, ","))
}

// short makes a play that fails shorter, in processes of its own, and tells of it.
func short(name string, r Run) string {
	binary, err := os.Executable()
	if err != nil {
		return err.Error()
	}
	var said string
	fails := func(steps []int) bool {
		run := Run{r.Seed, steps}
		cmd := exec.Command(binary, "-test.run", "^"+regexp.QuoteMeta(name)+"$", "-test.v", "-test.timeout", "1m")
		cmd.Env = append(os.Environ(), playEnv+"="+run.String())
		out, err := cmd.CombinedOutput()
		if err != nil {
			said = string(out)
		}
		return err != nil
	}
	if !fails(r.steps) {
		return fmt.Sprintf("seed %d fails, but not when it is played alone", r.Seed)
	}
	r.steps = Shorten(r.steps, tries, fails)
	fails(r.steps)
	return fmt.Sprintf("seed %d fails with these steps; play it again by\n\t%s=%s go test -run '^%s$' -v\n%s", r.Seed, playEnv, r, name, said)
}

// Shorten returns a part of steps, which fail, that fails too and cannot be made
// shorter by leaving out any one step, unless fails was asked as often as tries says
// before. Larger pieces are left out first (Zeller's ddmin, the half of it).
func Shorten(steps []int, tries int, fails func([]int) bool) []int {
	for piece := max(len(steps)/2, 1); ; {
		left := false
		for at := 0; at < len(steps) && tries > 0; {
			end := min(at+piece, len(steps))
			without := append(append([]int(nil), steps[:at]...), steps[end:]...)
			tries--
			if fails(without) {
				steps, left = without, true
				continue
			}
			at = end
		}
		switch {
		case tries == 0 || piece == 1 && !left:
			return steps
		case piece > 1:
			piece /= 2
		}
	}
}
