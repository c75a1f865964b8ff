package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/configs"
	"reveille/internal/hook"
	"reveille/internal/sipmsg"
	"reveille/registrar"
)

// hooks are the programs that are asked; nil where there is none.
type hooks struct {
	registers *hook.Client
}

// newHooks returns the hooks of a configuration. They connect when they are asked.
func newHooks(cfg *configs.Config, log *slog.Logger, r prometheus.Registerer) (h *hooks, err error) {
	h = &hooks{}
	if h.registers, err = newHook("register", cfg.Hooks.Register, log, r); err != nil {
		return nil, err
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
	for _, c := range []*hook.Client{h.registers} {
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
	for i := range in.Contacts {
		c := &in.Contacts[i]
		contact := hook.Contact{URI: withoutSecrets(c.URI), Instance: c.Instance, PushProvider: c.Push.Provider}
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

// withoutSecrets returns a Contact URI without what wakes the phone and without a
// password; empty if it is none.
func withoutSecrets(uri string) string {
	u, err := sipmsg.ParseURI(uri)
	if err != nil {
		return ""
	}
	u.Password = ""
	return u.WithoutParams("pn-provider", "pn-param", "pn-prid")
}

// verdict translates an answer.
func verdict(p hook.Permission) registrar.Verdict {
	if !*p.Allow {
		return registrar.Verdict{Refusal: &registrar.Refusal{Code: p.Status, Reason: p.Reason}}
	}
	return registrar.Verdict{MaxContacts: p.MaxContacts, MaxExpires: time.Duration(p.MaxExpires) * time.Second}
}
