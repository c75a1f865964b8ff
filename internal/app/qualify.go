package app

import (
	"errors"
	"time"

	"reveille/internal/qualify"
	"reveille/usrloc"
)

// buildQualifier makes what asks phones whether they are there, if the
// configuration wants that.
func (a *App) buildQualifier() (err error) {
	cfg := a.config.Registrar.Qualify
	if cfg.Interval == 0 {
		return nil
	}
	store, ok := a.store.(qualify.Store)
	if !ok {
		return errors.New("registrar.qualify: the store cannot be looked through")
	}
	a.qualifier, err = qualify.New(qualify.Options{
		Store: store, Ways: a.proxy, Flows: a.transport, Layer: a.layer, Domain: a.config.Domains[0],
		Interval: cfg.Interval, Timeout: cfg.Timeout, Only2xx: cfg.Only2xx, Rate: cfg.Rate, MaxResults: a.config.Limits.Bindings,
		Logger: a.component("qualify"), Registerer: a.registry,
	})
	return err
}

// measured implements proxy.Latencies: the proxy is built before the Qualifier,
// which asks it for the way to each phone.
type measured struct{ app *App }

// Latency implements proxy.Latencies.
func (m measured) Latency(id usrloc.BindingID) (time.Duration, bool) {
	if m.app.qualifier == nil {
		return 0, false
	}
	return m.app.qualifier.Latency(id)
}
