package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
)

// A table is a list for people: columns stand below each other, and on a terminal
// that is too narrow the widest lose their ends. What is in the cells does nothing
// to the terminal.
type table struct {
	heads []string
	rows  [][]cell
}

// A cell is a text in a colour.
type cell struct {
	text  string
	paint paint
}

// newTable returns a table with these heads.
func newTable(heads ...string) *table { return &table{heads: heads} }

// add appends a row; cells are texts, cells or what fmt.Sprint prints.
func (t *table) add(cells ...any) {
	row := make([]cell, len(cells))
	for i, c := range cells {
		switch c := c.(type) {
		case cell:
			row[i] = c
		default:
			row[i].text = fmt.Sprint(c)
		}
		row[i].text = visible(row[i].text)
		if row[i].text == "" {
			row[i].text = "-"
		}
	}
	t.rows = append(t.rows, row)
}

// columnGap is between two columns, minColumn what a column keeps.
const (
	columnGap = 2
	minColumn = 8
)

// printTable writes t, or what is said in place of an empty one.
func (p program) printTable(t *table, empty string) error {
	if len(t.rows) == 0 {
		_, err := fmt.Fprintln(p.stdout, empty)
		return err
	}
	heads := make([]cell, len(t.heads))
	for i, h := range t.heads {
		heads[i] = cell{h, bold}
	}
	all := slices.Insert(slices.Clone(t.rows), 0, heads)
	widths := fitting(all, p.screen.width)
	var b strings.Builder
	for _, row := range all {
		for i, c := range row {
			text := c.text
			if runewidth.StringWidth(text) > widths[i] {
				text = runewidth.Truncate(text, widths[i], "…")
			}
			b.WriteString(p.painted(c.paint, text))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-runewidth.StringWidth(text)+columnGap))
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(p.stdout, b.String())
	return err
}

// fitting returns how wide the columns are, so that a row fits into so many columns
// of a terminal as far as that is possible; 0 is without end.
func fitting(rows [][]cell, limit int) []int {
	widths := make([]int, len(rows[0]))
	total := columnGap * (len(widths) - 1)
	for i := range widths {
		for _, row := range rows {
			widths[i] = max(widths[i], runewidth.StringWidth(row[i].text))
		}
		total += widths[i]
	}
	if limit <= 0 {
		return widths
	}
	// The widest gives first, so that what is short stays whole.
	for total > limit {
		widest := 0
		for i, w := range widths {
			if w > widths[widest] {
				widest = i
			}
		}
		if widths[widest] <= minColumn {
			break
		}
		widths[widest]--
		total--
	}
	return widths
}
