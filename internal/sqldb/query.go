package sqldb

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Query is a statement in which each {name} became a placeholder: values never
// become part of its text.
type Query struct {
	// Text is the statement in its database's own form.
	Text string

	order []int // the parameter of each argument
}

// Parse reads a statement with parameters written {name}. Braces in quotes and
// comments stay as they are, but not a parameter: there it would be no parameter.
func Parse(d Dialect, text string, names ...string) (Query, error) {
	var q Query
	var out strings.Builder
	for i := 0; i < len(text); {
		if n := opaque(text[i:]); n > 0 {
			for _, name := range names {
				if strings.Contains(text[i:i+n], "{"+name+"}") {
					return q, fmt.Errorf("sqldb: {%s} stands in quotes or a comment: write it bare", name)
				}
			}
			out.WriteString(text[i : i+n])
			i += n
			continue
		}
		if text[i] != '{' {
			out.WriteByte(text[i])
			i++
			continue
		}
		name, _, closed := strings.Cut(text[i+1:], "}")
		param := slices.Index(names, name)
		if !closed || param < 0 {
			return q, fmt.Errorf("sqldb: {%s} is none of the parameters {%s}", firstWord(name), strings.Join(names, "}, {"))
		}
		out.WriteString(q.placeholder(d, param))
		i += len(name) + 2
	}
	q.Text = out.String()
	return q, nil
}

// placeholder adds an argument, or for a database that numbers them uses the one
// that is there.
func (q *Query) placeholder(d Dialect, param int) string {
	if d != PostgreSQL {
		q.order = append(q.order, param)
		return "?"
	}
	n := slices.Index(q.order, param)
	if n < 0 {
		q.order = append(q.order, param)
		n = len(q.order) - 1
	}
	return "$" + strconv.Itoa(n+1)
}

// Args returns the arguments of the statement, from values in the order of
// Parse's names.
func (q *Query) Args(values ...any) []any {
	args := make([]any, len(q.order))
	for i, param := range q.order {
		args[i] = values[param]
	}
	return args
}

// opaque returns how many bytes at the start of s are a string, a quoted name or
// a comment; 0 if none.
func opaque(s string) int {
	switch {
	case s[0] == '\'' || s[0] == '"' || s[0] == '`':
		// A doubled quote ends one string and begins the next: the same to us.
		return upTo(s, 1, s[:1])
	case strings.HasPrefix(s, "--"):
		return upTo(s, 2, "\n")
	case strings.HasPrefix(s, "/*"):
		return upTo(s, 2, "*/")
	}
	return 0
}

// upTo returns the length of s up to and with the end that comes at from or
// later.
func upTo(s string, from int, end string) int {
	if i := strings.Index(s[from:], end); i >= 0 {
		return from + i + len(end)
	}
	return len(s)
}

// firstWord cuts what is shown of a brace that was never meant.
func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word[:min(len(word), 32)]
}

// Number returns a statement whose parameters are written ? as the database wants
// it. Nothing else in it may be a question mark.
func (d Dialect) Number(text string) string {
	if d != PostgreSQL {
		return text
	}
	var out strings.Builder
	n := 0
	for part := range strings.SplitSeq(text, "?") {
		if n > 0 {
			out.WriteString("$" + strconv.Itoa(n))
		}
		out.WriteString(part)
		n++
	}
	return out.String()
}
