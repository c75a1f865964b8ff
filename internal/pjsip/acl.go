package pjsip

import (
	"net/netip"
	"slices"
	"strings"
)

// rule denies or permits a network.
type rule struct {
	permit  bool
	network netip.Prefix
}

// acl takes over the lists of the first acl section. Their meaning is the same
// here: the last rule that matches decides. Of several lists each could deny,
// which one list cannot say. Lists that have names stand in acl.conf.
func (p *planner) acl(named *Document) {
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
			}
		}
		for _, o := range s.Options {
			switch strings.ToLower(o.Name) {
			case "acl":
				p.source = p.namedACL(o, named, p.source)
			case "contact_acl":
				p.contact = p.namedACL(o, named, p.contact)
			}
		}
	}
	if named != nil {
		p.notes.list = append(p.notes.list, named.Notes...)
	}
}

// namedACL returns the rules of the list that an option names, or those that there
// are already.
func (p *planner) namedACL(o Option, named *Document, have []rule) []rule {
	if named == nil {
		p.notes.option(o, "names lists of acl.conf, which is not read", "name that file behind pjsip.conf")
		return have
	}
	for _, name := range values(o) {
		i := slices.IndexFunc(named.Sections, func(s *Section) bool { return !s.Template && s.Name == name })
		switch {
		case i < 0:
			p.notes.option(o, "names a list that acl.conf has not", "")
		case len(have) > 0:
			p.notes.option(o, "is one of several lists, of which each would have to permit", "merge them into acl.source or acl.contact")
		default:
			for _, o := range named.Sections[i].Options {
				if kind := strings.ToLower(o.Name); kind == "deny" || kind == "permit" {
					have = append(have, p.rules(o)...)
				} else {
					p.notes.option(o, "is not known to this import", "")
				}
			}
		}
	}
	return have
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
