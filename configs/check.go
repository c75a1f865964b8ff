package configs

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// check looks at what no single value can tell: references, names that come
// twice, files, and settings that do not fit each other. It also puts values
// into the form that Config promises.
func (l *loader) check(cfg *Config) {
	l.checkFiles(cfg)
	l.checkListen(cfg)
	l.checkTransport(cfg)
	l.checkDomains(cfg)
	l.checkRegistrar(cfg)
	l.checkLocation(&cfg.Location)
	l.checkAuth(cfg)
	l.checkACL(cfg)
	l.checkGuard(&cfg.Guard)
	l.checkPush(cfg)
	l.checkWake(cfg)
	l.checkProxy(&cfg.Proxy)
	l.checkEmergency(&cfg.Proxy)
	l.checkDNS(&cfg.DNS)
	l.checkMedia(cfg)
	l.checkAORs(cfg)
	l.checkProxyDomains(cfg)
	l.checkFallbacks(cfg)
	l.checkRegEvent(cfg)
	l.checkEventPackages(cfg)
	l.checkTrustedRoutes(cfg)
	l.checkHooks(&cfg.Hooks)
	l.checkEvents(cfg)
	l.checkHEP(&cfg.HEP)
	l.checkOTLP(&cfg.OTLP)
	l.checkMessages(cfg)
	l.checkHTTP(cfg)
	l.checkControl(cfg)
	l.checkOpen(cfg)
}

// nameSyntax is what listeners, apps and routes may be called: the names show
// up in metrics and logs.
var nameSyntax = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,32}$`)

// names checks the names of list elements: present, well formed, unique.
type names map[string]int

func (l *loader) checkName(seen names, list string, i int, name string) {
	path := fmt.Sprintf("%s[%d].name", list, i)
	first, twice := seen[name]
	switch {
	case name == "":
		l.errorAt(path, "is missing", "")
	case !nameSyntax.MatchString(name):
		l.errorAt(path, fmt.Sprintf("%q is no name", name), "use 1 to 32 letters, digits, - and _")
	case twice:
		l.errorAt(path, fmt.Sprintf("%q is also the name of %s[%d]", name, list, first), "")
	default:
		seen[name] = i
	}
}

func (l *loader) checkListen(cfg *Config) {
	if len(cfg.Listen) == 0 {
		l.errorAt("listen", "names no listener", "remove the key to listen on 127.0.0.1:5060")
	}
	seen, bound := names{}, map[string]int{}
	for i, ln := range cfg.Listen {
		at := fmt.Sprintf("listen[%d]", i)
		l.checkName(seen, "listen", i, ln.Name)
		if ln.Transport == "" {
			l.required(at+".transport", "write udp, tcp, tls, ws or wss")
		}
		l.checkTLS(at, ln)
		l.checkWebSocket(at, ln)
		l.checkProxyProtocol(at, ln)
		addr, ok := l.checkHostPort(at+".addr", ln.Addr)
		if !ok {
			continue
		}
		key := "stream " + addr.String()
		if ln.Transport == UDP {
			key = "udp " + addr.String()
		}
		if first, twice := bound[key]; twice && addr.Port() != 0 {
			l.errorAt(at+".addr", fmt.Sprintf("is also the address of listen[%d]", first), "")
		}
		bound[key] = i
		l.checkAdvertise(at, ln, addr.Addr())
	}
}

// checkAdvertise warns where phones would be told an address that most of them
// cannot reach.
func (l *loader) checkAdvertise(at string, ln Listen, bind netip.Addr) {
	if ln.Advertise != "" {
		if !validHost(hostOf(ln.Advertise)) {
			l.errorAt(at+".advertise", fmt.Sprintf("%q is no host or host:port", ln.Advertise), "write sip.example.com or 192.0.2.7:5060")
		}
		return
	}
	switch {
	case bind.IsUnspecified():
		l.warnAt(at+".advertise", "is not set while the listener is bound to every address: Record-Route and Path will name "+
			"an address of this machine that others may not reach", "set it to the public name or address")
	case bind.IsPrivate() || bind.IsLinkLocalUnicast():
		l.warnAt(at+".advertise", fmt.Sprintf("is not set while %s is a private address: phones outside that network "+
			"cannot reach it", bind), "set it to the public name or address")
	}
}

func (l *loader) checkTransport(cfg *Config) {
	t := &cfg.Transport
	if t.MaxConnsPerSource > t.MaxConns {
		l.errorAt("transport.max_conns_per_source", fmt.Sprintf("%d is more than max_conns, %d", t.MaxConnsPerSource, t.MaxConns), "")
	}
	if t.FlowFresh > t.IdleTimeout {
		l.errorAt("transport.flow_fresh", fmt.Sprintf("%s is longer than idle_timeout, %s",
			formatDuration(t.FlowFresh), formatDuration(t.IdleTimeout)), "connections would be closed while they count as alive")
	}
	var listeners []string
	for _, ln := range cfg.Listen {
		listeners = append(listeners, ln.Name)
	}
	seen := map[netip.Prefix]int{}
	for i, r := range t.Rules {
		at := fmt.Sprintf("transport.rules[%d]", i)
		if r.Listener == "" {
			l.required(at+".listener", "name one of the listeners")
		} else if !slices.Contains(listeners, r.Listener) {
			l.errorAt(at+".listener", fmt.Sprintf("no listener is called %q", r.Listener), suggest(r.Listener, listeners))
		}
		if !l.checkPrefix(at+".prefix", r.Prefix) {
			continue
		}
		if first, twice := seen[r.Prefix]; twice {
			l.errorAt(at+".prefix", fmt.Sprintf("is also the prefix of transport.rules[%d]", first), "")
		}
		seen[r.Prefix] = i
	}
}

func (l *loader) checkDomains(cfg *Config) {
	if len(cfg.Domains) == 0 {
		l.errorAt("domains", "names no domain", "name the domain behind the @ of your users")
	}
	seen := map[string]bool{}
	for i, d := range cfg.Domains {
		at := fmt.Sprintf("domains[%d]", i)
		d = strings.ToLower(d)
		cfg.Domains[i] = d
		switch {
		case !validHost(d):
			l.errorAt(at, fmt.Sprintf("%q is no domain", d), "write example.com, without scheme and port")
		case seen[d]:
			l.errorAt(at, fmt.Sprintf("%q comes twice", d), "")
		}
		seen[d] = true
	}
	l.checkAliases(cfg, seen)
}

func (l *loader) checkProxy(p *Proxy) {
	if _, err := regexp.Compile(p.UAFilter); err != nil {
		l.errorAt("proxy.ua_filter", err.Error(), "the syntax is that of RE2")
	}
	seen := names{}
	for i, r := range p.Routes {
		at := fmt.Sprintf("proxy.routes[%d]", i)
		l.checkName(seen, "proxy.routes", i, r.Name)
		if r.Domain == "" && r.Prefix == "" {
			l.errorAt(at, "matches everything", "set domain, prefix or both")
		}
		if r.Domain != "" && r.Domain != "*" && !validHost(r.Domain) {
			l.errorAt(at+".domain", fmt.Sprintf("%q is no domain", r.Domain), "")
		}
		l.checkNextHops(at, &r)
	}
}

// checkOpen is the guard against an open server: unless the file says so in
// words, registering from elsewhere takes a password or a trusted address.
func (l *loader) checkOpen(cfg *Config) {
	open := cfg.Security.Open
	if open != "" && open != OpenSentence {
		l.errorAt("security.open", fmt.Sprintf("%q is not the sentence that opens the server", open), fmt.Sprintf("write %q or remove the key", OpenSentence))
	}
	if open == OpenSentence {
		return
	}
	for i, t := range cfg.Auth.Trusted {
		if t.CIDR.IsValid() && t.CIDR.Bits() == 0 {
			l.errorAt(fmt.Sprintf("auth.trusted[%d].cidr", i), "trusts every address there is",
				fmt.Sprintf("name your networks, or write security.open: %q", OpenSentence))
		}
	}
	if len(cfg.Auth.Trusted) > 0 {
		return
	}
	for i := range cfg.Listen {
		ln := &cfg.Listen[i]
		if addr, err := parseHostPort(ln.Addr); err == nil && !addr.Addr().IsLoopback() && cfg.AuthModes(ln).Registrar != Required {
			l.errorAt(fmt.Sprintf("listen[%d].addr", i), ln.Addr+" is open to others, but nobody has to authenticate",
				fmt.Sprintf("set auth.mode.registrar: required or auth.trusted, or write security.open: %q", OpenSentence))
		}
	}
}
