package app

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"reveille/configs"
	"reveille/internal/domain"
	"reveille/internal/proxy"
	"reveille/internal/resolve"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// routing fills in whom the proxy calls, in which order, and who may call.
func routing(o *proxy.Options, cfg *configs.Config) (err error) {
	if o.Hosts, err = domainSet(cfg); err != nil {
		return err
	}
	// configs accepts no other names.
	o.Fork, _ = proxy.ParseForkMode(string(cfg.Proxy.Fork))
	o.Sort, _ = proxy.ParseSort(string(cfg.Proxy.Sort))
	o.Ring, o.MethodFilter, o.RegisteredCallers = cfg.Proxy.Ring, cfg.Proxy.MethodFilter, cfg.Proxy.RequireRegisteredCaller
	o.Identity.From, _ = proxy.ParseFromPolicy(string(cfg.Identity.From))
	o.Identity.TrustOutbound = cfg.Identity.TrustOutbound
	if o.UserAgents, err = userAgents(cfg.Proxy.UAFilter); err != nil {
		return fmt.Errorf("proxy.ua_filter: %w", err)
	}
	if err := choices(o, cfg); err != nil {
		return err
	}
	o.RingTotal = cfg.Proxy.RingTotal
	if o.Fallbacks, err = fallbacks(o.Hosts, "proxy.fallback", cfg.Proxy.Fallback); err != nil {
		return err
	}
	o.AORs = make(map[usrloc.AOR]proxy.AOR, len(cfg.AORs))
	for i, a := range cfg.AORs {
		aor, err := aorOf(o.Hosts, a.AOR)
		if err != nil {
			return fmt.Errorf("aors[%d].aor: %w", i, err)
		}
		var entry proxy.AOR
		for j, c := range a.Contacts {
			u, err := sipmsg.ParseURI(c)
			if err != nil {
				return fmt.Errorf("aors[%d].contacts[%d]: %w", i, j, err)
			}
			if _, err := resolve.TargetOf(u); err != nil {
				return fmt.Errorf("aors[%d].contacts[%d]: %w", i, j, err)
			}
			entry.Contacts = append(entry.Contacts, proxy.Contact{URI: u})
		}
		for j, r := range a.Rings {
			other, err := aorOf(o.Hosts, r)
			if err != nil {
				return fmt.Errorf("aors[%d].rings[%d]: %w", i, j, err)
			}
			entry.Rings = append(entry.Rings, other)
		}
		if entry.Fallbacks, err = fallbacks(o.Hosts, fmt.Sprintf("aors[%d].fallback", i), a.Fallback); err != nil {
			return err
		}
		entry.NoFallback = a.NoFallback
		o.AORs[aor] = entry
	}
	return nil
}

// choices fills in what is other for the users of some domains.
func choices(o *proxy.Options, cfg *configs.Config) (err error) {
	o.Choices = map[string]proxy.Choice{}
	for i, d := range cfg.Proxy.Domains {
		c := proxy.Choice{Fork: o.Fork, Sort: o.Sort, MethodFilter: o.MethodFilter || d.MethodFilter, UserAgents: o.UserAgents}
		if d.Fork != "" {
			c.Fork, _ = proxy.ParseForkMode(string(d.Fork))
		}
		if d.Sort != "" {
			c.Sort, _ = proxy.ParseSort(string(d.Sort))
		}
		if d.UAFilter != "" {
			if c.UserAgents, err = userAgents(d.UAFilter); err != nil {
				return fmt.Errorf("proxy.domains[%d].ua_filter: %w", i, err)
			}
		}
		o.Choices[o.Hosts.Names()[slices.Index(cfg.Domains, d.Domain)]] = c
	}
	return nil
}

// userAgents reads a filter; nil stands for none.
func userAgents(filter string) (*regexp.Regexp, error) {
	if filter == "" {
		return nil, nil //nolint:nilnil // No filter: that is no error.
	}
	return regexp.Compile(filter)
}

// aorOf reads an address of record, which may be written without a scheme, and without
// a domain if that is the first one.
func aorOf(hosts *domain.Set, s string) (usrloc.AOR, error) {
	if !strings.HasPrefix(s, "sip:") && !strings.HasPrefix(s, "sips:") {
		s = "sip:" + s
	}
	_, user, _ := strings.Cut(s, ":")
	if home := hosts.Names(); len(home) > 0 && user != "" && !strings.ContainsAny(user, "@:") && !hosts.Serves(user) {
		s += "@" + home[0]
	}
	u, err := sipmsg.ParseURI(s)
	if err != nil {
		return "", err
	}
	aor, _, err := hosts.AOR(u)
	return aor, err
}
