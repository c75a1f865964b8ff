package rtpengine

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// This file is bencoding, in which engines of all versions speak: 4:spam, i3e,
// l4:spame, d3:cow3:mooe. A value is a string, an int64, a []any or a dict.

// A dict is a dictionary of values.
type dict = map[string]any

// maxNesting bounds lists in lists. No answer of an engine that is read here needs
// more.
const maxNesting = 16

var errBencode = errors.New("malformed bencoding")

// appendValue appends a value to b; what is none of the types above, or a []string,
// is left out.
func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		b = strconv.AppendInt(b, int64(len(v)), 10)
		b = append(append(b, ':'), v...)
	case int64:
		b = strconv.AppendInt(append(b, 'i'), v, 10)
		b = append(b, 'e')
	case []string:
		b = append(b, 'l')
		for _, x := range v {
			b = appendValue(b, x)
		}
		b = append(b, 'e')
	case []any:
		b = append(b, 'l')
		for _, x := range v {
			b = appendValue(b, x)
		}
		b = append(b, 'e')
	case dict:
		b = append(b, 'd')
		for _, k := range slices.Sorted(maps.Keys(v)) {
			b = appendValue(appendValue(b, k), v[k])
		}
		b = append(b, 'e')
	}
	return b
}

// parseValue reads b, which must be one value and nothing else. Keys may come in any
// order, as engines write them, but only once.
func parseValue(b string) (any, error) {
	v, rest, err := readValue(b, 0)
	if err == nil && rest != "" {
		err = fmt.Errorf("%w: something follows it", errBencode)
	}
	return v, err
}

func readValue(b string, depth int) (v any, rest string, err error) {
	if b == "" || depth > maxNesting {
		return nil, "", errBencode
	}
	switch b[0] {
	case 'i':
		n, rest, err := readNumber(b[1:], 'e')
		return n, rest, err
	case 'l':
		list := []any{}
		for b = b[1:]; b != "" && b[0] != 'e'; list = append(list, v) {
			if v, b, err = readValue(b, depth+1); err != nil {
				return nil, "", err
			}
		}
		return list, b[min(1, len(b)):], ended(b)
	case 'd':
		d := dict{}
		for b = b[1:]; b != "" && b[0] != 'e'; {
			var k string
			if k, b, err = readString(b); err != nil {
				return nil, "", err
			}
			if _, twice := d[k]; twice {
				return nil, "", fmt.Errorf("%w: a key comes twice", errBencode)
			}
			if d[k], b, err = readValue(b, depth+1); err != nil {
				return nil, "", err
			}
		}
		return d, b[min(1, len(b)):], ended(b)
	}
	s, rest, err := readString(b)
	return s, rest, err
}

// ended is an error unless a list or dictionary ends here.
func ended(b string) error {
	if b == "" {
		return errBencode
	}
	return nil
}

func readString(b string) (s, rest string, err error) {
	n, rest, err := readNumber(b, ':')
	if err != nil || n < 0 || n > int64(len(rest)) {
		return "", "", errBencode
	}
	return rest[:n], rest[n:], nil
}

// readNumber reads digits up to end. There is one way to write a number: no +, no
// leading zero, no -0.
func readNumber(b string, end byte) (n int64, rest string, err error) {
	i := 0
	for i < len(b) && b[i] != end && i < 20 {
		i++
	}
	if i == len(b) || b[i] != end {
		return 0, "", errBencode
	}
	n, err = strconv.ParseInt(b[:i], 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != b[:i] {
		return 0, "", errBencode
	}
	return n, b[i+1:], nil
}
