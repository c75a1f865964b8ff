package app

import (
	"fmt"
	"time"

	"reveille/configs"
	"reveille/flow"
	"reveille/internal/auth"
	"reveille/internal/regevent"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
	"reveille/usrloc"
)

// buildRegEvent makes what tells subscribers of registrations. The proxy knows the
// ways to them.
func (a *App) buildRegEvent() error {
	settings, err := a.regEventSettings(a.config)
	if err != nil {
		return err
	}
	a.notifier, err = regevent.New(regevent.Options{
		Store: a.store, Ways: a.proxy, Flows: a.transport, Settings: settings, Logger: a.component("regevent"), Registerer: a.registry,
	})
	return err
}

// regEventSettings is what a configuration says about subscriptions.
func (a *App) regEventSettings(cfg *configs.Config) (s regevent.Settings, err error) {
	c := cfg.Registrar.RegEvent
	s = regevent.Settings{
		Enabled: c.Enabled, Known: a.gate.known, Trusted: c.Trusted,
		Default: c.Expires.Default, Min: c.Expires.Min, Max: c.Expires.Max, Interval: c.Interval, Refreshes: c.Refreshes,
		MaxSubscriptions: c.Max, MaxPerUser: c.MaxPerUser, RetryAfter: cfg.Registrar.RetryAfter,
	}
	if s.Hosts, err = domainSet(cfg); err != nil {
		return s, err
	}
	for i, w := range c.Watchers {
		aor, err := aorOf(s.Hosts, w)
		if err != nil {
			return s, fmt.Errorf("registrar.reg_event.watchers[%d]: %w", i, err)
		}
		s.Watchers = append(s.Watchers, aor)
	}
	if cfg.Registrar.GRUU.Enabled {
		s.GRUU = a.keys
	}
	older, err := mappings(cfg.Push.Mappings)
	for i := range older {
		s.PushParams = append(s.PushParams, older[i].Secrets()...)
	}
	return s, err
}

// subscribes serves a SUBSCRIBE to a registration; it reports false if s is for the
// proxy.
func (u *user) subscribes(s *transaction.Server) bool {
	a, m := u.app, s.Message()
	if !a.notifier.Takes(m) {
		return false
	}
	asked := transaction.Await(s,
		func(answer func(regevent.Sender)) { a.subscriber(m, s.Flow(), answer) },
		func(from regevent.Sender) { a.notifier.Serve(s, from) })
	if !asked {
		s.Refuse(sipmsg.Reply{Code: 503, Headers: []sipmsg.HeaderField{{Name: "Retry-After", Value: retryAfter}}})
	}
	return true
}

// subscriber finds out who sent a SUBSCRIBE that we serve ourselves. RFC 6665
// §4.2.1.3: it is challenged as by a user agent, with 401, and its realm is that of
// the user who is watched.
func (a *App) subscriber(m *sipmsg.Message, f flow.Flow, answer func(regevent.Sender)) {
	r := a.gate.rules.Load()
	if r.modes[f.Listener].Registrar == configs.Off {
		trusted, allowed := r.open(f)
		if !allowed {
			answer(regevent.Sender{Refusal: forbidden()})
			return
		}
		answer(regevent.Sender{Trusted: trusted})
		return
	}
	a.gate.authenticate(r, m, f, auth.Registrar, func(d auth.Decision) {
		if d.Outcome != auth.Allowed {
			answer(regevent.Sender{Refusal: &d.Reply})
			return
		}
		from := regevent.Sender{Trusted: d.Trusted}
		if !d.Trusted {
			from.User = r.key(r.identity(d.User, m))
			from.May = func(aor usrloc.AOR) bool { return r.auth.MayUse(d.User, aor) }
		}
		if aor, err := a.gate.aorOf(m.To().URI); err == nil && !a.guard.Calls(f, string(aor), time.Now()) {
			refusal := tooFast(m)
			from.Refusal = &refusal
		}
		answer(from)
	})
}

// key is the AOR under which a user is registered, who may have been named by another
// name of the domain or in another case.
func (r *gateRules) key(user usrloc.AOR) usrloc.AOR {
	if u, err := sipmsg.ParseURI(string(user)); err == nil {
		if aor, _, err := r.hosts.AOR(u); err == nil {
			return aor
		}
	}
	return user
}
