package app

import (
	"context"
	"errors"
	"runtime/debug"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"

	"reveille/configs"
	"reveille/internal/admin"
	"reveille/usrloc"
)

// selfCalls are what operators ask about the server itself.
func (a *App) selfCalls() *admin.Self {
	s := &admin.Self{Status: a.status, Stats: a.stats, Config: a.loaded}
	if f, ok := a.store.(interface{ Flush() error }); ok {
		s.Flush = f.Flush
	}
	return s
}

// storeStats are the figures of the location service, none if it keeps none.
func (a *App) storeStats() usrloc.Stats {
	if s, ok := a.store.(interface{ Stats() usrloc.Stats }); ok {
		return s.Stats()
	}
	return usrloc.Stats{}
}

// status implements admin.Self.Status.
func (a *App) status(ctx context.Context) (admin.Status, error) {
	now := time.Now()
	a.mu.Lock()
	cfg, current, stopped := a.config, *a.loads.inForce.Load(), a.stopped
	a.mu.Unlock()
	figures := a.storeStats()
	s := admin.Status{
		Version: buildVersion(), Node: cfg.Node.ID, Started: a.began, UptimeS: int64(now.Sub(a.began) / time.Second),
		Ready: a.ready.Load(), Draining: stopped, Overloaded: a.layer.Overloaded(), Waiting: a.Parked(),
		Registrations: admin.Registrations{Users: figures.AORs, Bindings: figures.Bindings, Wakeable: figures.PushBindings},
		Store:         admin.StoreStatus{Durability: string(cfg.Store.Durability), Pending: figures.Pending, Bytes: figures.Bytes},
		Config:        current,
	}
	if !cfg.Store.OnDisk() {
		s.Store.Durability = string(configs.InMemory)
	}
	for _, l := range cfg.Listen {
		one := admin.Listener{Name: l.Name, Transport: string(l.Transport), Addr: l.Addr}
		if addr := a.Addr(l.Name); addr != nil {
			one.Addr = addr.String()
		}
		s.Listeners = append(s.Listeners, one)
	}
	var err error
	s.Registrations.Counted, err = a.counted(ctx, figures.Bindings)
	return s, err
}

// loaded implements admin.Self.Config.
func (a *App) loaded() (admin.Configuration, error) {
	a.mu.Lock()
	cfg, current := a.config, *a.loads.inForce.Load()
	a.mu.Unlock()
	text, err := cfg.YAML()
	return admin.Configuration{ConfigStatus: current, YAML: string(text)}, err
}

// stats implements admin.Self.Stats. What is counted is read from the metrics, which
// are the one place where it is.
func (a *App) stats() (admin.Stats, error) {
	a.mu.Lock()
	r := a.config.Registrar
	a.mu.Unlock()
	figures := a.storeStats()
	s := admin.Stats{
		MaxExpires: int64(r.Expires.Max / time.Second), MaxContacts: r.MaxContacts,
		DefaultExpires: int64(r.Expires.Default / time.Second), DefaultsExpires: int64(r.Expires.Default / time.Second),
		RegisteredUsers: figures.AORs, LocationUsers: figures.AORs, LocationContacts: figures.Bindings,
	}
	families, err := a.registry.Gather()
	// Some metrics may be there although others fail.
	if len(families) == 0 {
		return s, errors.Join(errors.New("no metrics"), err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			n := int64(m.GetCounter().GetValue())
			switch f.GetName() {
			case "reveille_registrar_requests_total":
				if labelOf(m, "status") == "200" {
					s.AcceptedRegs += n
				} else {
					s.RejectedRegs += n
				}
			case "reveille_registrar_expirations_total":
				s.LocationExpires += n
			}
		}
	}
	return s, nil
}

func labelOf(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// buildVersion is what the Go tool recorded of the build.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return strings.Trim(info.Main.Version, "()")
}
