package configs

import (
	"fmt"
	"regexp"
	"slices"
	"time"
)

// checkWaking is about when phones are woken and how long requests wait for them.
func (l *loader) checkWaking(p *Push) {
	l.checkPlatform(p)
	providers := p.providers()
	for provider := range p.Policy.Providers {
		l.checkProvider("push.policy.providers."+provider, provider, providers)
	}
	for provider := range p.SkipInterval.Providers {
		l.checkProvider("push.skip_interval.providers."+provider, provider, providers)
	}
	for i, u := range p.Policy.UserAgents {
		at := fmt.Sprintf("push.policy.user_agents[%d]", i)
		switch _, err := regexp.Compile(u.UserAgent); {
		case u.UserAgent == "":
			l.required(at+".user_agent", "push.policy.default is for all phones")
		case err != nil:
			l.errorAt(at+".user_agent", err.Error(), "the syntax is that of RE2")
		}
		if u.Policy == "" {
			l.required(at+".policy", "write race, asleep or always")
		}
	}
	for i, m := range p.Methods {
		l.checkMethod(fmt.Sprintf("push.methods[%d]", i), m)
	}
	if d := p.Dormant; d.WakeEvery > d.Retain {
		l.errorAt("push.dormant.wake_every", fmt.Sprintf("%s is longer than retain, %s", formatDuration(d.WakeEvery), formatDuration(d.Retain)),
			"no phone would be woken")
	}
	for i := range p.Wait.Rules {
		l.checkWaitRule(&p.Wait.Rules[i], fmt.Sprintf("push.wait.rules[%d]", i), providers)
	}
}

// providers returns the pn-providers of the apps.
func (p *Push) providers() []string {
	var list []string
	for i := range p.Apps {
		if provider := p.Apps[i].Provider; provider != "" && !slices.Contains(list, provider) {
			list = append(list, provider)
		}
	}
	return list
}

func (l *loader) checkProvider(path, provider string, known []string) {
	if !slices.Contains(known, provider) {
		l.errorAt(path, "no app in push.apps has this provider", suggest(provider, known))
	}
}

// methodSyntax is RFC 3261 §25.1: a token. Those in use are in capitals.
var methodSyntax = regexp.MustCompile(`^[A-Z][A-Z0-9.!%*_+-]{0,31}$`)

// checkMethod wants a method that can wake a phone.
func (l *loader) checkMethod(path, method string) {
	switch {
	case !methodSyntax.MatchString(method):
		l.errorAt(path, fmt.Sprintf("%q is no method", method), "write it in capitals")
	case slices.Contains([]string{"ACK", "CANCEL", "PRACK", "REGISTER", "SUBSCRIBE", "PUBLISH"}, method):
		l.errorAt(path, method+" never wakes a phone", "")
	}
}

func (l *loader) checkWaitRule(r *WaitRule, at string, providers []string) {
	if r.Method != "" {
		l.checkMethod(at+".method", r.Method)
	}
	if r.Provider != "" {
		l.checkProvider(at+".provider", r.Provider, providers)
	}
	switch longest := 30 * time.Second; {
	case r.Wait == 0:
		l.required(at+".wait", "write a duration such as 20s")
	case r.Wait > longest && (r.Method != "INVITE" || r.InDialog):
		// RFC 3261 §17.1.2.2, Timer F.
		l.errorAt(at+".wait", fmt.Sprintf("%s is longer than %s", formatDuration(r.Wait), formatDuration(longest)),
			"senders of requests other than a new INVITE give up after 32s")
	}
}
