package configs

import (
	"bytes"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The reference file has two kinds of comment. "# text" documents the key
// below it. "#- key: value" and "#  key: value" are examples of list entries,
// which stand below an empty list. With the # of the examples removed the file
// shows every key there is.

// examples returns the reference with its examples turned into values.
func examples(file []byte) []byte {
	lines := strings.Split(string(file), "\n")
	for i, line := range lines {
		text := strings.TrimLeft(line, " ")
		if !strings.HasPrefix(text, "#- ") && !strings.HasPrefix(text, "#  ") {
			continue
		}
		lines[i] = line[:len(line)-len(text)] + text[1:]
		// The list that the examples belong to was written as empty.
		for j := i - 1; j >= 0; j-- {
			if t := strings.TrimSpace(lines[j]); !strings.HasPrefix(t, "# ") {
				lines[j] = strings.TrimSuffix(lines[j], " []")
				break
			}
		}
	}
	return []byte(strings.Join(lines, "\n"))
}

// entry is what the reference says about one key.
type entry struct {
	// path has [] for every list element: "push.apps[].name".
	path  string
	field reflect.StructField
	// comment is the documentation, in one paragraph.
	comment string
	// value is the default as the file writes it; empty for groups.
	value string
	// example is set for keys of list entries: value is an example.
	example bool
	depth   int
}

// entries returns the documented keys in the order of the file, each once.
func entries() ([]entry, error) {
	file := examples(reference)
	var doc yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(file)).Decode(&doc); err != nil {
		return nil, err
	}
	r := &referenceReader{lines: strings.Split(string(file), "\n"), seen: map[string]bool{}}
	r.read(doc.Content[0], reflect.TypeFor[Config](), "", 0, false)
	return r.list, nil
}

type referenceReader struct {
	lines []string
	seen  map[string]bool
	list  []entry
}

func (r *referenceReader) read(node *yaml.Node, t reflect.Type, path string, depth int, example bool) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case isScalar(t):
	case t.Kind() == reflect.Slice:
		for _, item := range node.Content {
			r.read(item, t.Elem(), path+"[]", depth, true)
		}
	case t.Kind() == reflect.Struct:
		for i := 0; i+1 < len(node.Content); i += 2 {
			key, value := node.Content[i], node.Content[i+1]
			index, ok := keyIndex(t, key.Value)
			if !ok {
				continue
			}
			f, at := t.Field(index), join(path, key.Value)
			if !r.seen[at] {
				r.seen[at] = true
				r.list = append(r.list, entry{
					path: at, field: f, comment: r.comment(key.Line), value: r.value(value), example: example, depth: depth,
				})
			}
			r.read(value, f.Type, at, depth+1, example)
		}
	}
}

// comment returns the comment lines right above a line, joined.
func (r *referenceReader) comment(line int) string {
	var text []string
	for i := line - 2; i >= 0; i-- {
		t, ok := strings.CutPrefix(strings.TrimSpace(r.lines[i]), "# ")
		if !ok {
			break
		}
		text = append([]string{t}, text...)
	}
	return strings.Join(text, " ")
}

// value returns a scalar or a short list as the file writes it.
func (r *referenceReader) value(node *yaml.Node) string {
	switch {
	case node.Kind == yaml.ScalarNode:
		if node.Value == "" {
			return `""`
		}
		return node.Value
	case node.Kind == yaml.SequenceNode && node.Style&yaml.FlowStyle != 0:
		var items []string
		for _, item := range node.Content {
			items = append(items, item.Value)
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return ""
}
