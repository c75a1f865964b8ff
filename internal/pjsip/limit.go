package pjsip

import (
	"fmt"
	"strconv"
	"time"
)

// limits are settings that AOR sections have each for themselves, and this
// server for all. Empty ones are left at their defaults.
type limits struct {
	overflow               string
	expires, shortest, max string
	// qualify is the interval.
	qualify, qualifyTimeout string
	only2xx                 bool
}

// limit takes over the limits of the AORs, the most generous where they differ:
// no phone that could register shall be refused.
func (p *planner) limit() {
	p.registrar.expires = p.extreme("default_expiration", most, 1, 720*3600)
	p.registrar.shortest = p.extreme("minimum_expiration", least, 0, 3600)
	p.registrar.max = p.extreme("maximum_expiration", most, 1, 720*3600)
	p.registrar.overflow = p.overflow()
	p.fitExpiry()
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

func most(a, b int) bool  { return a > b }
func least(a, b int) bool { return a < b }

// extreme returns the value of an option that wins over those of all other AORs,
// "" if no AOR has one, and notes those that get another than their own.
func (p *planner) extreme(name string, wins func(a, b int) bool, lowest, highest int) string {
	best, found := 0, false
	var all []Option
	for _, s := range p.model.byType["aor"] {
		o, ok := s.Last(name)
		if !ok {
			continue
		}
		n, err := strconv.Atoi(o.Value)
		if err != nil {
			p.notes.option(o, "is no number", "")
			continue
		}
		all = append(all, o)
		if !found || wins(n, best) {
			best, found = n, true
		}
	}
	if !found {
		return ""
	}
	value := min(max(best, lowest), highest)
	for _, o := range all {
		if n, _ := strconv.Atoi(o.Value); n != value {
			p.notes.option(o, fmt.Sprintf("is %s for all users, not %s", seconds(value), seconds(n)), "")
		}
	}
	return seconds(value)
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

// fitExpiry makes the three lifetimes fit each other, the defaults of this server
// among them. The longest that is granted counts most: it is what phones depend
// on.
func (p *planner) fitExpiry() {
	r := &p.registrar
	given, shortest, longest := duration(r.expires, time.Hour), duration(r.shortest, time.Minute), duration(r.max, time.Hour)
	if r.max == "" && given > longest {
		longest, r.max = given, r.expires
	}
	if given > longest {
		given, r.expires = longest, seconds(int(longest/time.Second))
	}
	if shortest > given {
		r.shortest = seconds(int(given / time.Second))
	}
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
