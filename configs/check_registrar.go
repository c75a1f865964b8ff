package configs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

func (l *loader) checkRegistrar(cfg *Config) {
	r := &cfg.Registrar
	l.checkExpires(&r.Expires)
	if r.DefaultQ < 0 && r.DefaultQ != -1 {
		l.errorAt("registrar.default_q", fmt.Sprintf("%v is neither -1 nor between 0 and 1", r.DefaultQ), "")
	}
	if r.SingleContact && (l.nodes["registrar.max_contacts"] != nil || l.nodes["registrar.overflow"] != nil) {
		l.errorAt("registrar.single_contact", "excludes max_contacts and overflow", "remove one of them")
	}
	if r.Match != "contact" && r.Match != "contact_callid" && !matchParam.MatchString(r.Match) {
		l.errorAt("registrar.match", fmt.Sprintf("%q is no way to match contacts", r.Match), "write contact, contact_callid or param:NAME")
	}
	for i, uri := range r.ServiceRoute {
		if !serviceRoute.MatchString(uri) || !hasLR(uri) {
			l.errorAt(fmt.Sprintf("registrar.service_route[%d]", i), fmt.Sprintf("%q is no SIP URI with lr", uri), "write sip:proxy.example.com;lr")
		}
	}
	if r.Path.Mode == PathOff && r.Outbound.Mode != OutboundOff {
		// RFC 5626 §6.
		l.errorAt("registrar.path.mode", "is off, but outbound is not", "set registrar.outbound.mode: off, too")
	}
	if o := r.Outbound; o.Mode != OutboundOff && o.FlowTimer != 0 && o.FlowTimer >= cfg.Transport.FlowFresh {
		l.errorAt("registrar.outbound.flow_timer", fmt.Sprintf("%s is not shorter than transport.flow_fresh, %s",
			formatDuration(o.FlowTimer), formatDuration(cfg.Transport.FlowFresh)), "phones would count as asleep before they send anything")
	}
	if r.Reply.ReceivedParam != "" && !parameterName.MatchString(r.Reply.ReceivedParam) {
		l.errorAt("registrar.reply.received_param", fmt.Sprintf("%q is no name of a parameter", r.Reply.ReceivedParam), "write received")
	}
	if len(r.CaptureHeaders) > 8 {
		l.errorAt("registrar.capture_headers", "names more than 8", "")
	}
	for i, name := range r.CaptureHeaders {
		at := fmt.Sprintf("registrar.capture_headers[%d]", i)
		if !parameterName.MatchString(name) {
			l.errorAt(at, fmt.Sprintf("%q is no name of a header field", name), "write X-Device")
		}
		switch strings.ToLower(name) {
		case "contact", "m", "authorization", "proxy-authorization":
			// What is kept is told to others.
			l.errorAt(at, fmt.Sprintf("%q holds push tokens or proofs of passwords", name), "")
		}
	}
	l.checkQualify(cfg)
	l.checkRules(cfg)
	for i, u := range cfg.Auth.Users {
		if !r.AOR.CaseSensitive && u.Name != strings.ToLower(u.Name) {
			l.errorAt(fmt.Sprintf("auth.users[%d].name", i), fmt.Sprintf("%q is not in lower case, and registrar.aor.case_sensitive is false", u.Name), "")
		}
	}
}

func (l *loader) checkQualify(cfg *Config) {
	q, p := &cfg.Registrar.Qualify, &cfg.Proxy
	if q.Interval == 0 {
		const hint = "set registrar.qualify.interval"
		if p.Sort == SortLatency {
			l.errorAt("proxy.sort", "needs to know how fast phones are", hint)
		}
		if p.MaxLatency != 0 {
			l.errorAt("proxy.max_latency", "needs to know how fast phones are", hint)
		}
		return
	}
	if q.Interval < time.Second || q.Interval < q.Timeout {
		l.errorAt("registrar.qualify.interval", fmt.Sprintf("%s is less than a second or than the timeout, %s",
			formatDuration(q.Interval), formatDuration(q.Timeout)), "write 60s")
	}
	if p.MaxLatency > q.Timeout {
		l.errorAt("proxy.max_latency", fmt.Sprintf("%s is longer than registrar.qualify.timeout, %s",
			formatDuration(p.MaxLatency), formatDuration(q.Timeout)), "")
	}
}

// matchParam is the third form of registrar.match: a URI parameter by name.
var matchParam = regexp.MustCompile(`^param:[a-zA-Z0-9_.+~-]+$`)

// serviceRoute is a route of ours: user, host, port and parameters.
var serviceRoute = regexp.MustCompile(`^sips?:([^\s<>"?;@]+@)?(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9.-]+)(:\d{1,5})?(;[^\s<>"?]+)+$`)

// hasLR reports whether a route has the parameter lr.
func hasLR(uri string) bool {
	return slices.ContainsFunc(strings.Split(uri, ";")[1:], func(p string) bool {
		name, _, _ := strings.Cut(p, "=")
		return strings.EqualFold(name, "lr")
	})
}

// parameterName is a token (RFC 3261 §25.1) that nobody mistakes for syntax.
var parameterName = regexp.MustCompile(`^[a-zA-Z0-9_.+~-]+$`)

func (l *loader) checkExpires(e *Expires) {
	if e.Default < e.Min || e.Default > e.Max {
		l.errorAt("registrar.expires.default", fmt.Sprintf("%s is not between min, %s, and max, %s",
			formatDuration(e.Default), formatDuration(e.Min), formatDuration(e.Max)), "")
	}
	if e.Min > e.Max {
		l.errorAt("registrar.expires.min", fmt.Sprintf("%s is longer than max, %s", formatDuration(e.Min), formatDuration(e.Max)), "")
	}
	if e.Jitter.Time > e.Max/2 {
		l.errorAt("registrar.expires.jitter.time", fmt.Sprintf("%s is more than half of max, %s",
			formatDuration(e.Jitter.Time), formatDuration(e.Max)), "")
	}
}

func (l *loader) checkRules(cfg *Config) {
	names := cfg.Domains
	for i, r := range cfg.Registrar.Rules {
		at := fmt.Sprintf("registrar.rules[%d]", i)
		if r.Domain != "" && !slices.Contains(names, strings.ToLower(r.Domain)) {
			l.errorAt(at+".domain", fmt.Sprintf("%q is not among the domains", r.Domain), suggest(r.Domain, names))
		}
		if _, err := regexp.Compile(r.UserAgent); err != nil {
			l.errorAt(at+".user_agent", err.Error(), "the syntax is that of RE2")
		}
		if r.Path == PathOff && cfg.Registrar.Outbound.Mode != OutboundOff {
			// RFC 5626 §6.
			l.errorAt(at+".path", "is off, but registrar.outbound.mode is not", "")
		}
		l.checkLifetimes(cfg, at, r.Min, r.Max)
	}
}

// checkLifetimes looks at bounds of which 0 stands for those of registrar.expires.
func (l *loader) checkLifetimes(cfg *Config, at string, least, most time.Duration) {
	if least == 0 {
		least = cfg.Registrar.Expires.Min
	}
	if most == 0 {
		most = cfg.Registrar.Expires.Max
	}
	if least > most {
		l.errorAt(at, fmt.Sprintf("lifetimes would be at least %s and at most %s", formatDuration(least), formatDuration(most)), "")
	}
}
