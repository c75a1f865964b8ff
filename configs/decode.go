package configs

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// decode lays node over v. A value that cannot be read is reported and left as
// it is.
func (l *loader) decode(node *yaml.Node, v reflect.Value, path string, f field) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	l.nodes[path] = node
	if v.Kind() == reflect.Pointer {
		elem := reflect.New(v.Type().Elem())
		if d, ok := reflect.TypeAssert[defaulter](elem); ok {
			d.setDefaults()
		}
		v.Set(elem)
		v = elem.Elem()
	}
	switch {
	case isScalar(v.Type()):
		l.decodeScalar(node, v, path, f)
	case node.Tag == "!!null":
		// "push:" with nothing below it changes nothing.
	case v.Kind() == reflect.Struct:
		l.decodeStruct(node, v, path)
	case v.Kind() == reflect.Slice:
		l.decodeSlice(node, v, path, f)
	case v.Kind() == reflect.Map:
		l.decodeMap(node, v, path, f)
	}
}

// isScalar reports whether t is written as one YAML scalar.
func isScalar(t reflect.Type) bool {
	if t.Kind() == reflect.Struct {
		return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
	}
	return t.Kind() != reflect.Slice && t.Kind() != reflect.Map && t.Kind() != reflect.Pointer
}

// pairs calls fn for the keys and values of a mapping, and reports keys that
// are no scalars or come twice.
func (l *loader) pairs(node *yaml.Node, path string, fn func(key, value *yaml.Node)) {
	if node.Kind != yaml.MappingNode {
		l.problem(node, path, "must be a group of keys, is "+describe(node), "write the keys on lines of their own, indented")
		return
	}
	first := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			l.problem(key, path, "a key must be a name, is "+describe(key), "")
			continue
		}
		if line := first[key.Value]; line != 0 {
			l.problem(key, join(path, key.Value), fmt.Sprintf("comes twice, first in line %d", line), "keep one of the two")
			continue
		}
		first[key.Value] = key.Line
		fn(key, value)
	}
}

func (l *loader) decodeStruct(node *yaml.Node, v reflect.Value, path string) {
	l.pairs(node, path, func(key, value *yaml.Node) {
		i, ok := keyIndex(v.Type(), key.Value)
		if !ok {
			l.problem(key, join(path, key.Value), "unknown key", suggest(key.Value, keys(v.Type())))
			return
		}
		sf := v.Type().Field(i)
		l.decode(value, v.Field(i), join(path, key.Value), field{bounds: sf.Tag.Get("range")})
	})
}

func (l *loader) decodeSlice(node *yaml.Node, v reflect.Value, path string, f field) {
	if node.Kind != yaml.SequenceNode {
		l.problem(node, path, "must be a list, is "+describe(node), "write [a, b] or one line \"- a\" for each")
		return
	}
	// A list in the file replaces the default list; it is never merged.
	if len(node.Content) == 0 {
		v.SetZero()
		return
	}
	list := reflect.MakeSlice(v.Type(), len(node.Content), len(node.Content))
	for i, item := range node.Content {
		elem := list.Index(i)
		if d, ok := reflect.TypeAssert[defaulter](elem.Addr()); ok {
			d.setDefaults()
		}
		at := fmt.Sprintf("%s[%d]", path, i)
		if item.Tag == "!!null" {
			l.problem(item, at, "is empty", "remove the line or complete it")
			continue
		}
		l.decode(item, elem, at, f)
	}
	v.Set(list)
}

func (l *loader) decodeMap(node *yaml.Node, v reflect.Value, path string, f field) {
	v.SetZero()
	if node.Kind == yaml.MappingNode && len(node.Content) == 0 {
		return
	}
	m := reflect.MakeMap(v.Type())
	l.pairs(node, path, func(key, value *yaml.Node) {
		elem := reflect.New(v.Type().Elem()).Elem()
		l.decode(value, elem, join(path, key.Value), f)
		m.SetMapIndex(reflect.ValueOf(key.Value), elem)
	})
	v.Set(m)
}

// decodeScalar reads one scalar into v, which keeps its value if that fails.
func (l *loader) decodeScalar(node *yaml.Node, v reflect.Value, path string, f field) {
	if node.Tag == "!!null" {
		l.problem(node, path, "has no value", "remove the key to keep the default")
		return
	}
	if node.Kind != yaml.ScalarNode {
		l.problem(node, path, fmt.Sprintf("must be %s, is %s", typeName(v.Type()), describe(node)), "")
		return
	}
	if what, hint := l.readScalar(node, v, f); what != "" {
		l.problem(node, path, what, hint)
	}
}

// readScalar sets v from node. what is empty if it could.
func (l *loader) readScalar(node *yaml.Node, v reflect.Value, f field) (what, hint string) {
	if e, ok := reflect.TypeAssert[enum](v); ok && !slices.Contains(e.values(), node.Value) {
		return fmt.Sprintf("%q is not one of %s", node.Value, strings.Join(e.values(), ", ")), suggest(node.Value, e.values())
	}
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		d, err := parseDuration(node.Value)
		if err != nil {
			return fmt.Sprintf("%q is no duration", node.Value), durationHint(node)
		}
		return set(v, reflect.ValueOf(d), f)
	case *Secret:
		return l.readSecret(node, p)
	case encoding.TextUnmarshaler:
		if err := p.UnmarshalText([]byte(node.Value)); err != nil {
			return fmt.Sprintf("%q is no %s", node.Value, typeName(v.Type())), textHint(v.Type())
		}
		return "", ""
	}
	wrong := fmt.Sprintf("must be %s, is %s", typeName(v.Type()), describe(node))
	switch v.Kind() {
	case reflect.String:
		v.SetString(node.Value)
	case reflect.Bool:
		if node.Tag != "!!bool" {
			return wrong, "write true or false, without quotes"
		}
		v.SetBool(strings.EqualFold(node.Value, "true"))
	case reflect.Float64:
		n, err := strconv.ParseFloat(node.Value, 64)
		if err != nil {
			return wrong, ""
		}
		return set(v, reflect.ValueOf(n), f)
	default:
		n, err := strconv.ParseInt(strings.ReplaceAll(node.Value, "_", ""), 10, 64)
		if err != nil {
			return wrong, ""
		}
		return set(v, reflect.ValueOf(n), f)
	}
	return "", ""
}

// set stores value in v if it lies within the bounds of the field.
func set(v, value reflect.Value, f field) (what, hint string) {
	if f.bounds != "" {
		low, high, _ := strings.Cut(f.bounds, "..")
		if less(value, low) || !less(value, high) && !equal(value, high) {
			return fmt.Sprintf("%s is not between %s and %s", show(value), low, high), ""
		}
	}
	v.Set(value.Convert(v.Type()))
	return "", ""
}

// bound parses one bound of a range tag in the unit of value. It panics on a
// tag that is wrong, which no input can cause and a test of all tags rules out.
func bound(value reflect.Value, s string) float64 {
	if value.Type() == reflect.TypeFor[time.Duration]() {
		d, err := parseDuration(s)
		if err != nil {
			panic("configs: bad range tag " + s)
		}
		return float64(d)
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic("configs: bad range tag " + s)
	}
	return n
}

func number(value reflect.Value) float64 {
	if value.CanFloat() {
		return value.Float()
	}
	return float64(value.Int())
}

func less(value reflect.Value, s string) bool  { return number(value) < bound(value, s) }
func equal(value reflect.Value, s string) bool { return number(value) == bound(value, s) }

// readSecret resolves ${NAME}: a secret is either written out or stands in the
// environment as a whole.
func (l *loader) readSecret(node *yaml.Node, p *Secret) (what, hint string) {
	name, ok := strings.CutPrefix(node.Value, "${")
	if !ok {
		*p = Secret(node.Value)
		return "", ""
	}
	name, ok = strings.CutSuffix(name, "}")
	if !ok {
		return "the } behind ${ is missing", "write ${NAME} and nothing else"
	}
	value, ok := l.env.Lookup(name)
	if !ok || value == "" {
		return fmt.Sprintf("the environment variable %s is not set", name), "export it, or use the key that ends in _file"
	}
	*p = Secret(value)
	return "", ""
}

// describe says what a node holds, for complaints. It shows no value: it may
// be a secret in the wrong place.
func describe(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a group of keys"
	case yaml.SequenceNode:
		return "a list"
	}
	switch node.Tag {
	case "!!null":
		return "empty"
	case "!!bool":
		return "true or false"
	case "!!int":
		return "a number"
	case "!!float":
		return "a fraction"
	}
	return "text"
}

// join appends a key to a path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
