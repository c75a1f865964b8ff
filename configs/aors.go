package configs

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// AOR is what is configured for one address-of-record.
type AOR struct {
	// AOR is a SIP URI of a user in one of the domains.
	AOR string `yaml:"aor"`
	// Contacts are SIP URIs of devices that do not register, by IP address.
	// Without a user part the device is called with the user that was dialled.
	Contacts []string `yaml:"contacts"`
	// Rings are other users whose devices are called, too.
	Rings []string `yaml:"rings"`
}

// contactSyntax is a device; its second group is the host.
var contactSyntax = regexp.MustCompile(`^sips?:([^\s@<>"?]+@)?(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9.-]+)(:\d{1,5})?(;[^\s<>"?]+)?$`)

func (l *loader) checkAORs(cfg *Config) {
	seen := map[string]int{}
	for i, a := range cfg.AORs {
		at := fmt.Sprintf("aors[%d]", i)
		l.checkAOR(cfg.Domains, at+".aor", a.AOR)
		if first, twice := seen[a.AOR]; twice {
			l.errorAt(at+".aor", fmt.Sprintf("is also the address of aors[%d]", first), "")
		}
		seen[a.AOR] = i
		if len(a.Contacts) == 0 && len(a.Rings) == 0 {
			l.errorAt(at, "says nothing about its address", "set contacts, rings or both")
		}
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
	if m == nil {
		l.errorAt(at, fmt.Sprintf("%q is no SIP URI of a device", s), "write sip:192.0.2.20:5060;transport=tcp")
		return
	}
	if _, err := netip.ParseAddr(strings.Trim(m[2], "[]")); err != nil {
		l.errorAt(at, fmt.Sprintf("%q is no IP address", m[2]), "names are not resolved yet")
	}
}
