package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// A screen is how standard output is looked at. The zero screen is a file or a
// pipe: nothing is shortened, nothing is coloured.
type screen struct {
	width   int // columns; 0 is without end
	colours bool
}

// screenOf returns what f is.
func screenOf(f *os.File) screen {
	fd := int(f.Fd()) //nolint:gosec // A descriptor is a small number.
	if !term.IsTerminal(fd) {
		return screen{}
	}
	s := screen{colours: true}
	if width, _, err := term.GetSize(fd); err == nil {
		s.width = width
	}
	return s
}

// A paint is a colour, as terminals know it (ECMA-48 §8.3.117).
type paint string

const (
	plain  paint = ""
	bold   paint = "1"
	faint  paint = "2"
	red    paint = "31"
	green  paint = "32"
	yellow paint = "33"
)

// painted is s in a colour, if there are any and nobody minds (no-color.org).
func (p program) painted(c paint, s string) string {
	if c == plain || s == "" || !p.screen.colours || p.env("NO_COLOR") != "" || p.env("TERM") == "dumb" {
		return s
	}
	return "\x1b[" + string(c) + "m" + s + "\x1b[0m"
}

// visible is s less what would do something to a terminal: phones choose it.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// visibleText is visible for a text of several lines.
func visibleText(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = visible(lines[i])
	}
	return strings.Join(lines, "\n")
}

// printJSON writes v for programs, on several lines.
func printJSON(w io.Writer, v any) error {
	b, err := encodeJSON(v, "  ")
	if err == nil {
		_, err = w.Write(b)
	}
	return err
}

// printJSONLine writes v for programs, on one line.
func printJSONLine(w io.Writer, v any) error {
	b, err := encodeJSON(v, "")
	if err == nil {
		_, err = w.Write(b)
	}
	return err
}

// encodeJSON is v as JSON with a newline. It holds nothing that would do something
// to a terminal: what a string has of that is escaped.
func encodeJSON(v any, indent string) ([]byte, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetIndent("", indent)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	var out []byte
	for _, r := range b.String() {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			r -= 0x10000 // A pair of surrogates (RFC 8259 §7).
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out, nil
}

// when is a time for people, "-" if there is none.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.RFC3339)
}

// counted is so many of what.
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
