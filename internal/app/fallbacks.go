package app

import (
	"fmt"
	"strings"

	"reveille/configs"
	"reveille/internal/domain"
	"reveille/internal/proxy"
	"reveille/internal/sipmsg"
)

// fallbacks translates where calls go that nobody takes. at is the key of the list.
func fallbacks(hosts *domain.Set, at string, list []configs.Fallback) (rules []proxy.Fallback, err error) {
	for i, f := range list {
		rule := proxy.Fallback{Route: f.Route, Diversion: proxy.DiversionHeader}
		for _, m := range f.When {
			// configs accepts no other names.
			when, _ := proxy.ParseWhen(string(m))
			rule.When |= when
		}
		if f.Diversion != "" {
			rule.Diversion, _ = proxy.ParseDiversionMode(string(f.Diversion))
		}
		if to := f.To; to != "" {
			if f.Route == "" {
				// A user may be written without a scheme.
				aor, err := aorOf(hosts, to)
				if err != nil {
					return nil, fmt.Errorf("%s[%d].to: %w", at, i, err)
				}
				to = string(aor)
			}
			if strings.Contains(to, "{") {
				// proxy.New reads it.
				rule.Mailbox = to
			} else if rule.To, err = sipmsg.ParseURI(to); err != nil {
				return nil, fmt.Errorf("%s[%d].to: %w", at, i, err)
			}
		}
		rules = append(rules, rule)
	}
	return rules, nil
}
