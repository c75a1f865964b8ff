package app

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/configs"
	"reveille/flow"
	"reveille/internal/auth"
	"reveille/internal/event"
	"reveille/internal/proxy"
	"reveille/internal/sipmsg"
	"reveille/internal/transport"
	"reveille/usrloc"
)

// lookupTime bounds the wait for a user source.
const lookupTime = 5 * time.Second

// A gate says who may register and who may call. Its rules are replaced whole by
// a reload.
type gate struct {
	transport *transport.Transport
	sink      event.Sink
	registry  prometheus.Registerer
	rules     atomic.Pointer[gateRules]
}

type gateRules struct {
	auth    *auth.Authenticator
	modes   configs.AuthModes
	trusted []netip.Prefix
	domains []string
	users   *auth.Users
	realm   string
}

func newGate(cfg *configs.Config, t *transport.Transport, sink event.Sink, r prometheus.Registerer) (*gate, error) {
	g := &gate{transport: t, sink: sink, registry: r}
	rules, err := g.build(cfg)
	if err != nil {
		return nil, err
	}
	g.rules.Store(rules)
	return g, nil
}

// build makes the rules of a configuration without putting them into force.
func (g *gate) build(cfg *configs.Config) (*gateRules, error) {
	o, err := authOptions(cfg)
	if err != nil {
		return nil, err
	}
	r := &gateRules{modes: cfg.Auth.Mode, trusted: o.Trusted, domains: cfg.Domains, users: o.Source.(*auth.Users), realm: o.Realm}
	o.Sink, o.Registerer = g.sink, g.registry
	o.Own = func(host string) bool {
		return g.transport.IsOwn(host, 0, 0)
	}
	if old := g.rules.Load(); old != nil {
		// One Authenticator counts for the registry; its successors add to the
		// same counters.
		r.auth, err = old.auth.Successor(o)
	} else {
		r.auth, err = auth.New(o)
	}
	return r, err
}

// served reports whether host is one of our domains.
func (g *gate) served(host string) bool {
	for _, d := range g.rules.Load().domains {
		if strings.EqualFold(d, host) {
			return true
		}
	}
	return false
}

// Served implements fastpath.Gate: the Request-URI names a domain or an address
// of ours.
func (g *gate) Served(uri *sipmsg.URI) bool {
	return uri.IsSIP() && (g.served(uri.Host) || g.transport.IsOwn(uri.Host, uri.PortNum(), 0))
}

// Doorman implements fastpath.Gate.
func (g *gate) Doorman(f flow.Flow) (a *auth.Authenticator, ok bool) {
	r := g.rules.Load()
	if r.modes.Registrar != configs.Required {
		_, allowed := r.open(f)
		return nil, allowed
	}
	return r.auth, true
}

// known reports whether aor is a user of ours, as far as we can tell: without
// accounts every name is.
func (g *gate) known(aor usrloc.AOR) bool {
	r := g.rules.Load()
	if r.users.Len() == 0 {
		return true
	}
	_, err := r.users.Lookup(context.Background(), r.realm, userOf(aor))
	return !errors.Is(err, auth.ErrNoUser)
}

func userOf(aor usrloc.AOR) string {
	_, rest, _ := strings.Cut(string(aor), ":")
	name, _, _ := strings.Cut(rest, "@")
	return sipmsg.Unescape(name)
}

// open answers a request under a mode that asks for no credentials: everybody
// may, or, if trusted networks are named, only they.
func (r *gateRules) open(f flow.Flow) (trusted, allowed bool) {
	addr := f.Remote.Addr().Unmap()
	for _, p := range r.trusted {
		if p.Contains(addr) {
			return true, true
		}
	}
	return false, len(r.trusted) == 0
}

func forbidden() *sipmsg.Reply { return &sipmsg.Reply{Code: 403} }

// register decides about a REGISTER.
func (g *gate) register(m *sipmsg.Message, f flow.Flow, answer func(permit)) {
	r := g.rules.Load()
	if r.modes.Registrar != configs.Required {
		p := permit{}
		if _, allowed := r.open(f); !allowed {
			p.refusal = forbidden()
		}
		answer(p)
		return
	}
	g.authenticate(r, m, f, auth.Registrar, func(d auth.Decision) {
		if d.Outcome != auth.Allowed {
			answer(permit{refusal: &d.Reply})
			return
		}
		answer(permit{may: func(aor usrloc.AOR) bool { return r.auth.Authorize(d, aor, m.Method(), f) == nil }})
	})
}

// Admit implements proxy.Gate.
func (g *gate) Admit(m *sipmsg.Message, f flow.Flow, done func(proxy.Admission)) {
	r := g.rules.Load()
	if r.modes.Proxy != configs.Required {
		a := proxy.Admission{}
		var allowed bool
		if a.Trusted, allowed = r.open(f); !allowed {
			a.Refusal = forbidden()
		}
		done(a)
		return
	}
	g.authenticate(r, m, f, auth.Proxy, func(d auth.Decision) {
		if d.Outcome != auth.Allowed {
			done(proxy.Admission{Refusal: &d.Reply})
			return
		}
		a := proxy.Admission{Trusted: d.Trusted, Realm: d.User.Realm}
		if !d.Trusted {
			a.User = r.identity(d.User, m)
		}
		done(a)
	})
}

// identity is the AOR under which an authenticated user calls: that of From if
// it is one of the user's, else the user's own.
func (r *gateRules) identity(u auth.User, m *sipmsg.Message) usrloc.AOR {
	if aor, err := sipmsg.CanonicalAOR(m.From().URI); err == nil && r.auth.MayUse(u, usrloc.AOR(aor)) {
		return usrloc.AOR(aor)
	}
	aor, err := sipmsg.CanonicalAOR(sipmsg.URI{Scheme: "sip", User: sipmsg.EscapeParam(u.Name), Host: r.domains[0]})
	if err != nil {
		return ""
	}
	return usrloc.AOR(aor)
}

func (g *gate) authenticate(r *gateRules, m *sipmsg.Message, f flow.Flow, role auth.Role, done func(auth.Decision)) {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
	r.auth.Authenticate(ctx, m, f, role, time.Now(), func(d auth.Decision) {
		cancel()
		done(d)
	})
}
