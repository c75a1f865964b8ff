package configs

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
)

// Wake is about those who wait while a phone is being woken. Push is about the phones.
type Wake struct {
	Ringback Ringback `yaml:"ringback"`
}

// Ringback says which callers hear ringing while a phone is being woken.
type Ringback struct {
	// Callers are patterns for addresses, in which * stands for any characters.
	Callers []string `yaml:"callers"`
	// Routes are names of routes whose next hops call us, Networks those of trunks that
	// no route leads to.
	Routes   []string       `yaml:"routes"`
	Networks []netip.Prefix `yaml:"networks"`
}

func (l *loader) checkWake(cfg *Config) {
	r := &cfg.Wake.Ringback
	for i, c := range r.Callers {
		if _, err := path.Match(c, ""); err != nil || c == "" {
			l.errorAt(fmt.Sprintf("wake.ringback.callers[%d]", i), fmt.Sprintf("%q is no pattern for addresses", c), `write alice@example.com, *@example.com, or * for everybody`)
		}
	}
	var routes []string
	for _, known := range cfg.Proxy.Routes {
		routes = append(routes, known.Name)
	}
	for i, name := range r.Routes {
		if !slices.Contains(routes, name) {
			l.errorAt(fmt.Sprintf("wake.ringback.routes[%d]", i), fmt.Sprintf("%q is none of proxy.routes", name), suggest(name, routes))
		}
	}
	for i, n := range r.Networks {
		l.checkPrefix(fmt.Sprintf("wake.ringback.networks[%d]", i), n)
	}
}
