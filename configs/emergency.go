package configs

import (
	"fmt"
	"regexp"
	"slices"
)

// Emergency says where emergency calls go: those to urn:service:sos (RFC 5031) and to
// some numbers.
type Emergency struct {
	// Route is the name of one of the routes; empty: none takes them.
	Route string `yaml:"route"`
	// Numbers are what users dial.
	Numbers []string `yaml:"numbers"`
	// Anyone: nobody has to be known who calls for help.
	Anyone bool `yaml:"anyone"`
}

var emergencyNumber = regexp.MustCompile(`^\+?[0-9]{2,15}$`)

func (l *loader) checkEmergency(p *Proxy) {
	e := &p.Emergency
	for i, n := range e.Numbers {
		if !emergencyNumber.MatchString(n) {
			l.errorAt(fmt.Sprintf("proxy.emergency.numbers[%d]", i), fmt.Sprintf("%q is no number to dial", n), `write "112"`)
		}
	}
	named := slices.ContainsFunc(p.Routes, func(r Route) bool { return r.Name == e.Route })
	switch {
	case e.Route != "" && !named:
		l.errorAt("proxy.emergency.route", fmt.Sprintf("no route %q", e.Route), "name one of proxy.routes")
	case e.Route == "" && len(e.Numbers) > 0:
		l.required("proxy.emergency.route", "name the one of proxy.routes that takes the calls")
	}
}
