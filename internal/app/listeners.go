package app

import (
	"fmt"
	"maps"
	"slices"

	"reveille/configs"
	"reveille/internal/tlscert"
	"reveille/internal/transport"
)

// newListeners are the listeners of a configuration that are not in use yet, with
// the certificates of those that have some.
type newListeners struct {
	addition *transport.Addition // nil: there are none
	certs    certificates
}

// bindListeners binds the listeners that cfg has and the configuration in use has
// not. sets holds the certificates of all. The caller holds mu.
func (a *App) bindListeners(cfg *configs.Config, sets map[string]*tlscert.Set) (newListeners, error) {
	o := transportOptions(cfg)
	o.Listeners = slices.DeleteFunc(o.Listeners, func(l transport.ListenerOptions) bool {
		return slices.ContainsFunc(a.config.Listen, func(had configs.Listen) bool { return had.Name == l.Name })
	})
	n := newListeners{certs: make(certificates)}
	if len(o.Listeners) == 0 {
		return n, nil
	}
	for _, l := range o.Listeners {
		if set := sets[l.Name]; set != nil {
			n.certs[l.Name] = tlscert.NewSource(set)
		}
	}
	n.certs.install(&o)
	var err error
	if n.addition, err = a.transport.Bind(o.Listeners); err != nil {
		return n, fmt.Errorf("listen: %w", err)
	}
	return n, nil
}

// close gives up listeners that are not used after all.
func (n newListeners) close() error {
	if n.addition == nil {
		return nil
	}
	return n.addition.Close()
}

// listen begins to serve on new listeners. The caller holds mu.
func (a *App) listen(n newListeners) {
	if n.addition == nil {
		return
	}
	// Others may read the map in use.
	all := maps.Clone(a.certs)
	maps.Copy(all, n.certs)
	a.certs = all
	n.addition.Start()
}

// certSources are the certificates in use, by listener. The map does not change.
func (a *App) certSources() map[string]*tlscert.Source {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.certs
}
