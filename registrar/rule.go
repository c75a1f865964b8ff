package registrar

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"reveille/usrloc"
)

// A Rule changes a Policy for some phones. What is zero in it stays as in the
// Policy.
type Rule struct {
	// AOR is the only user it is for, and then Domain and UserAgent do not count;
	// empty means all. A Rule of a user comes before all others, wherever it stands.
	AOR usrloc.AOR
	// Domain is the name of the domain it is for; empty means all.
	Domain string
	// UserAgent finds its phones by their User-Agent, of which the first 128 bytes
	// count; nil means all.
	UserAgent *regexp.Regexp
	// DefaultExpires, MinExpires and MaxExpires are as in Policy; MaxExpires also
	// bounds contacts that can be woken, as far as Push.MinExpires lets it.
	DefaultExpires, MinExpires, MaxExpires time.Duration
	// MaxContacts is as in Policy.
	MaxContacts int
	// Path is as in Policy; nil keeps it.
	Path *PathMode
}

// matches reports whether the Rule is for the sender of in.
func (r *Rule) matches(in *Input) bool {
	if r.Domain != "" {
		if _, host := splitAOR(string(in.AOR)); !strings.EqualFold(host, r.Domain) {
			return false
		}
	}
	return r.UserAgent == nil || r.UserAgent.MatchString(agentOf(in))
}

// under returns what p is for the phones of r.
func (r *Rule) under(p *Policy) Policy {
	q := *p
	q.Rules = nil
	if r.DefaultExpires != 0 {
		q.DefaultExpires = r.DefaultExpires
	}
	if r.MinExpires != 0 {
		q.MinExpires = r.MinExpires
	}
	if r.MaxExpires != 0 {
		q.MaxExpires, q.Push.MaxExpires = r.MaxExpires, max(r.MaxExpires, p.Push.MinExpires)
	}
	if r.MaxContacts != 0 {
		q.MaxContacts = r.MaxContacts
	}
	if r.Path != nil {
		q.Path = *r.Path
	}
	return q
}

// validateRules reports what is wrong with p for the phones of each Rule.
func validateRules(p *Policy) []error {
	var errs []error
	seen := map[usrloc.AOR]bool{}
	for i := range p.Rules {
		r := &p.Rules[i]
		q := r.under(p)
		// No Rule changes the domains or mappings, of which there may be many, as of
		// users.
		q.Domains, q.Aliases, q.Push.Mappings = q.Domains[:min(1, len(q.Domains))], nil, nil
		if err := q.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("rule %d: %w", i, err))
		}
		if r.AOR != "" && seen[r.AOR] {
			errs = append(errs, fmt.Errorf("rule %d: another one is for %s", i, r.AOR))
		}
		seen[r.AOR] = true
	}
	return errs
}

// A ruling is a Policy under one of its Rules.
type ruling struct {
	rule   *Rule
	policy Policy
}

// rulings works out what p is for the phones of each Rule: by user, and for the
// others in order.
func rulings(p *Policy) (users map[usrloc.AOR]*Policy, others []ruling) {
	users = map[usrloc.AOR]*Policy{}
	for i := range p.Rules {
		r := &p.Rules[i]
		if q := r.under(p); r.AOR != "" {
			users[r.AOR] = &q
		} else {
			others = append(others, ruling{r, q})
		}
	}
	return users, others
}

// of returns the policy for the sender of in: by the Rule of the user, or else by
// the first that is for the phone.
func (r *rules) of(in *Input) *Policy {
	if p, ok := r.users[in.AOR]; ok {
		return p
	}
	for i := range r.others {
		if r.others[i].rule.matches(in) {
			return &r.others[i].policy
		}
	}
	return &r.Policy
}
