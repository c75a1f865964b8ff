package demo

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// An actor is who does something in a line of the timeline.
type actor int

const (
	server actor = iota
	pushService
	alicesPhone
	bobsPhone
)

// name returns what the timeline calls the actor, and the number of its colour
// (ECMA-48 SGR).
func (a actor) name() (name string, colour int) {
	switch a {
	case server:
		return "server", 36
	case pushService:
		return "push service", 35
	case alicesPhone:
		return "Alice's phone", 32
	default:
		return "Bob's phone", 33
	}
}

// nameWidth fits the longest name.
const nameWidth = len("Alice's phone")

// A timeline writes who did what when, one line each as it happens. It is safe
// for concurrent use.
type timeline struct {
	out    io.Writer
	colour bool

	mu    sync.Mutex // guards the fields below, and keeps lines in order
	began time.Time  // when the first line was said
	err   error      // the first that writing met; nothing is written after it
}

func newTimeline(out io.Writer, colour bool) *timeline { return &timeline{out: out, colour: colour} }

// say writes a line and returns its time in milliseconds since the first one.
func (t *timeline) say(who actor, format string, args ...any) (at int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.began.IsZero() {
		t.began = time.Now()
	}
	at = time.Since(t.began).Round(time.Millisecond).Milliseconds()
	name, colour := who.name()
	when, padded := fmt.Sprintf("%5d ms", at), fmt.Sprintf("%-*s", nameWidth, name)
	if t.colour {
		when = fmt.Sprintf("\x1b[2m%s\x1b[0m", when)
		padded = fmt.Sprintf("\x1b[%dm%s\x1b[0m", colour, padded)
	}
	t.write(fmt.Sprintf("%s  %s  %s\n", when, padded, fmt.Sprintf(format, args...)))
	return at
}

// title writes what there is to know before the first line.
func (t *timeline) title(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.write(text + "\n\n")
}

// end writes the last line, set apart from those before. It has no colour:
// programs may read it.
func (t *timeline) end(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.write("\n" + fmt.Sprintf(format, args...) + "\n")
}

// write is called with mu held.
func (t *timeline) write(s string) {
	if t.err != nil {
		return
	}
	if _, err := io.WriteString(t.out, s); err != nil {
		t.err = fmt.Errorf("write the timeline: %w", err)
	}
}

// failed returns the first error of writing.
func (t *timeline) failed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}
