package guard

import (
	"time"

	"reveille/flow"
	"reveille/internal/event"
)

// A Reason says for what a source was banned. Its name is a label of metrics and
// stands in events: it must not change.
type Reason uint8

// The reasons.
const (
	// ReasonAuth: credentials that were wrong.
	ReasonAuth Reason = iota
	// ReasonProbe: requests for many users that do not exist.
	ReasonProbe
	// ReasonScanner: the User-Agent of a scanner.
	ReasonScanner
	// ReasonHost: requests for hosts that are not ours.
	ReasonHost
	numReasons
)

var reasonNames = [numReasons]string{
	ReasonAuth: "authentication", ReasonProbe: "unknown_users", ReasonScanner: "scanner", ReasonHost: "foreign_host",
}

// String returns the reason's name.
func (r Reason) String() string { return reasonNames[r] }

// maxSuspects bounds how many sources wait to be judged. More than that are
// looked at when they offend again.
const maxSuspects = 1024

// A suspect is a source that has offended too often, by datagrams or not: each
// kind is counted by itself, so that forged datagrams cannot ban connections.
type suspect struct {
	source
	datagrams bool
}

// Emit implements event.Sink: it watches for what strangers do wrong.
func (g *Guard) Emit(e event.Event) { g.heed(e, time.Now()) }

func (g *Guard) heed(e event.Event, now time.Time) {
	switch e := e.(type) {
	case event.AuthFailed:
		// A user who may not use an address has proved to be a user.
		if e.Reason != "not_owner" {
			g.offend(e.Flow, ReasonAuth, now)
		}
	case event.Call:
		if e.Step == "failed" && e.Status == 404 {
			g.probed(e.Flow, e.To, now)
		}
	}
}

// probed counts a request for a user that does not exist. The same one again is
// no probe: phones redial.
func (g *Guard) probed(f flow.Flow, user string, now time.Time) {
	s := g.settings.Load()
	if s.probes.every == 0 || !f.Remote.IsValid() {
		return
	}
	src := sourceOf(f.Remote.Addr())
	if g.probes.take(g.probes.bytes(src[:])^g.probes.text(user), s.probes, now) {
		g.offend(f, ReasonProbe, now)
	}
}

// offend counts what a source did wrong, and hands it to Run if that was too
// much.
func (g *Guard) offend(f flow.Flow, why Reason, now time.Time) {
	s := g.settings.Load()
	if s.offences.every == 0 || !f.Remote.IsValid() || s.exempt.contain(f.Remote.Addr()) {
		return
	}
	who := suspect{sourceOf(f.Remote.Addr()), !f.Stream()}
	key := who.key(who.datagrams)
	if g.offences.take(g.offences.bytes(key[:]), s.offences, now) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.suspects[who]; !known && len(g.suspects) >= maxSuspects {
		g.metrics.overflow.Inc()
		return
	}
	g.suspects[who] = why
	select {
	case g.wake <- struct{}{}:
	default:
	}
}
