package pjsip

import (
	"fmt"
	"strconv"
	"time"
)

// limits are settings that AOR sections have each for themselves, and this
// server for all. Empty ones are left at their defaults.
type limits struct {
	maxContacts            string
	replace                bool
	expires, shortest, max string
}

// limit takes over the limits of the AORs, the most generous where they differ:
// no phone that could register shall be refused.
func (p *planner) limit() {
	p.registrar.maxContacts = p.extreme("max_contacts", most, 1, 100, plain)
	p.registrar.expires = p.extreme("default_expiration", most, 1, 720*3600, seconds)
	p.registrar.shortest = p.extreme("minimum_expiration", least, 0, 3600, seconds)
	p.registrar.max = p.extreme("maximum_expiration", most, 1, 720*3600, seconds)
	p.registrar.replace = p.replaces()
	p.fitExpiry()
}

func plain(n int) string { return strconv.Itoa(n) }

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
func (p *planner) extreme(name string, wins func(a, b int) bool, lowest, highest int, write func(int) string) string {
	best, found := 0, false
	var all []Option
	for _, s := range p.model.byType["aor"] {
		o, ok := s.Last(name)
		if !ok {
			continue
		}
		n, err := strconv.Atoi(o.Value)
		switch {
		case err != nil:
			p.notes.option(o, "is no number", "")
			continue
		case name == "max_contacts" && n == 0:
			// Nobody can register this one; there is nothing to be generous with.
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
			p.notes.option(o, fmt.Sprintf("is %s for all users, not %s", write(value), write(n)), "")
		}
	}
	return write(value)
}

// replaces reports whether one contact too many takes the place of the oldest:
// where all AORs that can be registered say so.
func (p *planner) replaces() bool {
	var with, without []*Section
	for _, s := range p.model.byType["aor"] {
		switch {
		case s.Value("max_contacts") == "" || s.Value("max_contacts") == "0":
		case truth(s.Value("remove_existing")):
			with = append(with, s)
		default:
			without = append(without, s)
		}
	}
	if len(without) == 0 {
		return len(with) > 0
	}
	for _, s := range with {
		o, _ := s.Last("remove_existing")
		p.notes.option(o, "one contact too many is refused, because not all AORs replace the oldest", "set registrar.overflow: replace_oldest")
	}
	return false
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
