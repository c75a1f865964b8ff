package registrar

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// A Rule changes a Policy for some phones. What is zero in it stays as in the
// Policy.
type Rule struct {
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
	return q
}

// validateRules reports what is wrong with p for the phones of each Rule.
func validateRules(p *Policy) []error {
	var errs []error
	for i := range p.Rules {
		q := p.Rules[i].under(p)
		if err := q.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("rule %d: %w", i, err))
		}
	}
	return errs
}

// of returns the policy for the sender of in: by the first Rule that is for it.
func (r *rules) of(in *Input) *Policy {
	for i := range r.Rules {
		if r.Rules[i].matches(in) {
			return &r.ruled[i]
		}
	}
	return &r.Policy
}
