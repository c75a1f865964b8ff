package proxy

import (
	"regexp"
	"strings"

	"reveille/usrloc"
)

// A Choice says which devices of a user are tried, and in which order. Its fields
// are as in Options.
type Choice struct {
	Fork         ForkMode
	Sort         Sort
	MethodFilter bool
	UserAgents   *regexp.Regexp
}

// choose works out what o is in the domains of Choices.
func (o *Options) choose() {
	o.chosen = make(map[string]*Options, len(o.Choices))
	for domain, c := range o.Choices {
		q := *o
		q.Fork, q.Sort, q.MethodFilter, q.UserAgents = c.Fork, c.Sort, c.MethodFilter, c.UserAgents
		o.chosen[domain] = &q
	}
}

// of returns what o is for the devices of aor.
func (o *Options) of(aor usrloc.AOR) *Options {
	if len(o.chosen) == 0 {
		return o
	}
	if q, ok := o.chosen[string(aor[strings.LastIndexByte(string(aor), '@')+1:])]; ok {
		return q
	}
	return o
}
