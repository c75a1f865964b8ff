package configs

import (
	"fmt"
	"net/netip"
	"slices"
)

// ACL says whose requests are looked at, and which Contacts may be registered.
type ACL struct {
	// Named are lists for use in the others.
	Named   []NamedACL `yaml:"named"`
	Source  []ACLRule  `yaml:"source"`
	Contact []ACLRule  `yaml:"contact"`
}

// NamedACL is a list that others use by its name.
type NamedACL struct {
	Name  string         `yaml:"name"`
	Rules []NamedACLRule `yaml:"rules"`
}

// NamedACLRule is an ACLRule that stands for no other list.
type NamedACLRule struct {
	Deny     netip.Prefix `yaml:"deny"`
	Permit   netip.Prefix `yaml:"permit"`
	Listener string       `yaml:"listener"`
}

func (r NamedACLRule) rule() ACLRule {
	return ACLRule{Deny: r.Deny, Permit: r.Permit, Listener: r.Listener}
}

// Rules returns a list with the rules of named lists in place of their names.
func (a *ACL) Rules(list []ACLRule) []ACLRule {
	var rules []ACLRule
	for _, r := range list {
		i := slices.IndexFunc(a.Named, func(n NamedACL) bool { return n.Name == r.List })
		if r.List == "" || i < 0 {
			rules = append(rules, r)
			continue
		}
		for _, n := range a.Named[i].Rules {
			named := n.rule()
			if r.Listener != "" {
				named.Listener = r.Listener
			}
			rules = append(rules, named)
		}
	}
	return rules
}

// ACLRule denies or permits a network, or stands for a named list; exactly one of
// the three is set. The last rule that matches decides.
type ACLRule struct {
	Deny   netip.Prefix `yaml:"deny"`
	Permit netip.Prefix `yaml:"permit"`
	// List is the name of one of ACL.Named.
	List string `yaml:"list"`
	// Listener is the only one that the rule is for; empty: every one.
	Listener string `yaml:"listener"`
}

func (l *loader) checkACL(cfg *Config) {
	var names []string
	for i, n := range cfg.ACL.Named {
		at := fmt.Sprintf("acl.named[%d]", i)
		switch {
		case n.Name == "":
			l.required(at+".name", "")
		case slices.Contains(names, n.Name):
			l.errorAt(at+".name", fmt.Sprintf("%q comes twice", n.Name), "")
		}
		names = append(names, n.Name)
		rules := make([]ACLRule, len(n.Rules))
		for j, r := range n.Rules {
			rules[j] = r.rule()
		}
		// What it permits may be denied where it is used.
		l.checkACLRules(cfg, at+".rules", rules, nil, true)
	}
	l.checkACLRules(cfg, "acl.source", cfg.ACL.Source, names, false)
	l.checkACLRules(cfg, "acl.contact", cfg.ACL.Contact, names, false)
}

// checkACLRules looks at one list, which may use those with names. denies says that
// something may stand in front of it that denies.
func (l *loader) checkACLRules(cfg *Config, path string, rules []ACLRule, names []string, denies bool) {
	for i, r := range rules {
		at := fmt.Sprintf("%s[%d]", path, i)
		l.checkListener(cfg, at+".listener", r.Listener)
		switch {
		case r.List != "" && (r.Deny.IsValid() || r.Permit.IsValid()):
			l.errorAt(at, "list excludes deny and permit", "write two entries: the last that matches decides")
		case r.List != "" && !slices.Contains(names, r.List):
			l.errorAt(at+".list", fmt.Sprintf("no list is called %q", r.List), suggest(r.List, names))
		case r.List != "":
			denies = true
		case r.Deny.IsValid() && r.Permit.IsValid():
			l.errorAt(at, "deny and permit exclude each other", "write two entries: the last that matches decides")
		case r.Deny.IsValid():
			l.checkPrefix(at+".deny", r.Deny)
		case r.Permit.IsValid():
			l.checkPrefix(at+".permit", r.Permit)
		default:
			l.errorAt(at, "neither denies nor permits", "write deny: 192.0.2.0/24 or permit: 192.0.2.0/24")
		}
		if denies = denies || r.Deny.IsValid(); r.Permit.IsValid() && !denies {
			l.warnAt(at, "permits what nothing in front of it denies", "what no rule matches is permitted: begin with deny: 0.0.0.0/0 and deny: ::/0")
		}
	}
}
