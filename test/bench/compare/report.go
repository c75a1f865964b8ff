package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// errNoPlace says that a document has no pair of markers for a table.
var errNoPlace = errors.New("no such pair of markers")

// place puts body between the markers <!-- name --> and <!-- /name --> of a
// document and leaves all else as it is.
func place(document, name, body string) (string, error) {
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	before, rest, ok := strings.Cut(document, begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed || strings.Contains(after, begin) || strings.Contains(before, end) {
		return "", fmt.Errorf("place %s: %w", name, errNoPlace)
	}
	return before + begin + strings.TrimRight(body, "\n") + "\n" + end + after, nil
}

// write places body in a file.
func write(file, name, body string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	document, err := place(string(text), name, body)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, []byte(document), 0o644)
}

// A table is one of Markdown.
type table struct{ b strings.Builder }

func newTable(head ...string) *table {
	t := &table{}
	t.row(head...)
	t.b.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	return t
}

func (t *table) row(cells ...string) { t.b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }

// comparison is the table of a comparison.
func comparison(outcomes []outcome) string {
	var peer series
	for _, o := range outcomes {
		if o.peer {
			peer = o.series
		}
	}
	t := newTable("", "first registration", "ratio", "refresh", "ratio", "refreshes/s", "p50", "p99",
		fmt.Sprintf("p50 at %s/s", thousands(pacedRate)), "p99", "bytes a binding")
	for _, o := range outcomes {
		m := o.series.median()
		first, refresh := "", ""
		if !o.peer {
			first, refresh = ratio(o.series.against(peer, firstCPU)), ratio(o.series.against(peer, refreshCPU))
		}
		t.row(o.name, micro(m[firstCPU]), first, micro(m[refreshCPU]), refresh, thousands(m[refreshes]), micro(m[median]), micro(m[slowest]),
			micro(m[pacedMedian]), micro(m[pacedSlowest]), thousands(m[perBinding]))
	}
	return t.b.String()
}

// show shows the median of a measure, and whether the server stopped answering
// before it could be taken.
func (s series) show(m measure, as func(float64) string) string {
	values := s.answered(m)
	text := as(middle(values))
	switch mute := len(s) - len(values); {
	case mute == 0:
		return text
	case len(values) == 0:
		return "stopped answering"
	default:
		return fmt.Sprintf("%s; stopped answering in %d of %d rounds", text, mute, len(s))
	}
}

// ratio shows the median of ratios, and between which they were.
func ratio(sorted []float64) string {
	switch len(sorted) {
	case 0:
		return "–"
	case 1:
		return fmt.Sprintf("%.2f", sorted[0])
	}
	return fmt.Sprintf("**%.2f** (%.2f to %.2f)", middle(sorted), sorted[0], sorted[len(sorted)-1])
}

// micro shows microseconds with three digits.
func micro(us float64) string {
	switch {
	case us < 100:
		return fmt.Sprintf("%.1f µs", us)
	case us < 1000:
		return fmt.Sprintf("%.0f µs", us)
	}
	return fmt.Sprintf("%.1f ms", us/1000)
}

// thousands shows a whole number with commas.
func thousands(v float64) string {
	s := strconv.FormatFloat(v, 'f', 0, 64)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}
