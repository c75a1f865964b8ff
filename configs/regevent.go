package configs

import (
	"fmt"
	"regexp"
	"slices"
	"time"
)

// RegEvent says who may watch registrations, and how (RFC 3680).
type RegEvent struct {
	Enabled bool `yaml:"enabled"`
	// Watchers are users who may watch everybody; Trusted: those of auth.trusted may.
	Watchers []string        `yaml:"watchers"`
	Trusted  bool            `yaml:"trusted"`
	Expires  RegEventExpires `yaml:"expires"`
	// Interval is the least time between two notifications of a subscription.
	Interval time.Duration `yaml:"interval" range:"0s..1h"`
	// Refreshes: refreshes that change nothing but times are told.
	Refreshes bool `yaml:"refreshes"`
	// Max bounds all subscriptions, MaxPerUser those that one user has.
	Max        int `yaml:"max" range:"1..10000000"`
	MaxPerUser int `yaml:"max_per_user" range:"1..1000"`
}

// RegEventExpires bounds the lifetimes of subscriptions.
type RegEventExpires struct {
	Default time.Duration `yaml:"default" range:"1s..720h"`
	Min     time.Duration `yaml:"min" range:"1s..1h"`
	Max     time.Duration `yaml:"max" range:"1s..720h"`
}

// EventRoute is where SUBSCRIBE and PUBLISH for users go that are about an event
// package.
type EventRoute struct {
	Event string `yaml:"event"`
	// Route is the name of one of the routes.
	Route string `yaml:"route"`
}

func defaultRegEvent() RegEvent {
	return RegEvent{
		Enabled: true,
		// RFC 3680 §4.4, §4.10.
		Expires:  RegEventExpires{Default: 3761 * time.Second, Min: time.Minute, Max: day},
		Interval: 5 * time.Second, Refreshes: true, Max: 10_000, MaxPerUser: 16,
	}
}

// eventName is the name of an event package (RFC 6665 §8.4).
var eventName = regexp.MustCompile(`^[a-zA-Z0-9_!%*+` + "`" + `'~-]+(\.[a-zA-Z0-9_!%*+` + "`" + `'~-]+)*$`)

func (l *loader) checkRegEvent(cfg *Config) {
	r := &cfg.Registrar.RegEvent
	const at = "registrar.reg_event"
	if e := r.Expires; e.Default < e.Min || e.Default > e.Max {
		l.errorAt(at+".expires.default", fmt.Sprintf("%s is not between min, %s, and max, %s",
			formatDuration(e.Default), formatDuration(e.Min), formatDuration(e.Max)), "")
	}
	for i, w := range r.Watchers {
		l.checkAOR(cfg.Domains, fmt.Sprintf("%s.watchers[%d]", at, i), w)
	}
	// A subscription watches the user and, if it is a phone's, that phone's.
	taken, what := 2*r.Max, fmt.Sprintf("%d subscriptions", r.Max)
	if cfg.Messages.Policy == StoreMessages {
		taken += cfg.MessageUsers()
		what += " and messages.policy"
	}
	if r.Enabled && taken > cfg.Limits.Watches/4*3 {
		l.errorAt(at+".max", fmt.Sprintf("%s may take %d of limits.watches, %d, and leave less than a quarter for calls", what, taken, cfg.Limits.Watches),
			"lower it, or raise limits.watches")
	}
}

// checkEventPackages looks at what is said about event packages.
func (l *loader) checkEventPackages(cfg *Config) {
	var routes []string
	for _, r := range cfg.Proxy.Routes {
		routes = append(routes, r.Name)
	}
	seen := map[string]bool{}
	for i, e := range cfg.Proxy.EventRoutes {
		at := fmt.Sprintf("proxy.event_routes[%d]", i)
		switch {
		case e.Event == "":
			l.required(at+".event", "write message-summary")
		case !eventName.MatchString(e.Event):
			l.errorAt(at+".event", fmt.Sprintf("%q is no event package", e.Event), "write message-summary")
		case e.Event == "reg" && cfg.Registrar.RegEvent.Enabled:
			l.errorAt(at+".event", "reg is served here", "set registrar.reg_event.enabled: false")
		case seen[e.Event]:
			l.errorAt(at+".event", fmt.Sprintf("%q comes twice", e.Event), "")
		}
		seen[e.Event] = true
		if e.Route == "" {
			l.required(at+".route", "name one of the routes")
		} else if !slices.Contains(routes, e.Route) {
			l.errorAt(at+".route", fmt.Sprintf("%q is none of proxy.routes", e.Route), suggest(e.Route, routes))
		}
	}
	for i, e := range cfg.Push.Events {
		if !eventName.MatchString(e) {
			l.errorAt(fmt.Sprintf("push.events[%d]", i), fmt.Sprintf("%q is no event package", e), "write message-summary")
		}
	}
}
