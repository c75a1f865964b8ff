package configs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Problem is one thing that is wrong with a configuration file.
type Problem struct {
	// File, Line and Column say where; Line is 0 if the value is in no file.
	File         string
	Line, Column int
	// Path names the key, e.g. "listen[0].addr"; empty for the file itself.
	Path string
	// What is wrong; Hint says what to do and may be empty.
	What, Hint string
	// Warning is set for what the server can live with.
	Warning bool
}

// String returns "file:line:column: path: what; hint: ...".
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Warning {
		b.WriteString("warning: ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.What)
	if p.Hint != "" {
		b.WriteString("; hint: " + p.Hint)
	}
	return b.String()
}

// Problems are all problems of one file, in the order of the file.
type Problems []Problem

// ErrInvalid is matched by the error of a configuration that cannot be used.
var ErrInvalid = errors.New("configs: invalid configuration")

// Error returns one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Is makes errors.Is(err, ErrInvalid) true.
func (ps Problems) Is(target error) bool { return target == ErrInvalid }

// split returns the errors and the warnings of ps, each in the order of the
// file. Problems without a place come last.
func (ps Problems) split() (errs, warnings Problems) {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		if (a.Line == 0) != (b.Line == 0) {
			return b.Line - a.Line
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	for _, p := range ps {
		if p.Warning {
			warnings = append(warnings, p)
		} else {
			errs = append(errs, p)
		}
	}
	return errs, warnings
}
