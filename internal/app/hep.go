package app

import (
	"reveille/configs"
	"reveille/internal/hep"
	"reveille/internal/trace"
)

// buildHEP makes what sends copies of messages to a collector, if there is one. It begins
// with Start.
func (a *App) buildHEP() (err error) {
	c := a.config.HEP
	if c.Addr == "" {
		return nil
	}
	o := hep.Options{
		Network: "udp", Addr: c.Addr, CaptureID: c.CaptureID, Password: c.Password.Reveal(), Logger: a.component("hep"), Registerer: a.registry,
	}
	if c.Transport == configs.HEPOverTCP {
		o.Network = "tcp"
	}
	if c.Redact {
		o.Redact = func(m *trace.Message) string { return m.Redact(a.traces.secrets.Load(), false) }
	}
	a.collector, err = hep.New(o)
	return err
}

// startHEP sends from now on.
func (a *App) startHEP() {
	if a.collector == nil {
		return
	}
	a.traces.hub.Add(a.collector)
	a.running.Go(func() { a.collector.Run(a.background) })
}
