package configs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ProxyDomain says what is other for the users of one domain. What is empty or
// false in it is as in Proxy.
type ProxyDomain struct {
	// Domain is one of the domains.
	Domain       string `yaml:"domain"`
	Fork         Fork   `yaml:"fork"`
	Sort         Sort   `yaml:"sort"`
	MethodFilter bool   `yaml:"method_filter"`
	UAFilter     string `yaml:"ua_filter"`
}

func (l *loader) checkProxyDomains(cfg *Config) {
	seen := map[string]bool{}
	for i := range cfg.Proxy.Domains {
		d, at := &cfg.Proxy.Domains[i], fmt.Sprintf("proxy.domains[%d]", i)
		switch d.Domain = strings.ToLower(d.Domain); {
		case !slices.Contains(cfg.Domains, d.Domain):
			l.errorAt(at+".domain", fmt.Sprintf("%q is none of domains", d.Domain), suggest(d.Domain, cfg.Domains))
		case seen[d.Domain]:
			l.errorAt(at+".domain", fmt.Sprintf("%s comes twice", d.Domain), "")
		}
		seen[d.Domain] = true
		if _, err := regexp.Compile(d.UAFilter); err != nil {
			l.errorAt(at+".ua_filter", err.Error(), "the syntax is that of RE2")
		}
		if d.Sort == SortLatency && cfg.Registrar.Qualify.Interval == 0 {
			l.errorAt(at+".sort", "needs to know how fast phones are", "set registrar.qualify.interval")
		}
	}
}
