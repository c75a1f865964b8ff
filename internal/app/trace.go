package app

import (
	"sync/atomic"

	"reveille/configs"
	"reveille/internal/admin"
	"reveille/internal/sipmsg"
	"reveille/internal/trace"
	"reveille/registrar"
)

// traces are those who look at the messages that come and go.
type traces struct {
	hub      *trace.Hub
	watchers *trace.Watchers
	// secrets are what is hidden from them, besides what always is.
	secrets atomic.Pointer[trace.Secrets]
}

// buildTraces connects them to the sockets.
func (a *App) buildTraces() error {
	t := &traces{hub: trace.New(trace.Options{Tap: a.transport.Tap, Registerer: a.registry})}
	secrets, err := tracedSecrets(a.config)
	if err != nil {
		return err
	}
	t.secrets.Store(secrets)
	t.watchers = trace.NewWatchers(t.hub, a.traceKey, t.secrets.Load)
	a.traces = t
	return nil
}

// traceKey is the key of the user whom u names, by whatever name of a domain of ours; of
// other domains, too, and empty for what is no user.
func (a *App) traceKey(u sipmsg.URI) string {
	aor, err := a.gate.aorOf(u)
	if err != nil {
		return ""
	}
	return string(aor)
}

// tracedSecrets are where apps older than RFC 8599 say how they are woken.
func tracedSecrets(cfg *configs.Config) (*trace.Secrets, error) {
	older, err := mappings(cfg.Push.Mappings)
	if err != nil {
		return nil, err
	}
	return secretsOf(older), nil
}

func secretsOf(older []registrar.Mapping) *trace.Secrets {
	s := &trace.Secrets{}
	for i := range older {
		s.Params = append(s.Params, older[i].Secrets()...)
		for name := range older[i].Header {
			s.Headers = append(s.Headers, name)
		}
	}
	return s
}

// traceCall is what operators may ask of it.
func (a *App) traceCall() *admin.Trace {
	return &admin.Trace{Watch: func(user string, bodies bool) (*trace.Watcher, error) {
		aor, err := aorOf(a.gate.rules.Load().hosts, user)
		if err != nil {
			return nil, err
		}
		return a.traces.watchers.Watch(trace.Query{AOR: string(aor), Bodies: bodies})
	}}
}
