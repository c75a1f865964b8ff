package payload

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"
)

// maxRendered bounds what a template makes, in bytes: more than any push
// service takes.
const maxRendered = 64 << 10

// A Template is safe for concurrent use.
type Template struct {
	name     string
	template *template.Template
}

// An Escape makes a string safe for where a template puts it.
type Escape func(string) string

// verbatim is text that is escaped already.
type verbatim string

// JSON returns a template whose values are escaped for the inside of a JSON
// string: {"name": "{{.CallerName}}"}. {{json .CallerName}} puts the quotes,
// too, and writes {{json .Data}} as an object. name is for errors.
func JSON(name, text string) (*Template, error) {
	return newTemplate(name, text, escapeJSON, template.FuncMap{"json": quote})
}

// URL returns a template whose values are escaped for a segment of a path and a
// value of a query alike.
func URL(name, text string) (*Template, error) {
	return newTemplate(name, text, escapeURL, nil)
}

// escapeFunc is the function that ends every pipeline that is printed. Its name
// cannot be written in a template.
const escapeFunc = "_escape"

func newTemplate(name, text string, escape Escape, more template.FuncMap) (*Template, error) {
	t, err := template.New(name).Option("missingkey=zero").Funcs(more).Funcs(template.FuncMap{
		escapeFunc: func(v any) (verbatim, error) { return write(v, escape) },
	}).Parse(text)
	if err != nil {
		return nil, tell(err)
	}
	if strings.Contains(text, escapeFunc) {
		return nil, fmt.Errorf("%s: %s is not for templates", name, escapeFunc)
	}
	for _, named := range t.Templates() {
		if named.Tree != nil {
			escapeNodes(named.Root)
		}
	}
	return &Template{name, t}, nil
}

// escapeNodes appends the escape function to every pipeline below n that is
// printed, as html/template does. Values are compared and cut as they are.
func escapeNodes(n parse.Node) {
	list := func(l *parse.ListNode) {
		if l != nil { // an else that is not there
			escapeNodes(l)
		}
	}
	switch n := n.(type) {
	case *parse.ListNode:
		for _, child := range n.Nodes {
			escapeNodes(child)
		}
	case *parse.ActionNode:
		if len(n.Pipe.Decl) > 0 {
			return // an assignment prints nothing
		}
		id := parse.NewIdentifier(escapeFunc).SetPos(n.Pos)
		n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Pos: n.Pos, Args: []parse.Node{id}})
	case *parse.IfNode:
		list(n.List)
		list(n.ElseList)
	case *parse.RangeNode:
		list(n.List)
		list(n.ElseList)
	case *parse.WithNode:
		list(n.List)
		list(n.ElseList)
	}
}

// write is how a value is printed.
func write(v any, escape Escape) (verbatim, error) {
	switch v := v.(type) {
	case verbatim:
		return v, nil
	case string:
		return verbatim(escape(v)), nil
	case int64:
		return verbatim(strconv.FormatInt(v, 10)), nil
	case int:
		return verbatim(strconv.Itoa(v)), nil
	case bool:
		return verbatim(strconv.FormatBool(v)), nil
	}
	return "", errors.New("neither text nor a number")
}

// quote is the template function json.
func quote(v any) (verbatim, error) {
	if s, ok := v.(verbatim); ok {
		return s, nil
	}
	b, err := json.Marshal(v)
	return verbatim(b), err
}

// escapeJSON escapes for the inside of a JSON string.
func escapeJSON(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return "" // strings always encode
	}
	return string(b[1 : len(b)-1])
}

// escapeURL escapes for a path segment and a query value alike. A segment of
// dots alone would still climb.
func escapeURL(s string) string {
	if s == "." || s == ".." {
		return strings.ReplaceAll(s, ".", "%2E")
	}
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

// Execute returns what the template makes of f. Its errors quote the template,
// never the values.
func (t *Template) Execute(f Fields) ([]byte, error) {
	var b limited
	if err := t.template.Execute(&b, f); err != nil {
		return nil, tell(err)
	}
	return b.bytes, nil
}

// JSON returns what the template makes of f if it is JSON of at most limit
// bytes. The error then says what is wrong without quoting values.
func (t *Template) JSON(f Fields, limit int) ([]byte, error) {
	b, err := t.Execute(f)
	if err != nil {
		return nil, err
	}
	var v json.RawMessage
	if err := json.Unmarshal(b, &v); err != nil {
		where := ""
		if se, ok := errors.AsType[*json.SyntaxError](err); ok {
			where = fmt.Sprintf(" in line %d of the result", 1+strings.Count(string(b[:min(int(se.Offset), len(b))]), "\n"))
		}
		return nil, fmt.Errorf("%s: makes no JSON for a push of kind %s: mistake%s; are all values in quotes and commas between them?", t.name, f.Kind, where)
	}
	if len(b) > limit {
		return nil, fmt.Errorf("%s: makes %d bytes for a push of kind %s, more than the %d that are allowed", t.name, len(b), f.Kind, limit)
	}
	return b, nil
}

// tell is an error of text/template without its first word: what stays begins
// with the name of the template, the line and, when it was executed, the
// column.
func tell(err error) error {
	return errors.New(strings.TrimPrefix(err.Error(), "template: "))
}

// limited is a buffer that refuses more than maxRendered bytes.
type limited struct{ bytes []byte }

// Write implements io.Writer.
func (l *limited) Write(b []byte) (int, error) {
	if len(l.bytes)+len(b) > maxRendered {
		return 0, errors.New("result too long")
	}
	l.bytes = append(l.bytes, b...)
	return len(b), nil
}
