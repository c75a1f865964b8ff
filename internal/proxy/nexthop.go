package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"reveille/flow"
	"reveille/internal/resolve"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
)

// This file finds the next hops of a request that leaves for others than devices of
// our users, and goes on to the next one when one fails (RFC 3263 §4.3).

// A Resolver looks up what is written as a name; *resolve.Resolver implements it.
type Resolver interface {
	// Resolve calls done once, inline or later, on any goroutine, with at least one hop
	// or an error. The first hop is tried first.
	Resolve(ctx context.Context, t resolve.Target, done func([]resolve.Hop, error))
}

// A Route sends requests for a foreign domain to fixed next hops. It is open to
// authenticated users and trusted peers only.
type Route struct {
	Name string
	// Domain is the host of the Request-URI, "*" for any that is not ours; Prefix is how
	// its user part begins, "" for any.
	Domain, Prefix string
	// To is where such requests go; at least one.
	To []NextHop
	// Trusted: the next hops are told who calls, and believed (RFC 3325). So are
	// requests that come from their addresses; those of names are known to Trunks.
	Trusted bool
	// LargeByUDP: requests that are too large for a datagram leave as one all the same,
	// against RFC 3261 §18.1.1.
	LargeByUDP bool
	// Media is the name of the media profile of the next hops; "": by their transport.
	Media string
}

// A NextHop is one place that a Route leads to. The lowest Priority is tried first;
// equal ones by chance, in proportion to their Weights, as in RFC 2782.
type NextHop struct {
	Target           resolve.Target
	Priority, Weight uint16
}

// validate also notes which peers are trusted.
func (o *Options) validateRoutes() error {
	o.peers = map[hop]bool{}
	for _, r := range o.Routes {
		if len(r.To) == 0 {
			return fmt.Errorf("proxy: route %q leads nowhere", r.Name)
		}
		for _, n := range r.To {
			h, numeric := n.Target.Hop()
			if !numeric && o.Resolver == nil {
				return fmt.Errorf("proxy: route %q leads to the name %s, and there is no Resolver", r.Name, n.Target.Host)
			}
			if numeric && r.Trusted {
				o.peers[hopAt(h)] = true
			}
		}
	}
	return nil
}

// A hop is an address to connect to. Its zero value is none.
type hop struct {
	transport flow.Transport
	addr      netip.AddrPort
	// name is what the peer's certificate must be for, besides its address.
	name string
}

func hopAt(h resolve.Hop) hop { return hop{h.Transport, h.Addr, h.Name} }

// A way is the address that is tried, and what is left to be tried of a next hop when
// that has failed: hops that were found, then targets that are not yet looked up, and at
// last the hops of which something speaks against trying them first.
type way struct {
	// hop is what is tried; the zero hop has to be looked up first.
	hop hop
	// route is the name of the Route; empty: it is none.
	route string
	// to is where the way leads, targets what of it is still to be looked up.
	to, targets []resolve.Target
	hops, late  []resolve.Hop
}

func (w *way) empty() bool { return len(w.hops) == 0 && len(w.targets) == 0 && len(w.late) == 0 }

// next takes the next hop off the way. The zero hop says that the next target has to
// be looked up first, or, without targets, that nothing is left.
func (w *way) next(avoid func(resolve.Hop) bool) hop {
	for {
		switch {
		case len(w.hops) > 0:
			h := w.hops[0]
			w.hops = w.hops[1:]
			if !w.empty() && avoid(h) {
				w.late = append(w.late, h)
				continue
			}
			return hopAt(h)
		case len(w.targets) > 0:
			h, numeric := w.targets[0].Hop()
			if !numeric {
				return hop{}
			}
			w.targets, w.hops = w.targets[1:], []resolve.Hop{h}
		case len(w.late) > 0:
			// If all have failed, none is worse than the others.
			h := w.late[0]
			w.late = w.late[1:]
			return hopAt(h)
		default:
			return hop{}
		}
	}
}

// dialTarget is a target that is reached by a connection to one of these, in this order.
func dialTarget(to ...resolve.Target) target {
	return target{reach: dial, binding: &unregistered, way: &way{to: to, targets: to}}
}

// hop is where the target is connected to; the zero hop if that is not known, or if it
// is reached otherwise.
func (t *target) hop() hop {
	if t.way == nil {
		return hop{}
	}
	return t.way.hop
}

// route is the name of the Route that the target is a next hop of; empty: of none.
func (t *target) route() string {
	if t.way == nil {
		return ""
	}
	return t.way.route
}

// samePlace reports whether two targets that are connected to are one.
func (t *target) samePlace(other *target) bool {
	return t.reach == dial && other.reach == dial && t.uri == other.uri &&
		slices.Equal(t.way.to, other.way.to) && (len(t.way.to) > 0 || t.way.hop == other.way.hop)
}

// target is a request's way to the next hops of the route, in the order that chance
// has for it.
func (r *Route) target() target {
	list := slices.Clone(r.To)
	resolve.Shuffle(list, func(n NextHop) (uint16, uint16) { return n.Priority, n.Weight }, rand.IntN)
	var to []resolve.Target
	for _, n := range list {
		to = append(to, n.Target)
	}
	t := dialTarget(to...)
	t.trusted, t.way.route = r.Trusted, r.Name
	return t
}

// routeTo returns the Route of which u names a next hop.
func (p *Proxy) routeTo(u sipmsg.URI) (r *Route, t resolve.Target, ok bool) {
	t, err := resolve.TargetOf(u)
	if err != nil {
		return nil, t, false
	}
	for i := range p.opts().Routes {
		r = &p.opts().Routes[i]
		if slices.ContainsFunc(r.To, func(n NextHop) bool { return sameTarget(n.Target, t) }) {
			return r, t, true
		}
	}
	return nil, t, false
}

// sameTarget reports whether two targets are one place. Names are not looked up.
func sameTarget(a, b resolve.Target) bool {
	if h, numeric := a.Hop(); numeric {
		other, ok := b.Hop()
		return ok && h == other
	}
	return a == b
}

// routeNamed returns the Route with that name.
func (p *Proxy) routeNamed(name string) (*Route, bool) {
	routes := p.opts().Routes
	i := slices.IndexFunc(routes, func(r Route) bool { return strings.EqualFold(r.Name, name) })
	if i < 0 {
		return nil, false
	}
	return &routes[i], true
}

// routesAt returns the Routes that lead to the peer of a flow, as far as Trunks knows.
func (p *Proxy) routesAt(f flow.Flow) []*Route {
	trunks := p.opts().Trunks
	if trunks == nil {
		return nil
	}
	var list []*Route
	for _, name := range trunks.At(f.Transport, f.Remote) {
		if r, ok := p.routeNamed(name); ok {
			list = append(list, r)
		}
	}
	return list
}

var (
	errNoResolver = errors.New("names are not resolved")
	errNoHop      = errors.New("no next hop")
	errOwn        = errors.New("leads back to this server")
)

// resolve looks a target up. Hops that lead back to us lead nowhere.
func (p *Proxy) resolve(t resolve.Target, done func([]resolve.Hop, error)) {
	o := p.opts()
	if o.Resolver == nil {
		done(nil, errNoResolver)
		return
	}
	o.Resolver.Resolve(context.Background(), t, func(hops []resolve.Hop, err error) {
		if err == nil {
			hops = slices.DeleteFunc(slices.Clone(hops), func(h resolve.Hop) bool {
				return o.Flows.IsOwn(h.Addr.Addr().String(), h.Addr.Port(), h.Transport)
			})
			if len(hops) == 0 {
				err = errOwn
			}
		}
		done(hops, err)
	})
}

// find takes the next hop of the branch's way, and looks the next target up if there
// is none yet.
func (b *branch) find() {
	f, w := b.fork, b.target.way
	if w.hop = b.next(); w.hop != (hop{}) {
		b.connect()
		return
	}
	if len(w.targets) == 0 {
		b.fail(b.failure(503, "No Next Hop"))
		return
	}
	t := w.targets[0]
	w.targets = w.targets[1:]
	q := f.s.Queue()
	f.p.resolve(t, func(hops []resolve.Hop, err error) {
		q.Post(func() {
			switch {
			case b.state != idle || b.target.reach != dial || b.target.way.hop != (hop{}):
				// Given up meanwhile.
			case err != nil:
				f.p.opts().Logger.Info("resolve", "target", t.String(), "err", err)
				b.fail(b.failure(503, "Not Found"))
			default:
				b.target.way.hops = hops
				b.find()
			}
			f.conclude()
		})
	})
}

// next takes the next hop off the branch's way.
func (b *branch) next() hop {
	w := b.target.way
	return w.next(func(h resolve.Hop) bool { return b.fork.p.avoid(w.route, h) })
}

// advance goes on with the next hop on the branch's way, if there is one, by a request
// with a branch parameter of its own (RFC 3263 §4.3). What the last hop said or did
// not say counts no more, but for a 2xx.
func (b *branch) advance() bool {
	if b.fork.over || b.state == ended || b.target.reach != dial || b.target.way.empty() {
		return false
	}
	b.fork.p.metrics.failovers.Inc()
	b.silence.Stop()
	b.ring.Stop()
	b.client, b.state, b.ring, b.rang, b.overdue, b.datagram = nil, idle, nil, false, false, false
	b.target.way.hop = hop{}
	b.find()
	return true
}

// awaitSign has the next hop tried if this one shows no sign of life. The time-out of
// the transaction (RFC 3261 §17.1) comes when most callers have hung up.
func (b *branch) awaitSign() {
	if b.target.reach != dial || b.target.way.empty() {
		return
	}
	c := b.client
	b.silence = b.fork.s.Queue().After(b.fork.p.opts().HopTimeout, func() { b.silent(c) })
}

func (b *branch) silent(c *transaction.Client) {
	if b.client != c || b.state != calling {
		return
	}
	b.blame(nil)
	if !b.advance() {
		return
	}
	b.fork.p.opts().Logger.Info("a next hop does not answer", slog.String("flow", c.Flow().String()))
	c.Abandon()
	b.fork.conclude()
}
