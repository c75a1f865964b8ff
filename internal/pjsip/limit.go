package pjsip

import (
	"cmp"
	"fmt"
	"strconv"
	"time"
)

// limits are settings of the AORs, as they are for all users.
type limits struct {
	overflow string
	lifetimes
	// qualify is the interval.
	qualify, qualifyTimeout string
	only2xx                 bool
}

// lifetimes are those that a phone gets which asks for none, at least and at most.
// Empty ones are left at their defaults.
type lifetimes struct {
	expires, shortest, max string
}

// limit takes over the limits of the AORs: what most have is for all, and what others
// have for these alone.
func (p *planner) limit() {
	own := map[*Section]*lifetimes{}
	var registering []*Section
	for _, s := range p.model.byType["aor"] {
		if n := s.Value("max_contacts"); len(s.All("contact")) > 0 && (n == "" || n == "0") {
			continue // Nobody registers there.
		}
		registering, own[s] = append(registering, s), &lifetimes{}
	}
	for _, o := range []struct {
		name                       string
		otherwise, lowest, highest int // Asterisk's default first
		of                         func(*lifetimes) *string
	}{
		{"default_expiration", 3600, 1, 720 * 3600, func(l *lifetimes) *string { return &l.expires }},
		{"minimum_expiration", 60, 0, 3600, func(l *lifetimes) *string { return &l.shortest }},
		{"maximum_expiration", 7200, 1, 720 * 3600, func(l *lifetimes) *string { return &l.max }},
	} {
		given := map[string]int{}
		set := false
		for _, s := range registering {
			value, ok := p.lifetime(s, o.name, o.otherwise, o.lowest, o.highest)
			*o.of(own[s]), set = value, set || ok
			given[value]++
		}
		for _, s := range registering {
			if value := *o.of(own[s]); !set {
				*o.of(own[s]) = ""
			} else if most := o.of(&p.registrar.lifetimes); *most == "" || given[value] > given[*most] {
				*most = value
			}
		}
	}
	most := p.registrar.lifetimes
	p.registrar.lifetimes = most.fitting(lifetimes{}).besides(lifetimes{})
	for _, s := range registering {
		if l := own[s].fitting(most).over(most).besides(p.registrar.lifetimes); l != (lifetimes{}) {
			for _, aor := range p.addresses(s) {
				p.addressed(aor).lifetimes = l
			}
		}
	}
	p.registrar.overflow = p.overflow()
}

// lifetime is an AOR's own value of an option within bounds, and whether it has one.
func (p *planner) lifetime(s *Section, name string, otherwise, lowest, highest int) (value string, ok bool) {
	o, ok := s.Last(name)
	if !ok {
		return seconds(otherwise), false
	}
	n, err := strconv.Atoi(o.Value)
	if err != nil {
		p.notes.option(o, "is no number", "")
		return seconds(otherwise), false
	}
	within := min(max(n, lowest), highest)
	if n != within {
		p.notes.option(o, fmt.Sprintf("is %s here, the nearest that there is", seconds(within)), "")
	}
	return seconds(within), true
}

// seconds writes a duration as the configuration does.
func seconds(n int) string {
	switch {
	case n > 0 && n%3600 == 0:
		return strconv.Itoa(n/3600) + "h"
	case n > 0 && n%60 == 0:
		return strconv.Itoa(n/60) + "m"
	}
	return strconv.Itoa(n) + "s"
}

// overflow is what becomes of one contact too many, "" for the default: what the
// AORs say that can be registered, if all say the same.
func (p *planner) overflow() string {
	said := map[string]bool{}
	var replacing []Option
	for _, s := range p.model.byType["aor"] {
		if n := s.Value("max_contacts"); n == "" || n == "0" {
			continue
		}
		way := "reject"
		for _, w := range [][2]string{{"remove_unavailable", "replace_unavailable"}, {"remove_existing", "replace_oldest"}} {
			if o, ok := s.Last(w[0]); ok && truth(o.Value) {
				way, replacing = w[1], append(replacing, o)
			}
		}
		said[way] = true
	}
	if len(said) > 1 {
		for _, o := range replacing {
			p.notes.option(o, "one contact too many is refused, because the AORs do not all say the same", "set registrar.overflow")
		}
		return ""
	}
	for way := range said {
		if way != "reject" {
			return way
		}
	}
	return ""
}

// fitting returns l with its lifetimes made to fit each other, those of all users and
// the defaults of this server among them. The longest that is granted counts most: it
// is what phones depend on.
func (l lifetimes) fitting(all lifetimes) lifetimes {
	given, shortest, longest := l.over(all).durations()
	if l.max == "" && given > longest {
		longest, l.max = given, seconds(int(given/time.Second))
	}
	if given > longest {
		given, l.expires = longest, seconds(int(longest/time.Second))
	}
	if shortest > given {
		l.shortest = seconds(int(given / time.Second))
	}
	return l
}

// over returns l, and what it does not say from all.
func (l lifetimes) over(all lifetimes) lifetimes {
	return lifetimes{cmp.Or(l.expires, all.expires), cmp.Or(l.shortest, all.shortest), cmp.Or(l.max, all.max)}
}

// besides returns what of l is another than that of all users.
func (l lifetimes) besides(all lifetimes) (other lifetimes) {
	given, shortest, longest := l.durations()
	g, s, m := all.durations()
	if given != g {
		other.expires = seconds(int(given / time.Second))
	}
	if shortest != s {
		other.shortest = seconds(int(shortest / time.Second))
	}
	if longest != m {
		other.max = seconds(int(longest / time.Second))
	}
	return other
}

// durations reads l, with the defaults of this server.
func (l lifetimes) durations() (given, shortest, longest time.Duration) {
	return duration(l.expires, time.Hour), duration(l.shortest, time.Minute), duration(l.max, time.Hour)
}

// keys are those of the configuration that say something.
func (l lifetimes) keys() (keys []string) {
	for _, e := range [][2]string{{"default", l.expires}, {"min", l.shortest}, {"max", l.max}} {
		if e[1] != "" {
			keys = append(keys, e[0]+": "+e[1])
		}
	}
	return keys
}

// duration reads what seconds wrote.
func duration(s string, otherwise time.Duration) time.Duration {
	if d, err := time.ParseDuration(s); err == nil {
		return d
	}
	return otherwise
}

// number returns the value of an option within bounds, "" if it is not there.
func (p *planner) number(o Option, lowest, highest int) string {
	n, err := strconv.Atoi(o.Value)
	if err != nil || n < lowest || n > highest {
		p.notes.option(o, fmt.Sprintf("is no number from %d to %d", lowest, highest), "")
		return ""
	}
	return o.Value
}
