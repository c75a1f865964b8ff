package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/configs"
	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/hook"
	"reveille/internal/proxy"
	"reveille/internal/sipmsg"
	"reveille/registrar"
)

// hooks are the programs that are asked; nil where there is none.
type hooks struct {
	registers, routes *hook.Client
}

// newHooks returns the hooks of a configuration. They connect when they are asked.
func newHooks(cfg *configs.Config, log *slog.Logger, r prometheus.Registerer) (h *hooks, err error) {
	h = &hooks{}
	if h.registers, err = newHook("register", cfg.Hooks.Register, log, r); err != nil {
		return nil, err
	}
	if h.routes, err = newHook("route", cfg.Hooks.Route, log, r); err != nil {
		return nil, errors.Join(err, h.close(context.Background()))
	}
	return h, nil
}

func newHook(name string, cfg configs.Hook, log *slog.Logger, r prometheus.Registerer) (*hook.Client, error) {
	if cfg.URL == "" {
		return nil, nil //nolint:nilnil // There is no hook: that is no error.
	}
	ca, err := readOptional(string(cfg.CAFile))
	if err != nil {
		return nil, fmt.Errorf("hooks.%s.ca_file: %w", name, err)
	}
	roots, err := rootCAs(ca)
	if err != nil {
		return nil, fmt.Errorf("hooks.%s.ca_file: %w", name, err)
	}
	c, err := hook.New(hook.Options{
		Name: name, URL: cfg.URL, Bearer: cfg.Bearer.Reveal(), RootCAs: roots, Timeout: cfg.Timeout, MaxPending: cfg.MaxPending,
		Logger: log, Registerer: r,
	})
	if err != nil {
		return nil, fmt.Errorf("hooks.%s: %w", name, err)
	}
	return c, nil
}

// close ends all questions; nobody asks any more.
func (h *hooks) close(context.Context) error {
	var errs []error
	for _, c := range []*hook.Client{h.registers, h.routes} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

// register is registrar.Policy.Ask, nil if nobody is asked.
func (h *hooks) register(cfg *configs.Config) func(*registrar.Input, string, func(registrar.Verdict)) {
	if h.registers == nil {
		return nil
	}
	allow, again := cfg.Hooks.Register.OnFailure == configs.HookAllow, cfg.Registrar.RetryAfter
	return func(in *registrar.Input, user string, answer func(registrar.Verdict)) {
		h.registers.AskRegister(registration(in, user), func(p hook.Permission, err error) {
			switch {
			case err == nil:
				answer(verdict(p))
			case allow:
				answer(registrar.Verdict{})
			default:
				answer(registrar.Verdict{Refusal: &registrar.Refusal{Code: 503, Reason: "Service Unavailable", RetryAfter: again}})
			}
		})
	}
}

// registration is the question about a REGISTER.
func registration(in *registrar.Input, user string) hook.Registration {
	q := hook.Registration{
		AOR: string(in.AOR), User: user, Source: in.Flow.Remote.String(), Transport: in.Flow.Transport.String(), UserAgent: in.UserAgent,
	}
	if in.Attributes != nil {
		q.Attributes = json.RawMessage(*in.Attributes)
	}
	for i := range in.Contacts {
		c := &in.Contacts[i]
		contact := hook.Contact{URI: withoutSecrets(c.URI, c.Push.PRID), Instance: c.Instance, PushProvider: c.Push.Provider}
		switch {
		case c.Expires.Present:
			contact.Expires = &c.Expires.Seconds
		case in.Expires.Present:
			contact.Expires = &in.Expires.Seconds
		}
		q.Contacts = append(q.Contacts, contact)
	}
	return q
}

// withoutSecrets returns a URI as programs may see it: without what wakes a phone, by
// whatever name it holds the token prid, or names it in a dialog, without a password
// and headers. It is empty if uri is none.
func withoutSecrets(uri, prid string) string {
	u, err := sipmsg.ParseURI(uri)
	switch {
	case err != nil:
		return ""
	case !u.IsSIP():
		uri, _, _ = strings.Cut(uri, ";")
		return uri
	}
	// A new URI, for the text of the old one holds all.
	u = sipmsg.URI{Scheme: u.Scheme, User: u.User, Host: u.Host, Port: u.Port, Params: u.Params}
	return u.WithoutPush(append(u.Telling(prid), "pn-purr"))
}

// verdict translates an answer.
func verdict(p hook.Permission) registrar.Verdict {
	if !*p.Allow {
		return registrar.Verdict{Refusal: &registrar.Refusal{Code: p.Status, Reason: p.Reason}}
	}
	v := registrar.Verdict{MaxContacts: p.MaxContacts, MaxExpires: time.Duration(p.MaxExpires) * time.Second}
	if p.Attributes != nil {
		text := registrar.AttributesOf(*p.Attributes)
		v.Attributes = &text
	}
	return v
}

// A directedGate admits callers as Gate does, and has a program say where their
// calls go.
type directedGate struct {
	proxy.Gate
	routes *hook.Client
	// allow: without an answer a call goes where it is addressed to.
	allow bool
}

// directed returns g, or a gate that asks the route hook besides.
func (h *hooks) directed(g proxy.Gate, cfg *configs.Config) proxy.Gate {
	if h.routes == nil {
		return g
	}
	return directedGate{Gate: g, routes: h.routes, allow: cfg.Hooks.Route.OnFailure == configs.HookAllow}
}

// Admit implements proxy.Gate.
func (g directedGate) Admit(m *sipmsg.Message, f flow.Flow, done func(proxy.Admission)) {
	g.Gate.Admit(m, f, func(a proxy.Admission) {
		if a.Refusal != nil || m.ToTag() != "" || m.Method() != "INVITE" && m.Method() != "MESSAGE" {
			done(a)
			return
		}
		q := hook.Request{
			Method: m.Method(), From: string(a.User), To: withoutSecrets(m.RequestURI().String(), ""), Trusted: a.Trusted,
			CallID: m.CallID(), Source: f.Remote.String(), Transport: f.Transport.String(),
		}
		g.routes.AskRoute(q, func(d hook.Direction, err error) {
			if err == nil {
				err = g.follow(d, &a)
			}
			if err != nil && !g.allow {
				a.Refusal, a.Rule = &sipmsg.Reply{Code: 480, Reason: "No Way Known"}, event.RuleRouteHook
			}
			done(a)
		})
	})
}

// follow puts an answer into an Admission. On an error it has changed nothing.
func (g directedGate) follow(d hook.Direction, a *proxy.Admission) error {
	switch d.Action {
	case hook.Continue:
	case hook.ToRoute:
		a.Direction.Route = d.Name
	case hook.Reject:
		a.Refusal, a.Rule = &sipmsg.Reply{Code: d.Status, Reason: d.Reason}, event.RuleRouteHook
	case hook.ToTargets:
		var targets []sipmsg.URI
		for _, s := range d.Targets {
			u, err := sipmsg.ParseURI(s)
			if err != nil {
				return fmt.Errorf("target %q: %w", s, err)
			}
			targets = append(targets, u)
		}
		a.Direction.Targets = targets
	}
	return nil
}
