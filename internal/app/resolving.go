package app

import (
	"slices"

	"reveille/flow"
	"reveille/internal/resolve"
	"reveille/internal/transport"
)

// resolvConf is where the machine names its DNS servers.
const resolvConf = "/etc/resolv.conf"

// buildResolver makes what looks up the next hops that have names. A machine without
// DNS servers is no reason not to start: many have next hops by address alone.
func (a *App) buildResolver() error {
	cfg := &a.config.DNS
	servers, err := cfg.Addrs()
	if err != nil {
		return err
	}
	if len(servers) == 0 {
		if servers, err = resolve.SystemServers(resolvConf); err != nil {
			a.component("resolve").Warn("names of next hops are not found", "err", err)
		}
	}
	a.resolver, err = resolve.New(resolve.Options{
		Exchanger: resolve.Servers{Addrs: servers, Timeout: cfg.Timeout}, Supports: a.speaks, Registerer: a.registry,
	})
	if err != nil {
		return err
	}
	a.onStop("resolver", a.resolver.Stop)
	return nil
}

// speaks reports whether there is a listener to send by.
func (a *App) speaks(tp flow.Transport) bool {
	return slices.ContainsFunc(a.transport.Listeners(), func(l transport.ListenerInfo) bool { return l.Transport == tp })
}
