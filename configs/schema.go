package configs

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Schema returns the JSON Schema (draft 2020-12) of the configuration file, for
// editors that complete and check YAML.
func Schema() ([]byte, error) {
	list, err := entries()
	if err != nil {
		return nil, err
	}
	comments := map[string]string{}
	for _, e := range list {
		comments[e.path] = e.comment
	}
	root := schemaOf(reflect.TypeFor[Config](), "", "", comments)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "reveille configuration"
	out, err := json.MarshalIndent(root, "", "  ")
	return append(out, '\n'), err
}

// durationPattern is what parseDuration accepts, in the schema's terms.
const durationPattern = `^(0|\d{1,5}d([\d.]+(ns|us|µs|ms|s|m|h))*|([\d.]+(ns|us|µs|ms|s|m|h))+)$`

func schemaOf(t reflect.Type, path, bounds string, comments map[string]string) map[string]any {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	s := map[string]any{}
	if c := comments[path]; c != "" {
		s["description"] = c
	}
	if e, ok := reflect.TypeAssert[enum](reflect.Zero(t)); ok {
		s["enum"] = enumValues(t, e)
		return s
	}
	switch {
	case t == reflect.TypeFor[time.Duration]():
		s["type"], s["pattern"] = "string", durationPattern
	case t == reflect.TypeFor[netip.Prefix](), t.Kind() == reflect.String:
		s["type"] = "string"
	case t.Kind() == reflect.Bool:
		s["type"] = "boolean"
	case t.Kind() == reflect.Float64:
		s["type"] = "number"
		addBounds(s, bounds)
	case t.Kind() == reflect.Slice:
		s["type"], s["items"] = "array", schemaOf(t.Elem(), path+"[]", bounds, comments)
	case t.Kind() == reflect.Map:
		s["type"], s["additionalProperties"] = "object", schemaOf(t.Elem(), path+".*", bounds, comments)
	case t.Kind() == reflect.Struct:
		properties := map[string]any{}
		for f := range t.Fields() {
			key := f.Tag.Get("yaml")
			properties[key] = schemaOf(f.Type, join(path, key), f.Tag.Get("range"), comments)
		}
		s["type"], s["properties"], s["additionalProperties"] = "object", properties, false
	default:
		s["type"] = "integer"
		addBounds(s, bounds)
	}
	return s
}

// enumValues returns the values as the file writes them: names or numbers.
func enumValues(t reflect.Type, e enum) []any {
	var list []any
	for _, v := range e.values() {
		if n, err := strconv.Atoi(v); err == nil && t.Kind() == reflect.Int {
			list = append(list, n)
		} else {
			list = append(list, v)
		}
	}
	return list
}

func addBounds(s map[string]any, bounds string) {
	low, high, ok := strings.Cut(bounds, "..")
	if !ok {
		return
	}
	s["minimum"], s["maximum"] = json.Number(low), json.Number(high)
}
