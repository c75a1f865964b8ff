package event

import (
	"fmt"
	"path"
	"strings"
)

// A Filter chooses events by type and user. The zero Filter takes all.
type Filter struct {
	take, leave []string
	aor         string
}

// NewFilter reads patterns of types, in which * stands for any characters and a
// leading ! leaves out what matches: "binding.*", "!binding.refreshed". Without a
// pattern that takes, all types are taken that none leaves out. aor, if not empty,
// is the only user.
func NewFilter(patterns []string, aor string) (Filter, error) {
	f := Filter{aor: aor}
	for _, p := range patterns {
		name, leave := strings.CutPrefix(p, "!")
		if _, err := path.Match(name, ""); err != nil || name == "" {
			return Filter{}, fmt.Errorf("%q is no pattern for types of events", p)
		}
		if leave {
			f.leave = append(f.leave, name)
		} else {
			f.take = append(f.take, name)
		}
	}
	return f, nil
}

// Type reports whether events of a type are taken, of some user at least.
func (f Filter) Type(name string) bool {
	return (len(f.take) == 0 || matchesAny(f.take, name)) && !matchesAny(f.leave, name)
}

// Matches reports whether an event of a type about a user is taken.
func (f Filter) Matches(name, aor string) bool { return (f.aor == "" || f.aor == aor) && f.Type(name) }

func matchesAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if ok, err := path.Match(p, name); ok && err == nil {
			return true
		}
	}
	return false
}
