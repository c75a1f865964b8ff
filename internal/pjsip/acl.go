package pjsip

import (
	"net/netip"
	"strings"
)

// rule denies or permits a network.
type rule struct {
	permit  bool
	network netip.Prefix
}

// acl takes over the lists of the first acl section. Their meaning is the same
// here: the last rule that matches decides. Of several sections each could deny,
// which one list cannot say.
func (p *planner) acl() {
	for i, s := range p.model.byType["acl"] {
		if i > 0 {
			p.notes.section(s, "is the second list of addresses, which would have to permit what the first permits, too", "merge the two into acl.source and acl.contact")
			continue
		}
		for _, o := range s.Options {
			switch strings.ToLower(o.Name) {
			case "deny", "permit":
				p.source = append(p.source, p.rules(o)...)
			case "contactdeny", "contact_deny", "contactpermit", "contact_permit":
				p.contact = append(p.contact, p.rules(o)...)
			case "acl", "contact_acl":
				p.notes.option(o, "names lists of acl.conf, which is not read", "write their networks under acl.source or acl.contact")
			}
		}
	}
}

func (p *planner) rules(o Option) []rule {
	var all []rule
	permit := strings.HasSuffix(strings.ToLower(o.Name), "permit")
	for _, v := range values(o) {
		network, ok := p.network(o, v)
		switch {
		case ok:
			all = append(all, rule{permit, network})
		case !permit:
			p.notes.option(o, "a network that was to be denied is not", "write it under acl")
		}
	}
	return all
}
