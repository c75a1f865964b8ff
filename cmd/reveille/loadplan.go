package main

import (
	"math"
	"time"

	"reveille/internal/load"
)

// first is the phase that every scenario begins with: all phones register.
func (l *loadFlags) first() load.Phase {
	pace := load.Pace{Count: l.phones, Window: l.window, Rate: l.rate}
	if l.over > 0 {
		pace.Rate = float64(l.phones) / l.over.Seconds()
	}
	return load.Phase{Name: "register", Register: pace}
}

func registerPlan(l *loadFlags, o *load.Options) { o.Phases = []load.Phase{l.first()} }

func refreshPlan(l *loadFlags, o *load.Options) {
	o.Phases = []load.Phase{l.first(), {
		Name: "refresh", Random: l.random,
		Register: load.Pace{For: l.duration, Window: l.refreshWindow, Rate: l.refreshRate},
	}}
}

// settled is the phase in which phones fall asleep and are forgotten.
func (l *loadFlags) settled() load.Phase {
	return load.Phase{Name: "settle", Sleep: true, Lasts: l.settle}
}

// sleepers is how many phones must sleep for that many calls.
func (l *loadFlags) sleepers(calls float64) int { return int(math.Ceil(calls * l.asleep)) }

func callsPlan(l *loadFlags, o *load.Options) {
	o.Sleepers = l.sleepers(float64(l.calls))
	o.Phases = []load.Phase{l.first(), l.settled(), {
		Name: "calls", Asleep: l.asleep, Calls: load.Pace{Count: l.calls, Rate: l.callRate, Window: l.callWindow},
	}}
}

func stormPlan(l *loadFlags, o *load.Options) {
	calls := math.Ceil(l.callRate * l.stormOver.Seconds())
	o.Sleepers = l.sleepers(calls)
	o.Phases = []load.Phase{l.first(), l.settled(), {
		Name: "storm", Asleep: l.asleep, First: o.Sleepers, Phones: l.stormPhones, Move: true,
		Register: load.Pace{Count: l.stormPhones, Rate: float64(l.stormPhones) / l.stormOver.Seconds()},
		Calls:    load.Pace{Count: int(calls), Rate: l.callRate},
	}}
}

func duePlan(l *loadFlags, o *load.Options) {
	o.Sleepers = l.phones
	o.Phases = []load.Phase{l.first(), {Name: "due", Sleep: true, Lasts: max(l.duration, time.Second)}}
}
