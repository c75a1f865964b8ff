package app

import (
	"fmt"
	"regexp"
	"strings"

	"reveille/configs"
	"reveille/internal/domain"
	"reveille/internal/proxy"
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
	if cfg.Proxy.UAFilter != "" {
		re, err := regexp.Compile(cfg.Proxy.UAFilter)
		if err != nil {
			return fmt.Errorf("proxy.ua_filter: %w", err)
		}
		o.UserAgents = re
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
			entry.Contacts = append(entry.Contacts, proxy.Contact{URI: u})
		}
		for j, r := range a.Rings {
			other, err := aorOf(o.Hosts, r)
			if err != nil {
				return fmt.Errorf("aors[%d].rings[%d]: %w", i, j, err)
			}
			entry.Rings = append(entry.Rings, other)
		}
		o.AORs[aor] = entry
	}
	return nil
}

// aorOf reads an address of record, which may be written without a scheme.
func aorOf(hosts *domain.Set, s string) (usrloc.AOR, error) {
	if !strings.HasPrefix(s, "sip:") && !strings.HasPrefix(s, "sips:") {
		s = "sip:" + s
	}
	u, err := sipmsg.ParseURI(s)
	if err != nil {
		return "", err
	}
	aor, _, err := hosts.AOR(u)
	return aor, err
}
