package app

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"reveille/configs"
	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/guard"
	"reveille/internal/proxy"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// tooFastWait is what senders are told, in seconds, who exceed a rate limit.
const tooFastWait = "5"

// tooFast refuses a request because of a rate limit. It is not the whole server
// that refuses, so it is no 503: whoever receives that may stop using the server
// for everybody. Inside a dialog only a 500 with Retry-After leaves the dialog
// alone (RFC 5057).
func tooFast(m *sipmsg.Message) sipmsg.Reply {
	r := sipmsg.Reply{Code: 480, Reason: "Too Many Requests", Headers: []sipmsg.HeaderField{{Name: "Retry-After", Value: tooFastWait}}}
	if m.ToTag() != "" {
		r.Code = 500
	}
	return r
}

// buildGuard makes what keeps strangers out. Who fails is told to it by watched.
func (a *App) buildGuard() (err error) {
	a.guard, err = guard.New(guard.Options{
		Settings: guardSettings(a.config), Hosts: ourHosts{a}, Registered: a.registeredFrom,
		Sink: a.sink, Logger: a.component("guard"), Registerer: a.registry,
	})
	return err
}

// watched is the Sink of those whose events tell of strangers.
func (a *App) watched() event.Sink { return event.Fan{a.sink, a.guard} }

func guardSettings(cfg *configs.Config) guard.Settings {
	c := cfg.Guard
	s := guard.Settings{
		Exempt:    slices.Clone(c.Exempt),
		PerSource: c.Rate.PerSource, Burst: c.Rate.Burst,
		Registers: c.PerAOR.Registers, Calls: c.PerAOR.Calls, AORBurst: c.PerAOR.Burst,
		Scanners: c.Scanners,
		Ban:      guard.Ban{Offences: c.Ban.Failures, Within: c.Ban.Within, Time: c.Ban.Time, Sources: c.Ban.Sources},
	}
	switch c.Hosts {
	case configs.OwnHosts:
		s.Accept = guard.OwnHosts
	case configs.DomainsOnly:
		s.Accept = guard.DomainsOnly
	case configs.AnyHost:
	}
	for _, t := range cfg.Auth.Trusted {
		if t.CIDR.IsValid() {
			s.Exempt = append(s.Exempt, t.CIDR)
		}
	}
	for _, r := range cfg.Proxy.Routes {
		switch r.Domain {
		case "":
		case "*":
			// Whoever may use it calls any host.
			s.Accept = guard.AnyHost
		default:
			s.Routed = append(s.Routed, strings.ToLower(r.Domain))
		}
		// A gateway answers for many.
		for _, n := range r.Hops() {
			if u, err := sipmsg.ParseURI(n.URI); err == nil {
				if addr, ok := u.HostAddr(); ok {
					addr = addr.Unmap()
					s.Exempt = append(s.Exempt, netip.PrefixFrom(addr, addr.BitLen()))
				}
			}
		}
	}
	return s
}

// ourHosts implements guard.Hosts.
type ourHosts struct{ app *App }

// Domain implements guard.Hosts.
func (h ourHosts) Domain(host string) bool { return h.app.gate.served(host) }

// Address implements guard.Hosts.
func (h ourHosts) Address(host string, port uint16) bool { return h.app.transport.IsOwn(host, port, 0) }

// Takes implements guard.Hosts.
func (h ourHosts) Takes(u sipmsg.URI) bool { return h.app.proxy.Takes(u) }

// A lister is a store that can be looked through.
type lister interface {
	List(ctx context.Context, c usrloc.Cursor, n int) ([]usrloc.Record, usrloc.Cursor, error)
}

// listChunk is how many records are looked at between two looks at the context.
const listChunk = 256

var errNoList = errors.New("the store cannot be looked through")

// registeredFrom implements guard.Options.Registered.
func (a *App) registeredFrom(ctx context.Context, yield func(netip.Addr)) error {
	store, ok := a.store.(lister)
	if !ok {
		return errNoList
	}
	var at usrloc.Cursor
	now := time.Now()
	for {
		records, next, err := store.List(ctx, at, listChunk)
		if err != nil {
			return err
		}
		for _, r := range records {
			for i := range r.Bindings {
				b := &r.Bindings[i]
				if addr := b.Flow.Remote.Addr(); addr.IsValid() && !b.Expired(now) {
					yield(addr)
				}
			}
		}
		if next.IsZero() {
			return nil
		}
		at = next
	}
}

// registers reports whether aor may be registered once more; it is the same
// question for the fast and the long way.
func (a *App) registers(f flow.Flow, aor usrloc.AOR, now time.Time) bool {
	return a.guard.Registers(f, string(aor), now)
}

// A limitedGate admits callers as Gate does, and no more of them than one AOR may
// have. Who was not admitted does not count: strangers must not use up what is
// others'.
type limitedGate struct {
	proxy.Gate
	app *App
}

// Admit implements proxy.Gate.
func (g limitedGate) Admit(m *sipmsg.Message, f flow.Flow, done func(proxy.Admission)) {
	g.Gate.Admit(m, f, func(a proxy.Admission) {
		aor, err := g.app.gate.aorOf(m.RequestURI())
		if err == nil && a.Refusal == nil && !g.app.guard.Calls(f, string(aor), time.Now()) {
			r := tooFast(m)
			a.Refusal, a.Rule = &r, event.RulePerUser
		}
		done(a)
	})
}
