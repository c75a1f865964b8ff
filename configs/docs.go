package configs

import (
	"fmt"
	"reflect"
	"strings"
)

// Markdown returns docs/configuration.md: the reference as a table for each
// group of keys.
func Markdown() ([]byte, error) {
	list, err := entries()
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString("# Configuration\n\n" +
		"Generated from `configs/reveille.yaml` by `make generate`; change that file instead.\n\n" +
		"A file holds only the keys that differ from the defaults. `reveille check FILE` reports every problem of a file at once, " +
		"`reveille config default` prints a file with every key, and `reveille config schema` a JSON Schema for editors. " +
		"SIGHUP reloads the file; keys marked ↻ need a restart, and a reload names those that were changed.\n\n" +
		"Durations are written `500ms`, `30s`, `5m`, `1h`, `30d`. A secret is written out, taken from the environment as `${NAME}`, " +
		"or read from the file that the key ending in `_file` names. Relative paths start at the folder of the configuration file. " +
		"A list in the file replaces the default list.\n")
	for _, e := range list {
		if e.depth == 0 {
			fmt.Fprintf(&b, "\n## %s\n\n", e.path)
			if e.comment != "" {
				b.WriteString(sentence(e) + "\n\n")
			}
			if isGroup(e.field.Type) {
				b.WriteString("| key | default | meaning |\n|---|---|---|\n")
			} else {
				fmt.Fprintf(&b, "Default: `%s`\n", e.value)
			}
			continue
		}
		if e.value == "" && !isGroup(e.field.Type) {
			e.value = "[]"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", e.path, cell(e), escape(sentence(e)))
	}
	return []byte(b.String()), nil
}

// isGroup reports whether a key holds further keys.
func isGroup(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct && !isScalar(t)
}

// cell returns the default or, for keys of list entries, what takes its place.
func cell(e entry) string {
	switch {
	case e.value == "" || e.value == "[]" && e.example:
		return ""
	case e.example:
		return escape("e.g. `" + e.value + "`")
	}
	return escape("`" + e.value + "`")
}

// sentence returns the documentation of a key with its bounds.
func sentence(e entry) string {
	text := strings.TrimSuffix(strings.TrimSuffix(e.comment, "restart"), " ")
	if low, high, ok := strings.Cut(e.field.Tag.Get("range"), ".."); ok {
		text += " From " + low + " to " + high + "."
	}
	if e.field.Tag.Get("restart") == "yes" {
		text += " ↻"
	}
	return strings.TrimSpace(text)
}

func escape(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
