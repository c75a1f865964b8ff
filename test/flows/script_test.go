package flows

import (
	"fmt"
	"strings"
)

// A script is a flow as its file says it.
type script struct {
	config string // lines of YAML
	steps  []step
}

// A step is one thing that happens.
type step struct {
	line        int // where it stands, from 1
	actor, verb string
	args        []string
	block       []string // the indented lines below it
	from, to    int      // their line numbers: from inclusive, to exclusive
}

// parse reads a flow.
func parse(text string) (*script, error) {
	s := &script{}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); {
		if lines[i] == "" || strings.HasPrefix(lines[i], "#") {
			i++
			continue
		}
		if strings.HasPrefix(lines[i], " ") {
			return nil, fmt.Errorf("line %d belongs to no step", i+1)
		}
		st := step{line: i + 1, from: i + 2}
		words := strings.Fields(lines[i])
		i++
		for i < len(lines) && (lines[i] == "" || strings.HasPrefix(lines[i], "  ")) {
			st.block = append(st.block, strings.TrimPrefix(lines[i], "  "))
			i++
		}
		for n := len(st.block); n > 0 && st.block[n-1] == ""; n = len(st.block) {
			st.block = st.block[:n-1]
		}
		st.to = st.from + len(st.block)
		if words[0] == "server" {
			s.config += strings.Join(st.block, "\n")
			continue
		}
		if len(words) < 2 {
			return nil, fmt.Errorf("line %d: what does %s do?", st.line, words[0])
		}
		st.actor, st.verb, st.args = words[0], words[1], words[2:]
		s.steps = append(s.steps, st)
	}
	return s, nil
}
