package app

import (
	"net/netip"
	"slices"
	"strconv"
	"sync"

	"reveille/configs"
	"reveille/internal/guard"
	"reveille/internal/probe"
	"reveille/internal/proxy"
	"reveille/internal/trunk"
)

// buildTrunks makes what watches the next hops of routes. Its prober gets the
// transactions as soon as there are some, which is before anything is asked.
func (a *App) buildTrunks() (err error) {
	a.prober = &probe.Prober{Flows: a.transport, Domain: a.config.Domains[0]}
	a.spared = &spared{guard: a.guard, settings: guardSettings(a.config)}
	a.trunks, err = trunk.New(trunk.Options{
		Resolver: a.resolver, Flows: a.transport, Prober: a.prober, Changed: a.spared.update,
		Logger: a.component("trunk"), Registerer: a.registry,
	})
	a.spared.hosts = a.trunks.Hosts
	return err
}

// trunkRoutes is what is watched of the routes as the proxy has them.
func trunkRoutes(cfg *configs.Config, routes []proxy.Route) []trunk.Route {
	var list []trunk.Route
	for _, r := range routes {
		if slices.ContainsFunc(list, func(t trunk.Route) bool { return t.Name == r.Name }) {
			continue // There is one for each of our domains.
		}
		t := trunk.Route{Name: r.Name}
		for _, n := range r.To {
			t.Targets = append(t.Targets, n.Target)
		}
		for i := range cfg.Proxy.Routes {
			if c := &cfg.Proxy.Routes[i]; c.Name == r.Name {
				t.Check = hopCheck(&c.Check)
			}
		}
		list = append(list, t)
	}
	return list
}

func hopCheck(c *configs.HopCheck) trunk.Check {
	t := trunk.Check{Interval: c.Interval, Timeout: c.Timeout, Down: c.Down, Up: c.Up}
	for _, s := range c.Answers {
		// configs accepts nothing but three digits, or one and "xx".
		if s[1:] == "xx" {
			s = s[:1]
		}
		code, _ := strconv.Atoi(s)
		t.Answers = append(t.Answers, code)
	}
	return t
}

// trustedAddr reports which addresses are believed as those of routes; nil: none are.
func trustedAddr(cfg *configs.Config, owns func(route string, a netip.Addr) bool) func(netip.Addr) bool {
	var routes []string
	for _, t := range cfg.Auth.Trusted {
		if t.Route != "" {
			routes = append(routes, t.Route)
		}
	}
	if len(routes) == 0 {
		return nil
	}
	return func(a netip.Addr) bool {
		return slices.ContainsFunc(routes, func(r string) bool { return owns(r, a) })
	}
}

// spared has the guard leave the next hops of routes alone, whatever addresses their
// names have. It is safe for concurrent use.
type spared struct {
	guard *guard.Guard
	// hosts returns the addresses of next hops.
	hosts func() []netip.Addr

	mu       sync.Mutex // guards settings, and is held while they are put into force
	settings guard.Settings
}

// set replaces the settings, but for the addresses.
func (s *spared) set(settings guard.Settings) {
	s.mu.Lock()
	s.settings = settings
	s.mu.Unlock()
	s.update()
}

// update puts the settings into force with the addresses of this moment.
func (s *spared) update() {
	s.mu.Lock()
	defer s.mu.Unlock()
	settings := s.settings
	settings.Exempt = slices.Clone(settings.Exempt)
	for _, a := range s.hosts() {
		settings.Exempt = append(settings.Exempt, netip.PrefixFrom(a, a.BitLen()))
	}
	s.guard.Set(settings)
}
