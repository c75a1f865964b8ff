package configs

import (
	"fmt"
	"regexp"
	"time"
)

// AOR is what is configured for one address-of-record.
type AOR struct {
	// AOR is a SIP URI of a user in one of the domains.
	AOR string `yaml:"aor"`
	// Contacts are SIP URIs of devices that do not register. Without a
	// user part the device is called with the user that was dialled.
	Contacts []string `yaml:"contacts"`
	// Rings are other users whose devices are called, too.
	Rings []string `yaml:"rings"`
	// Fallback is in place of Proxy.Fallback; NoFallback: calls go nowhere else.
	Fallback   []Fallback `yaml:"fallback"`
	NoFallback bool       `yaml:"no_fallback"`

	// As in RegistrarRule, and in place of what the rules say.
	Default     time.Duration `yaml:"default" range:"0s..365d"`
	Min         time.Duration `yaml:"min" range:"0s..1h"`
	Max         time.Duration `yaml:"max" range:"0s..365d"`
	MaxContacts int           `yaml:"max_contacts" range:"0..100"`
}

// Registers reports whether a says how its phones register.
func (a *AOR) Registers() bool {
	return a.Default != 0 || a.Min != 0 || a.Max != 0 || a.MaxContacts != 0
}

// contactSyntax is a device; its second group is the host.
var contactSyntax = regexp.MustCompile(`^sips?:([^\s@<>"?]+@)?(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9.-]+)(:\d{1,5})?(;[^\s<>"?]+)?$`)

func (l *loader) checkAORs(cfg *Config) {
	seen := map[string]int{}
	for i := range cfg.AORs {
		a, at := &cfg.AORs[i], fmt.Sprintf("aors[%d]", i)
		l.checkAOR(cfg.Domains, at+".aor", a.AOR)
		if first, twice := seen[a.AOR]; twice {
			l.errorAt(at+".aor", fmt.Sprintf("is also the address of aors[%d]", first), "")
		}
		seen[a.AOR] = i
		if len(a.Contacts) == 0 && len(a.Rings) == 0 && len(a.Fallback) == 0 && !a.NoFallback && !a.Registers() {
			l.errorAt(at, "says nothing about its address", "set contacts, rings, or how it registers")
		}
		l.checkLifetimes(cfg, at, a.Min, a.Max)
		for j, c := range a.Contacts {
			l.checkContact(fmt.Sprintf("%s.contacts[%d]", at, j), c)
		}
		for j, r := range a.Rings {
			l.checkAOR(cfg.Domains, fmt.Sprintf("%s.rings[%d]", at, j), r)
		}
	}
}

func (l *loader) checkContact(at, s string) {
	m := contactSyntax.FindStringSubmatch(s)
	if m == nil || !validNextHost(m[2]) {
		l.errorAt(at, fmt.Sprintf("%q is no SIP URI of a device", s), "write sip:192.0.2.20:5060;transport=tcp")
	}
}
