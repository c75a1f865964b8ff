package app

import (
	"fmt"

	"reveille/configs"
	"reveille/internal/domain"
)

// domainSet is the domains of a configuration, as gate and proxy ask for them. The
// registrar makes its own from its Policy; all name a user alike.
func domainSet(cfg *configs.Config) (*domain.Set, error) {
	var list []domain.Domain
	for _, name := range cfg.Domains {
		d := domain.Domain{Name: name}
		for _, a := range cfg.Aliases() {
			if a.Domain == name {
				d.Aliases = append(d.Aliases, a.Alias)
			}
		}
		list = append(list, d)
	}
	set, err := domain.New(list, !cfg.Registrar.AOR.CaseSensitive)
	if err != nil {
		return nil, fmt.Errorf("domains: %w", err)
	}
	return set, nil
}
