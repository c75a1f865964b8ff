package app

import (
	"context"
	"errors"
	"log/slog"
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
	"reveille/internal/trunk"
	"reveille/registrar"
	"reveille/usrloc"
)

// lookupTime bounds the wait for a user source.
const lookupTime = 5 * time.Second

// A gate says who may register and who may call. Its rules are replaced whole by
// a reload.
type gate struct {
	transport *transport.Transport
	trunks    *trunk.Watcher
	sink      event.Sink
	log       *slog.Logger
	registry  prometheus.Registerer
	denied    *prometheus.CounterVec
	rules     atomic.Pointer[gateRules]
	// directory holds users outside of this process; nil: there are none.
	directory *directory

	// lookups ends with stop: it is the context of questions about senders.
	lookups context.Context
	cancel  context.CancelFunc
}

func newGate(cfg *configs.Config, t *transport.Transport, w *trunk.Watcher, sink event.Sink, log *slog.Logger, r prometheus.Registerer) (*gate, error) {
	g := &gate{transport: t, trunks: w, sink: sink, log: log, registry: r}
	g.lookups, g.cancel = context.WithCancel(context.Background())
	g.denied = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "reveille_acl_denied_total", Help: "Requests that an access list denied, by list.",
	}, []string{"list"})
	r.MustRegister(g.denied)
	var err error
	if g.directory, err = newDirectory(cfg.Auth, log, r); err != nil {
		g.cancel()
		return nil, err
	}
	rules, err := g.build(cfg)
	if err != nil {
		g.cancel()
		return nil, errors.Join(err, g.directory.close())
	}
	g.rules.Store(rules)
	return g, nil
}

// stop ends the questions about senders that are open. Nobody may ask any more.
func (g *gate) stop(context.Context) error {
	g.cancel()
	g.rules.Load().auth.Wait()
	return g.directory.close()
}

// served reports whether host is one of our domains, or another name of one.
func (g *gate) served(host string) bool {
	return g.rules.Load().hosts.Serves(host)
}

// aorOf returns the AOR that u names, by whatever name of a domain of ours.
func (g *gate) aorOf(u sipmsg.URI) (usrloc.AOR, error) {
	aor, _, err := g.rules.Load().hosts.AOR(u)
	return aor, err
}

// Served implements fastpath.Gate: the Request-URI names a domain or an address
// of ours.
func (g *gate) Served(uri *sipmsg.URI) bool {
	return uri.IsSIP() && (g.served(uri.Host) || g.transport.IsOwn(uri.Host, uri.PortNum(), 0))
}

// Doorman implements fastpath.Gate. Where Contacts have to be looked at, REGISTERs
// take the long way.
func (g *gate) Doorman(f flow.Flow) (a *auth.Authenticator, ok bool) {
	r := g.rules.Load()
	if len(r.contact) > 0 || !r.source.Permits(f.Remote.Addr(), f.Listener) {
		return nil, false
	}
	if r.modes[f.Listener].Registrar == configs.Off {
		_, allowed := r.open(f)
		return nil, allowed
	}
	return r.auth, true
}

// permits reports whether requests that come on f are looked at.
func (g *gate) permits(f flow.Flow) bool {
	if g.rules.Load().source.Permits(f.Remote.Addr(), f.Listener) {
		return true
	}
	g.denied.WithLabelValues("source").Inc()
	return false
}

// permitsContacts reports whether the Contacts of a REGISTER may be registered.
// Names are not looked up: phones behind a WebSocket have invented ones.
func (g *gate) permitsContacts(r *gateRules, m *sipmsg.Message, f flow.Flow) bool {
	if len(r.contact) == 0 {
		return true
	}
	for _, c := range m.Contacts() {
		if addr, ok := c.URI.HostAddr(); ok && !r.contact.Permits(addr, f.Listener) {
			g.denied.WithLabelValues("contact").Inc()
			return false
		}
	}
	return true
}

// trusted reports whether the peer of f may say who somebody else is.
func (g *gate) trusted(f flow.Flow) bool { return g.rules.Load().auth.Trusts(f) }

// known reports whether aor is a user of ours, as far as we can tell at once.
func (g *gate) known(aor usrloc.AOR) bool {
	r, user := g.rules.Load(), userOf(aor)
	if r.anybody || r.users.Lists(aor) {
		return true
	}
	realm := r.realms[domainOf(aor)]
	if !r.auth.Knows(realm, user) {
		return false
	}
	if g.directory != nil {
		// Nobody waits for the answer: whoever asks again gets it.
		g.directory.Learn(realm, user)
	}
	return true
}

func userOf(aor usrloc.AOR) string {
	_, rest, _ := strings.Cut(string(aor), ":")
	name, _, _ := strings.Cut(rest, "@")
	return sipmsg.Unescape(name)
}

func domainOf(aor usrloc.AOR) string { return string(aor[strings.LastIndexByte(string(aor), '@')+1:]) }

func forbidden() *sipmsg.Reply { return &sipmsg.Reply{Code: 403} }

// register decides about a REGISTER.
func (g *gate) register(m *sipmsg.Message, f flow.Flow, answer func(permit)) {
	r := g.rules.Load()
	if r.modes[f.Listener].Registrar == configs.Off {
		p := permit{}
		if _, allowed := r.open(f); !allowed || !g.permitsContacts(r, m, f) {
			p.refusal = forbidden()
		}
		answer(p)
		return
	}
	g.authenticate(r, m, f, auth.Registrar, func(d auth.Decision) {
		switch {
		case d.Outcome != auth.Allowed:
			answer(permit{refusal: &d.Reply})
		case !g.permitsContacts(r, m, f):
			answer(permit{refusal: forbidden()})
		default:
			may := func(aor usrloc.AOR) bool { return r.auth.Authorize(d, aor, m.Method(), f) == nil }
			answer(permit{user: registrar.User{Name: d.User.Name, May: may, MaxContacts: d.User.MaxContacts}})
		}
	})
}

// Admit implements proxy.Gate.
func (g *gate) Admit(m *sipmsg.Message, f flow.Flow, done func(proxy.Admission)) {
	r := g.rules.Load()
	if r.modes[f.Listener].Proxy == configs.Off {
		a := proxy.Admission{}
		var allowed bool
		if a.Trusted, allowed = r.open(f); !allowed {
			a.Refusal, a.Rule, a.Unknown = forbidden(), event.RuleTrusted, true
		}
		done(a)
		return
	}
	g.authenticate(r, m, f, auth.Proxy, func(d auth.Decision) {
		if d.Outcome != auth.Allowed {
			a := proxy.Admission{Refusal: &d.Reply, Unknown: true}
			if d.Reason.Wrong() {
				a.Rule, a.Why = event.RuleCredentials, d.Reason.String()
			}
			done(a)
			return
		}
		a := proxy.Admission{Trusted: d.Trusted, Realm: d.User.Realm}
		if !d.Trusted {
			a.User = r.identity(d.User, m)
			a.May = func(aor usrloc.AOR) bool { return r.auth.MayUse(d.User, aor) }
		}
		done(a)
	})
}

func (g *gate) authenticate(r *gateRules, m *sipmsg.Message, f flow.Flow, role auth.Role, done func(auth.Decision)) {
	ctx, cancel := context.WithTimeout(g.lookups, lookupTime)
	r.auth.Authenticate(ctx, m, f, role, time.Now(), func(d auth.Decision) {
		cancel()
		done(d)
	})
}
