package flows

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
)

// values are what names stand for.
type values map[string]string

var (
	// named matches a name or a range of numbers in a script.
	named = regexp.MustCompile(`\{([a-z][a-z0-9.-]*|[0-9]+-[0-9]+)\}`)
	// generated is what a name that is seen first may stand for.
	generated = `([^\s;,<>"@:]+)`
)

// fill puts values in place of names.
func (v values) fill(line string) (string, error) {
	var missing error
	out := named.ReplaceAllStringFunc(line, func(ref string) string {
		value, ok := v[strings.Trim(ref, "{}")]
		if !ok {
			missing = fmt.Errorf("%s has no value yet", ref)
		}
		return value
	})
	return out, missing
}

// match compares a line with what a script wants, and adds the values of new
// names to v if they agree.
func (v values) match(want, got string) bool {
	var pattern strings.Builder
	pattern.WriteString("^")
	var refs []string // of each group
	at := 0
	for _, m := range named.FindAllStringSubmatchIndex(want, -1) {
		pattern.WriteString(regexp.QuoteMeta(want[at:m[0]]))
		at = m[1]
		ref := want[m[2]:m[3]]
		if value, ok := v[ref]; ok {
			pattern.WriteString(regexp.QuoteMeta(value))
			continue
		}
		if ref == "date" {
			pattern.WriteString("(.*)")
		} else {
			pattern.WriteString(generated)
		}
		refs = append(refs, ref)
	}
	pattern.WriteString(regexp.QuoteMeta(want[at:]) + "$")
	found := regexp.MustCompile(pattern.String()).FindStringSubmatch(got)
	if found == nil {
		return false
	}
	fresh := values{}
	for i, ref := range refs {
		value := found[i+1]
		if low, high, ok := numbers(ref); ok {
			if n, err := strconv.Atoi(value); err != nil || n < low || n > high {
				return false
			}
			continue
		}
		if at, ok := moment(ref, value); ok {
			if time.Since(at).Abs() > nearby {
				return false
			}
			continue
		}
		if had, ok := fresh[ref]; ok && had != value {
			return false
		}
		fresh[ref] = value
	}
	for ref, value := range fresh {
		// What has another name is something else, or it was used twice.
		for _, had := range v {
			if had == value {
				return false
			}
		}
		v[ref] = value
	}
	return true
}

// nearby is how far times may be from now: the end of a registration is an hour
// away.
const nearby = time.Hour + time.Minute

// moment reads what names of times stand for: the date of HTTP, or seconds since
// 1970. It is zero for what is neither.
func moment(ref, value string) (at time.Time, ok bool) {
	switch ref {
	case "date":
		at, _ = time.Parse(http.TimeFormat, value)
	case "seconds":
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			at = time.Unix(n, 0)
		}
	default:
		return at, false
	}
	return at, true
}

// numbers reads a range.
func numbers(ref string) (low, high int, ok bool) {
	from, to, _ := strings.Cut(ref, "-")
	low, err1 := strconv.Atoi(from)
	high, err2 := strconv.Atoi(to)
	return low, high, err1 == nil && err2 == nil
}

// compare says how a message differs from what a script wants, "" if it does
// not; only then v learns from it.
func (v values) compare(want, got []string) string {
	tried := maps.Clone(v)
	same := len(want) == len(got)
	for i := 0; same && i < len(want); i++ {
		same = tried.match(want[i], got[i])
	}
	if same {
		maps.Copy(v, tried)
		return ""
	}
	// A line that fits somewhere is shown as received, so that the difference
	// tells of order and of lines that are missing, extra or wrong.
	shown := make([]string, len(want))
	used := make([]bool, len(got))
	tried = maps.Clone(v)
	for i, w := range want {
		shown[i], _ = v.fill(w)
		for j, g := range got {
			if !used[j] && tried.match(w, g) {
				shown[i], used[j] = g, true
				break
			}
		}
	}
	if cmp.Equal(shown, got) {
		return "a value stands for two names, or a name for two values"
	}
	return cmp.Diff(shown, got)
}
