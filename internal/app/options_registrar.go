package app

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"reveille/configs"
	"reveille/purr"
	"reveille/registrar"
	"reveille/usrloc"
)

// registrarPolicy translates what REGISTER may do. reachable says which bindings
// can be reached at this moment.
func registrarPolicy(cfg *configs.Config, waking registrar.Waking, keys *purr.Keyring, reachable func(*usrloc.Binding) bool) (registrar.Policy, error) {
	r := cfg.Registrar
	p := registrar.DefaultPolicy(cfg.Domains...)
	p.FoldUser, p.Aliases = !r.AOR.CaseSensitive, map[string]string{}
	for _, a := range cfg.Aliases() {
		p.Aliases[a.Alias] = a.Domain
	}
	p.DefaultQ = usrloc.QUnset
	if r.DefaultQ >= 0 {
		p.DefaultQ = usrloc.Q(r.DefaultQ*1000 + 0.5)
	}
	p.StaleStatus, p.RetryAfter = int(r.StaleStatus), r.RetryAfter
	p.MaxUser, p.MaxDomain, p.MaxAOR, p.MaxContact = cfg.Limits.UsernameLen, cfg.Limits.DomainLen, cfg.Limits.AORLen, cfg.Limits.ContactLen
	p.RequestContactsOnly = r.Reply.Contacts == configs.ReplyRequest
	p.ReceivedParam, p.Capture = r.Reply.ReceivedParam, r.CaptureHeaders
	setLifetimes(&p, r.Expires)
	setOverflow(&p, r, reachable)
	setExtensions(&p, r, keys)
	var err error
	if p.Match, p.MatchParam, err = match(r.Match); err != nil {
		return p, err
	}
	if p.Rules, err = registrarRules(cfg); err != nil {
		return p, err
	}
	if cfg.Push.Enabled {
		setPush(&p, cfg.Push, waking, keys)
		if p.Push.Mappings, err = mappings(cfg.Push.Mappings); err != nil {
			return p, err
		}
	}
	return p, nil
}

func setLifetimes(p *registrar.Policy, e configs.Expires) {
	p.DefaultExpires, p.MinExpires, p.MaxExpires = e.Default, e.Min, e.Max
	if e.MinMode == configs.Reject {
		p.ShortExpires = registrar.Reject
	}
	p.Jitter = registrar.Jitter{
		Time: e.Jitter.Time, Percent: e.Jitter.Percent,
		Both: e.Jitter.Mode == configs.JitterPlusMinus, DefaultOnly: e.Jitter.AppliesTo == configs.JitterDefault,
	}
}

func setOverflow(p *registrar.Policy, r configs.Registrar, reachable func(*usrloc.Binding) bool) {
	p.MaxContacts, p.OverflowStatus = r.MaxContacts, int(r.OverflowStatus)
	switch {
	case r.SingleContact:
		p.MaxContacts, p.Overflow = 1, registrar.ReplaceOldest
	case r.Overflow == configs.ReplaceOldest:
		p.Overflow = registrar.ReplaceOldest
	case r.Overflow == configs.ReplaceUnavailable:
		p.Overflow, p.Reachable = registrar.ReplaceUnavailable, reachable
	}
}

// setExtensions is for RFC 3327, 3608, 5626 and 5627.
func setExtensions(p *registrar.Policy, r configs.Registrar, keys *purr.Keyring) {
	p.Path = pathMode(r.Path.Mode)
	p.PathReceived, p.ServiceRoute = r.Path.UseReceived, r.ServiceRoute
	if r.GRUU.Enabled {
		p.GRUU = keys
	}
	p.Outbound.FlowTimer = r.Outbound.FlowTimer
	switch r.Outbound.Mode {
	case configs.OutboundOn:
		p.Outbound.Mode = registrar.OutboundOn
	case configs.OutboundOff:
		p.Outbound.Mode = registrar.OutboundOff
	case configs.OutboundRequired:
		p.Outbound.Mode = registrar.OutboundRequired
	}
}

// pathMode translates a name that configs has checked.
func pathMode(m configs.PathMode) registrar.PathMode {
	switch m {
	case configs.PathOff:
		return registrar.PathOff
	case configs.PathStrict:
		return registrar.PathStrict
	default:
		return registrar.PathLazy
	}
}

// setPush is for RFC 8599.
func setPush(p *registrar.Policy, c configs.Push, waking registrar.Waking, keys *purr.Keyring) {
	p.Push.Waking = waking
	if c.PURR.Enabled {
		p.Push.PURR = keys
	}
	p.Push.MaxExpires, p.Push.Lead, p.Push.PNSReg = c.Expires.Max, c.TriggerInterval, c.PNSRegInterval
	p.Push.NoBackground = c.IOS.Background == configs.NeverBackground
	p.Push.Leads = map[string]time.Duration{}
	for provider, lead := range c.TriggerIntervals {
		p.Push.Leads[strings.ToLower(provider)] = lead
	}
	// RFC 8599 §5.6.1.1: a binding must not end before its refresh push can be
	// sent; a second is the least that a lifetime can be longer by.
	p.Push.MinExpires = max(c.Expires.Min, p.Push.Lead+time.Second)
	if c.Dormant.Enabled {
		p.Push.Retain = c.Dormant.Retain
	}
	p.Push.TooShort = registrar.TooShortReject
	if c.Expires.Short == configs.TooShortAccept {
		p.Push.TooShort = registrar.TooShortWithoutPush
	}
	p.Push.Unsupported = registrar.AcceptWithoutPush
	if c.Unsupported == configs.RejectPush {
		p.Push.Unsupported = registrar.RejectUnsupported
	}
}

// mappings translates those for older apps.
func mappings(list []configs.Mapping) ([]registrar.Mapping, error) {
	var all []registrar.Mapping
	for i, c := range list {
		m := registrar.Mapping{Contact: c.Contact, Header: c.Header, Provider: c.Provider, Param: c.Param, PRID: c.PRID}
		if c.UserAgent != "" {
			var err error
			if m.UserAgent, err = regexp.Compile(c.UserAgent); err != nil {
				return nil, fmt.Errorf("push.mappings[%d].user_agent: %w", i, err)
			}
		}
		if err := m.Check(); err != nil {
			return nil, fmt.Errorf("push.mappings[%d]: %w", i, err)
		}
		all = append(all, m)
	}
	return all, nil
}

// registrarRules are those for phones, and what is said of single users.
func registrarRules(cfg *configs.Config) ([]registrar.Rule, error) {
	var rules []registrar.Rule
	for i, r := range cfg.Registrar.Rules {
		rule := registrar.Rule{
			Domain: r.Domain, DefaultExpires: r.Default, MinExpires: r.Min, MaxExpires: r.Max, MaxContacts: r.MaxContacts,
		}
		if r.Path != "" {
			mode := pathMode(r.Path)
			rule.Path = &mode
		}
		if r.UserAgent != "" {
			var err error
			if rule.UserAgent, err = regexp.Compile(r.UserAgent); err != nil {
				return nil, fmt.Errorf("registrar.rules[%d].user_agent: %w", i, err)
			}
		}
		rules = append(rules, rule)
	}
	hosts, err := domainSet(cfg)
	if err != nil {
		return nil, err
	}
	for i := range cfg.AORs {
		a := &cfg.AORs[i]
		if !a.Registers() {
			continue
		}
		aor, err := aorOf(hosts, a.AOR)
		if err != nil {
			return nil, fmt.Errorf("aors[%d].aor: %w", i, err)
		}
		rules = append(rules, registrar.Rule{
			AOR: aor, DefaultExpires: a.Default, MinExpires: a.Min, MaxExpires: a.Max, MaxContacts: a.MaxContacts,
		})
	}
	return rules, nil
}

func match(s string) (registrar.Match, string, error) {
	const param = "param:"
	switch {
	case s == "contact":
		return registrar.MatchURI, "", nil
	case s == "contact_callid":
		return registrar.MatchURICallID, "", nil
	case len(s) > len(param) && s[:len(param)] == param:
		return registrar.MatchParameter, s[len(param):], nil
	}
	return 0, "", fmt.Errorf("registrar.match: %q is none of contact, contact_callid, param:NAME", s)
}

// reachable reports whether a binding can be called now: it can be woken, or its
// flow exists.
func (a *App) reachable(b *usrloc.Binding) bool {
	return !b.Push.IsZero() || len(b.Path) > 0 || a.transport.Open(b.Flow)
}
