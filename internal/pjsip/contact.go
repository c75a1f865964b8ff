package pjsip

import "regexp"

// A hop is where a static contact leads.
type hop struct {
	name, to string
}

// nextHop is a SIP URI without a user: host, port and parameters.
var nextHop = regexp.MustCompile(`^sip:(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9.-]+)(:\d{1,5})?(;[^\s<>"?]+)?$`)

// contacts looks at the contacts that AORs have for good.
func (p *planner) contacts() {
	taken := map[string]bool{}
	for _, s := range p.model.byType["aor"] {
		for _, o := range s.All("contact") {
			for _, uri := range values(o) {
				if !nextHop.MatchString(uri) {
					p.notes.option(o, "has no counterpart: only phones that register are called", "")
					continue
				}
				h := hop{name: uniqueName(s.Name, taken), to: uri}
				p.hops = append(p.hops, h)
				p.notes.option(o, "has no counterpart: the dialplan said which calls go there",
					"say it under proxy.routes, where there is a line to complete")
			}
		}
	}
}
