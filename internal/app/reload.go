package app

import (
	"errors"
	"fmt"

	"reveille/configs"
	"reveille/registrar"
)

// errStopped is returned by Reload after Stop.
var errStopped = errors.New("app: stopped")

// Reload takes over a configuration whose keys that need a restart are those in
// force (configs.Merge). Everything that can fail is done before anything in use
// is touched: on error the server goes on as it was. Credentials, certificates and
// users are read anew even if no key changed.
func (a *App) Reload(cfg *configs.Config) (err error) {
	defer func() {
		if err != nil {
			a.loads.refused()
		}
	}()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
		return errStopped
	}
	if c := configs.Compare(a.config, cfg); len(c.Restart) > 0 {
		return fmt.Errorf("reload: %q need a restart", c.Restart)
	}
	rules, err := a.gate.build(cfg)
	if err != nil {
		return err
	}
	policy, err := a.registrarPolicy(cfg)
	if err != nil {
		return err
	}
	if err := policy.Validate(); err != nil {
		return err
	}
	options, err := a.proxyOptions(cfg)
	if err != nil {
		return err
	}
	subscriptions, err := a.regEventSettings(cfg)
	if err != nil {
		return err
	}
	hidden, err := tracedSecrets(cfg)
	if err != nil {
		return err
	}
	signOn, err := a.buildSignOn(cfg)
	if err != nil {
		return err
	}
	marks := markListeners(cfg)
	certs, err := loadCertificates(cfg)
	if err != nil {
		return err
	}
	webhooks, err := eventWebhooks(cfg)
	if err != nil {
		return err
	}
	senders, err := newSenders(a.background, cfg.Push, a.senders)
	if err != nil {
		return err
	}
	more, err := a.bindListeners(cfg, certs)
	if err != nil {
		return errors.Join(err, senders.closeUnless(a.senders))
	}
	senders.handTo(a.sink)
	// From here on nothing fails but by a contradiction in the checks above.
	if err := a.pushes.Replace(senders.apps()); err != nil {
		return errors.Join(err, more.close(), senders.closeUnless(a.senders))
	}
	a.useSenders(senders)
	if err := a.registrar.SetPolicy(policy); err != nil {
		return errors.Join(err, more.close())
	}
	if err := a.proxy.Reload(options); err != nil {
		return errors.Join(err, more.close())
	}
	if err := a.notifier.Reload(subscriptions); err != nil {
		return errors.Join(err, more.close())
	}
	a.refresher.SetRetries(retries(cfg.Push.Refresh))
	a.refresher.SetWakeDormant(wakeDormant(cfg.Push))
	a.waker.Set(wakeSettings(cfg.Push))
	a.gate.rules.Store(rules)
	a.spared.set(guardSettings(cfg))
	a.trunks.Set(trunkRoutes(cfg, options.Routes))
	a.certs.replace(certs)
	a.useSignOn(signOn)
	if a.admin != nil {
		if err := a.admin.SetAccess(access(cfg)); err != nil {
			return errors.Join(err, more.close())
		}
	}
	a.listen(more) // by the rules that hold now
	a.traces.secrets.Store(hidden)
	a.certMarks = marks
	a.config = cfg
	a.loads.replaced()
	a.events.reload(webhooks, a.component("events"))
	a.audit.reload(a.background)
	return nil
}

// Unreadable notes that there is a configuration to take over which cannot be read, or
// has problems: the server goes on with the one that it has, and its metrics say so.
func (a *App) Unreadable() { a.loads.refused() }

// registrarPolicy is what REGISTER may do under a configuration.
func (a *App) registrarPolicy(cfg *configs.Config) (registrar.Policy, error) {
	policy, err := registrarPolicy(cfg, a.pushes, a.keys, a.reachable)
	if err == nil {
		policy.Ask = a.hooks.register(cfg)
	}
	return policy, err
}

// closeUnless closes the senders that are not also in old.
func (s *senders) closeUnless(old *senders) error {
	var errs []error
	for _, x := range s.list {
		if old.find(x.app.Name, x.mark) == nil {
			errs = append(errs, x.app.Sender.Close())
		}
	}
	return errors.Join(errs...)
}
