package app

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"reveille/configs"
	"reveille/flow"
	"reveille/internal/proxy"
	"reveille/internal/regevent"
	"reveille/internal/resolve"
	"reveille/internal/sipmsg"
	"reveille/internal/transport"
	"reveille/purr"
	"reveille/push"
	"reveille/registrar"
)

// This file translates the configuration into the Options of each room, which
// know nothing of configs.

func transportOptions(cfg *configs.Config) transport.Options {
	t := cfg.Transport
	o := transport.Options{
		Node: cfg.Node.ID, MaxConns: t.MaxConns, MaxConnsPerSource: t.MaxConnsPerSource, MaxMessage: t.MaxMessage,
		IdleTimeout: t.IdleTimeout, KeepAlive: t.KeepAlive, UserTimeout: t.UserTimeout, WriteTimeout: t.WriteTimeout, FlowFresh: t.FlowFresh,
	}
	if o.KeepAlive == 0 {
		// 0 stands for none there and for the default here.
		o.KeepAlive = -1
	}
	for _, l := range cfg.Listen {
		// configs accepts no other names.
		tp, _ := flow.ParseTransport(string(l.Transport))
		listener := transport.ListenerOptions{
			Name: l.Name, Transport: tp, Addr: l.Addr, Advertise: l.Advertise, Sockets: l.Sockets, Balancers: l.ProxyProtocol,
		}
		if w := l.WebSocket; w != nil {
			listener.WS = transport.WSOptions{Path: w.Path, Origins: w.Origins, PingInterval: w.PingInterval}
		}
		if tp.Secure() {
			listener.TLS = new(tls.Config) // certificates.install replaces it.
		}
		o.Listeners = append(o.Listeners, listener)
	}
	for _, r := range t.Rules {
		o.Rules = append(o.Rules, transport.Rule{Prefix: r.Prefix, Listener: r.Listener})
	}
	return o
}

// retries returns what the refresher calls RetryMin, RetryMax and Retries.
func retries(cfg configs.Refresh) (shortest, longest time.Duration, count int) {
	count = cfg.Retries
	if count == 0 {
		// The refresher's 0 is without end.
		count = -1
	}
	return cfg.Backoff.Min, cfg.Backoff.Max, count
}

// proxyOptions needs the rooms below the proxy to be built.
func (a *App) proxyOptions(cfg *configs.Config) (proxy.Options, error) {
	o := proxy.Options{
		Store: a.store, Flows: a.transport, Waker: a.waker, Gate: a.hooks.directed(limitedGate{a.gate, a}, cfg), Keys: a.keys,
		Domains: cfg.Domains, Realm: cfg.Realm(), Tokens: cfg.Auth.Bearer.Issuer != "", Known: a.gate.known,
		MaxParked: cfg.Limits.Parked, MaxParkedPerAOR: cfg.Limits.ParkedPerAOR,
		Resolver: a.resolver, HopTimeout: cfg.Proxy.HopTimeout, HopRetry: cfg.Proxy.HopRetry, Trunks: a.trunks,
		MaxForwards: cfg.Proxy.MaxForwards, NoRecordRoute: !cfg.Proxy.RecordRoute, PURRs: cfg.Push.Enabled && cfg.Push.PURR.Enabled,
		Latencies: measured{a}, MaxLatency: cfg.Proxy.MaxLatency,
		Sink: a.watched(), Logger: a.component("proxy"), Registerer: a.registry,
	}
	if err := waking(&o, cfg.Push); err != nil {
		return o, err
	}
	o.Ringback = ringback(cfg.Wake.Ringback)
	o.Trusted, o.Media = a.gate.trusted, a.media(&cfg.Media)
	o.Messages = a.messages(cfg)
	o.Emergency = proxy.Emergency{Route: cfg.Proxy.Emergency.Route, Numbers: cfg.Proxy.Emergency.Numbers, Anyone: cfg.Proxy.Emergency.Anyone}
	if err := routing(&o, cfg); err != nil {
		return o, err
	}
	o.EventRoutes = map[string]string{}
	for _, e := range cfg.Proxy.EventRoutes {
		o.EventRoutes[e.Event] = e.Route
	}
	if cfg.Registrar.RegEvent.Enabled {
		o.Events = []string{regevent.Package}
	}
	var err error
	o.Routes, err = proxyRoutes(cfg)
	return o, err
}

// proxyRoutes translates the routes; the error names all that cannot be.
func proxyRoutes(cfg *configs.Config) ([]proxy.Route, error) {
	var routes []proxy.Route
	var errs []error
	for _, r := range cfg.Proxy.Routes {
		route, err := proxyRoute(r, cfg.Domains)
		routes, errs = append(routes, route...), append(errs, err)
	}
	return routes, errors.Join(errs...)
}

// proxyRoute translates a route. Without a domain it is for the own domains.
func proxyRoute(r configs.Route, own []string) ([]proxy.Route, error) {
	var to []proxy.NextHop
	for i, n := range r.Hops() {
		at := fmt.Sprintf("proxy.routes[%s].to", r.Name)
		if len(r.NextHops) > 0 {
			at = fmt.Sprintf("proxy.routes[%s].next_hops[%d].uri", r.Name, i)
		}
		u, err := sipmsg.ParseURI(n.URI)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		t, err := resolve.TargetOf(u)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		// configs keeps both in their bounds.
		to = append(to, proxy.NextHop{Target: t, Priority: uint16(n.Priority), Weight: uint16(n.Weight)}) //nolint:gosec // See above.
	}
	domains := []string{r.Domain}
	if r.Domain == "" {
		domains = own
	}
	var out []proxy.Route
	for _, d := range domains {
		out = append(out, proxy.Route{Name: r.Name, Domain: d, Prefix: r.Prefix, To: to, Trusted: r.Trusted, LargeByUDP: r.LargeByUDP, Media: r.Media})
	}
	return out, nil
}

func loadKeys(cfg configs.PURR, now time.Time) (*purr.Keyring, error) {
	if cfg.KeyFile == "" {
		return purr.Generate(now), nil
	}
	keys, err := purr.Load(string(cfg.KeyFile), now)
	if err != nil {
		return nil, fmt.Errorf("push.purr.key_file: %w", err)
	}
	return keys, nil
}

var _ registrar.Waking = (*push.Dispatcher)(nil)

var errNoCredential = errors.New("no credential")
