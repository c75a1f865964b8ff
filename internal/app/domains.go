package app

import (
	"fmt"

	"reveille/configs"
	"reveille/internal/domain"
)

// domainSet is the domains of a configuration as the proxy asks for them. The
// registrar makes its own from its Policy; both name a user alike.
func domainSet(cfg *configs.Config) (*domain.Set, error) {
	var list []domain.Domain
	for _, name := range cfg.Domains {
		list = append(list, domain.Domain{Name: name})
	}
	set, err := domain.New(list, !cfg.Registrar.AOR.CaseSensitive)
	if err != nil {
		return nil, fmt.Errorf("domains: %w", err)
	}
	return set, nil
}
