package configs

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const day = 24 * time.Hour

// days matches the part of a duration that time.ParseDuration lacks.
var days = regexp.MustCompile(`^(\d{1,5})d`)

// parseDuration reads a duration like 500ms, 30s, 1h30m or 30d. A day has 24
// hours. 0 needs no unit.
func parseDuration(s string) (time.Duration, error) {
	m := days.FindStringSubmatch(s)
	if m == nil {
		return time.ParseDuration(s)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return 0, err
	}
	var rest time.Duration
	if tail := s[len(m[0]):]; tail != "" {
		if rest, err = time.ParseDuration(tail); err != nil || rest < 0 {
			return 0, fmt.Errorf("no duration behind the days: %q", tail)
		}
	}
	return time.Duration(n)*day + rest, nil
}

// formatDuration writes a duration as people do: 30d, 1h, 90s.
func formatDuration(d time.Duration) string {
	switch {
	case d == 0:
		return "0s"
	case d%day == 0:
		return strconv.FormatInt(int64(d/day), 10) + "d"
	case d%time.Hour == 0:
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	case d%time.Minute == 0:
		return strconv.FormatInt(int64(d/time.Minute), 10) + "m"
	case d%time.Second == 0:
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return d.String()
}

var onlyDigits = regexp.MustCompile(`^\d+$`)

// durationHint helps whoever wrote a bare number.
func durationHint(node *yaml.Node) string {
	if onlyDigits.MatchString(node.Value) {
		return fmt.Sprintf("did you mean %ss?", node.Value)
	}
	return "write 500ms, 30s, 5m, 1h or 30d"
}

// typeName names a scalar type for people.
func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "a duration"
	case t == reflect.TypeFor[netip.Prefix]():
		return "network"
	case t == reflect.TypeFor[Folder]():
		return "a folder"
	case t == reflect.TypeFor[SecretFile](), t == reflect.TypeFor[KeyringFile](), t == reflect.TypeFor[CertFile](), t == reflect.TypeFor[SocketFile](), t == reflect.TypeFor[LogFile]():
		return "a file name"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.String:
		return "text"
	case t.Kind() == reflect.Float64:
		return "a number"
	}
	return "a whole number"
}

// textHint says how a type with a text form is written.
func textHint(t reflect.Type) string {
	if t == reflect.TypeFor[netip.Prefix]() {
		return "write 192.0.2.0/24, 192.0.2.7/32 or 2001:db8::/32"
	}
	return ""
}

// show writes a value as the file would.
func show(v reflect.Value) string {
	if v.Type() == reflect.TypeFor[time.Duration]() {
		return formatDuration(time.Duration(v.Int()))
	}
	return fmt.Sprint(v.Interface())
}

// keyIndex finds the field of a struct that carries a key.
func keyIndex(t reflect.Type, key string) (int, bool) {
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("yaml") == key {
			return i, true
		}
	}
	return 0, false
}

// keys lists the keys of a struct in order.
func keys(t reflect.Type) []string {
	var list []string
	for field := range t.Fields() {
		list = append(list, field.Tag.Get("yaml"))
	}
	return list
}

// suggest returns a hint that names the candidate nearest to word, or else all
// of them if they are few.
func suggest(word string, candidates []string) string {
	best, distance := "", 1+len(word)/3
	for _, c := range candidates {
		if d := editDistance(strings.ToLower(word), strings.ToLower(c)); d <= distance && (best == "" || d < distance) {
			best, distance = c, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	if n := len(candidates); n > 0 && n <= 16 {
		return "known here: " + strings.Join(candidates, ", ")
	}
	return ""
}

// editDistance counts the insertions, deletions, replacements and swaps of
// neighbours that turn a into b.
func editDistance(a, b string) int {
	// A key in a file may be of any length; beyond this nothing is alike.
	if len(a) > 64 || len(b) > 64 {
		return max(len(a), len(b))
	}
	var d [65][65]int
	for i := range len(a) + 1 {
		d[i][0] = i
	}
	for j := range len(b) + 1 {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
