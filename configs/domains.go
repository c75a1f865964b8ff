package configs

import (
	"fmt"
	"slices"
	"strings"
)

// DomainAlias is another name of a domain: a user is the same by both.
type DomainAlias struct {
	// Alias is a host that is none of the domains, Domain one of them. Both are in
	// lower case.
	Alias  string `yaml:"alias"`
	Domain string `yaml:"domain"`
}

// checkAliases takes the hosts that are domains or aliases already.
func (l *loader) checkAliases(cfg *Config, seen map[string]bool) {
	for i := range cfg.DomainAliases {
		a, at := &cfg.DomainAliases[i], fmt.Sprintf("domain_aliases[%d]", i)
		a.Alias, a.Domain = strings.ToLower(a.Alias), strings.ToLower(a.Domain)
		switch {
		case !validHost(a.Alias):
			l.errorAt(at+".alias", fmt.Sprintf("%q is no domain", a.Alias), "write sip.example.com, without scheme and port")
		case seen[a.Alias]:
			l.errorAt(at+".alias", fmt.Sprintf("%q is a domain or an alias already", a.Alias), "")
		}
		seen[a.Alias] = true
		if !slices.Contains(cfg.Domains, a.Domain) {
			l.errorAt(at+".domain", fmt.Sprintf("%q is none of domains", a.Domain), suggest(a.Domain, cfg.Domains))
		}
	}
}
