package configs

import (
	"fmt"
	"net/netip"
	"regexp"
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
	for i, prefix := range cfg.StripPrefixes {
		at := fmt.Sprintf("strip_prefixes[%d]", i)
		if cfg.StripPrefixes[i] = strings.ToLower(prefix); !prefixSyntax.MatchString(cfg.StripPrefixes[i]) {
			l.errorAt(at, fmt.Sprintf("%q is no front part of a host", prefix), `write "sip."`)
		}
		if slices.Contains(cfg.StripPrefixes[:i], cfg.StripPrefixes[i]) {
			l.errorAt(at, fmt.Sprintf("%q comes twice", prefix), "")
		}
	}
}

// prefixSyntax is the front part of a host name, with its dot.
var prefixSyntax = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)+$`)

// Aliases are the other names of all domains: DomainAliases, and what StripPrefixes
// make of these and of the domains. Each comes once.
func (c *Config) Aliases() []DomainAlias {
	all := slices.Clone(c.DomainAliases)
	named := map[string]bool{}
	hosts := slices.Clone(c.DomainAliases)
	for _, d := range c.Domains {
		hosts, named[d] = append(hosts, DomainAlias{Alias: d, Domain: d}), true
	}
	for _, a := range c.DomainAliases {
		named[a.Alias] = true
	}
	for _, prefix := range c.StripPrefixes {
		for _, h := range hosts {
			if host := prefix + h.Alias; !isAddress(h.Alias) && !named[host] {
				named[host] = true
				all = append(all, DomainAlias{Alias: host, Domain: h.Domain})
			}
		}
	}
	return all
}

// isAddress reports whether a host is an IP address.
func isAddress(host string) bool {
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}
