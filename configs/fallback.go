package configs

import (
	"fmt"
	"slices"
	"strings"
)

// Fallback is where calls go that nobody of a user takes.
type Fallback struct {
	// When are the reasons that it is for; none: all.
	When []Missed `yaml:"when"`
	// Route is the name of one of the routes, To the new Request-URI: without a route
	// that of a user in one of the domains, with one it may be empty.
	Route string `yaml:"route"`
	To    string `yaml:"to"`
	// Diversion says how the new target learns who was called; empty: ByDiversion.
	Diversion Diversion `yaml:"diversion"`
}

// Missed is a reason why nobody takes a call.
type Missed string

// MissedTimeout: a phone that sleeps did not wake in time.
const (
	MissedBusy        Missed = "busy"
	MissedNoAnswer    Missed = "no_answer"
	MissedTimeout     Missed = "timeout"
	MissedUnreachable Missed = "unreachable"
)

func (Missed) values() []string {
	return []string{string(MissedBusy), string(MissedNoAnswer), string(MissedTimeout), string(MissedUnreachable)}
}

// Diversion is a header field that says who was called.
type Diversion string

// RFC 5806, RFC 7044, or neither.
const (
	ByDiversion   Diversion = "diversion"
	ByHistoryInfo Diversion = "history_info"
	NoDiversion   Diversion = "none"
)

func (Diversion) values() []string {
	return []string{string(ByDiversion), string(ByHistoryInfo), string(NoDiversion)}
}

// checkFallbacks looks at the rules for all, and at those of single users.
func (l *loader) checkFallbacks(cfg *Config) {
	l.checkFallbackList(cfg, "proxy.fallback", cfg.Proxy.Fallback)
	for i, a := range cfg.AORs {
		at := fmt.Sprintf("aors[%d]", i)
		l.checkFallbackList(cfg, at+".fallback", a.Fallback)
		if a.NoFallback && len(a.Fallback) > 0 {
			l.errorAt(at+".no_fallback", "the user has a fallback", "remove one of the two")
		}
	}
	if cfg.Proxy.RingTotal > 0 && !cfg.answersFor(MissedNoAnswer) {
		l.warnAt("proxy.ring_total", "no fallback takes calls that nobody answers", "phones ring as long as the caller likes")
	}
}

// answersFor reports whether there is a fallback for m.
func (c *Config) answersFor(m Missed) bool {
	fits := func(f Fallback) bool { return len(f.When) == 0 || slices.Contains(f.When, m) }
	return slices.ContainsFunc(c.Proxy.Fallback, fits) ||
		slices.ContainsFunc(c.AORs, func(a AOR) bool { return slices.ContainsFunc(a.Fallback, fits) })
}

// mailboxOf is a target with a name in place of {user} and, behind the @, {aor}.
func mailboxOf(to string) string {
	at := strings.LastIndexByte(to, '@') + 1
	return strings.ReplaceAll(to[:at]+strings.ReplaceAll(to[at:], "{aor}", "user"), "{user}", "user")
}

func (l *loader) checkFallbackList(cfg *Config, list string, rules []Fallback) {
	var routes []string
	for _, r := range cfg.Proxy.Routes {
		routes = append(routes, r.Name)
	}
	taken := map[Missed]int{}
	for i, f := range rules {
		at := fmt.Sprintf("%s[%d]", list, i)
		switch {
		case f.Route == "" && f.To == "":
			l.errorAt(at, "leads nowhere", "set route, or to, e.g. sip:voicemail@"+cfg.Domains[0])
		case f.Route == "":
			l.checkAOR(cfg.Domains, at+".to", f.To)
		case !slices.Contains(routes, f.Route):
			l.errorAt(at+".route", fmt.Sprintf("%q is none of proxy.routes", f.Route), suggest(f.Route, routes))
		case strings.ContainsAny(mailboxOf(f.To), "{}"):
			l.errorAt(at+".to", fmt.Sprintf("%q has a name in braces that stands for nothing there", f.To), "write {user}, or {aor} behind the @")
		case f.To != "" && !contactSyntax.MatchString(mailboxOf(f.To)):
			l.errorAt(at+".to", fmt.Sprintf("%q is no SIP URI", f.To), "write sip:box@voicemail.example.com")
		}
		when := f.When
		if len(when) == 0 {
			when = []Missed{MissedBusy, MissedNoAnswer, MissedTimeout, MissedUnreachable}
		}
		covered := 0
		for _, m := range when {
			if first, ok := taken[m]; !ok {
				taken[m] = i
			} else if covered++; covered == len(when) {
				l.errorAt(at, "is never reached", fmt.Sprintf("%s[%d] takes these calls", list, first))
			}
		}
	}
}
