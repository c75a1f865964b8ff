package demo

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"reveille/internal/phone"
	"reveille/push/pushsim"
)

func TestMain(m *testing.M) {
	phone.AllowLargeDatagrams()
	sip.SetDefaultLogger(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// line matches a line of the timeline: when, who, what.
var line = regexp.MustCompile(`^ *(\d+) ms  (server|push service|Alice's phone|Bob's phone) +(\S.*)$`)

// steps splits what was printed into the steps and the last line.
func steps(t *testing.T, out string) (list []string, last string) {
	t.Helper()
	before, last, ok := strings.Cut(strings.TrimSuffix(out, "\n"), "\n\nphone ")
	if !ok {
		before = strings.TrimSuffix(out, "\n")
	} else {
		last = "phone " + last
	}
	_, body, _ := strings.Cut(before, "\n\n")
	previous, column := 0, 0
	for l := range strings.SplitSeq(body, "\n") {
		m := line.FindStringSubmatch(l)
		if m == nil {
			t.Fatalf("no line of a timeline: %q", l)
		}
		if ms, _ := strconv.Atoi(m[1]); ms < previous {
			t.Errorf("%q comes after %d ms", l, previous)
		} else {
			previous = ms
		}
		if at := strings.LastIndex(l, m[3]); column == 0 {
			column = at
		} else if at != column {
			t.Errorf("%q begins in column %d, those before in %d", l, at, column)
		}
		list = append(list, m[2]+": "+m[3])
	}
	return list, last
}

// follows fails the test unless the steps begin so, one after the other, with
// nothing between or behind.
func follows(t *testing.T, got, want []string) {
	t.Helper()
	for i := 0; i < max(len(got), len(want)); i++ {
		switch {
		case i >= len(got):
			t.Errorf("step %d: missing, want %q", i, want[i])
		case i >= len(want):
			t.Errorf("step %d: %q, want no more", i, got[i])
		case !strings.HasPrefix(got[i], want[i]):
			t.Errorf("step %d: %q, want %q...", i, got[i], want[i])
		}
	}
}

// beginning is what happens until the push.
func beginning() []string {
	return []string{
		"server: listens", "push service: listens", "Alice's phone: registers", "Bob's phone: registers",
		"Alice's phone: is put aside", "server: sees the connection end", "Bob's phone: calls Alice",
		"server: finds Alice's phone asleep", "server: asks the push service",
	}
}

func TestRun_TellsTheStory(t *testing.T) {
	var out bytes.Buffer
	began := time.Now()
	if err := Run(t.Context(), Options{Out: &out}); err != nil {
		t.Fatalf("Run = %v\n%s", err, &out)
	}
	elapsed := time.Since(began)
	got, last := steps(t, out.String())
	follows(t, got, append(beginning(),
		"push service: takes the push", "Alice's phone: wakes up", "server: knows the phone again", "Alice's phone: rings",
		"Bob's phone: hears", "Bob's phone: is connected", "Bob's phone: hangs up", "Alice's phone: sees that the call is over"))
	m := regexp.MustCompile(`^phone rang (\d+) ms after the push$`).FindStringSubmatch(last)
	if m == nil {
		t.Fatalf("last line = %q", last)
	}
	if n, _ := strconv.Atoi(m[1]); time.Duration(n)*time.Millisecond > elapsed {
		t.Errorf("%q, but all of it took %s", last, elapsed)
	}
	if elapsed > limit {
		t.Errorf("took %s, want at most %s", elapsed, limit)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("there are escape sequences although nobody asked for colour")
	}
}

func TestRun_LeavesNoFiles(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	if err := Run(t.Context(), Options{Out: &bytes.Buffer{}}); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
		t.Errorf("left %v behind, %v", left, err)
	}
}

func TestRun_Fails(t *testing.T) {
	tests := []struct {
		name  string
		fault pushsim.FaultKind
		end   []string
		says  []string
	}{
		{
			"the push service refuses", pushsim.Refuse,
			[]string{"push service: does not take the push", "server: tells Bob's phone that Alice cannot be reached: 480"},
			[]string{"the phone did not ring", "480", "the push service did not take the push", "credential"},
		},
		{
			"the token is dead", pushsim.Gone,
			[]string{"push service: does not take the push", "server: tells Bob's phone that Alice cannot be reached: 480"},
			[]string{"the phone did not ring", "480", "gone"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			err := Run(t.Context(), Options{Out: &out, Fault: pushsim.Fault{Kind: tt.fault}})
			if err == nil {
				t.Fatalf("Run = nil\n%s", &out)
			}
			for _, want := range tt.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Run = %q, want %q in it", err, want)
				}
			}
			got, last := steps(t, out.String())
			follows(t, got, append(beginning(), tt.end...))
			if last != "" {
				t.Errorf("last line = %q, but nothing rang", last)
			}
		})
	}
}

func TestRun_EndsWithItsContext(t *testing.T) {
	why := errors.New("the reader went home")
	ctx, cancel := context.WithCancelCause(t.Context())
	var out bytes.Buffer
	// The push service never answers, and the reader leaves when it is asked.
	w := writerFunc(func(b []byte) (int, error) {
		if bytes.Contains(b, []byte("asks the push service")) {
			cancel(why)
		}
		return out.Write(b)
	})
	if err := Run(ctx, Options{Out: w, Fault: pushsim.Fault{Kind: pushsim.BlackHole}}); err == nil {
		t.Errorf("Run = nil\n%s", &out)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestRun_WriteErrorIsAFailure(t *testing.T) {
	closed := errors.New("closed pipe")
	err := Run(t.Context(), Options{Out: writerFunc(func([]byte) (int, error) { return 0, closed })})
	if !errors.Is(err, closed) {
		t.Errorf("Run = %v, want %v", err, closed)
	}
}

func TestTimeline_ColourKeepsTheColumns(t *testing.T) {
	var plain, coloured bytes.Buffer
	for _, tl := range []*timeline{newTimeline(&plain, false), newTimeline(&coloured, true)} {
		// The times are those of this moment: only the columns are compared.
		tl.say(server, "listens")
		tl.say(bobsPhone, "calls %s", "Alice")
		tl.end("phone rang %d ms after the push", 7)
	}
	escape := regexp.MustCompile(`\x1b\[\d+m`)
	number := regexp.MustCompile(` *\d+ ms  `)
	strip := func(s string) string { return number.ReplaceAllString(escape.ReplaceAllString(s, ""), "N ms  ") }
	if p, c := strip(plain.String()), strip(coloured.String()); p != c {
		t.Errorf("without colour %q, with colour %q", p, c)
	}
	if !escape.MatchString(coloured.String()) || !strings.HasSuffix(coloured.String(), "\nphone rang 7 ms after the push\n") {
		t.Errorf("with colour %q", coloured.String())
	}
}
