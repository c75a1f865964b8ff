package push

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// observe learns from an attempt how the push service is; before is what the
// lane had seen when the attempt began. Call with mu held.
func (l *lane) observe(o Outcome, before seen, now time.Time) {
	switch o.Class {
	case OK:
		l.warm = true
		l.seen.successes++
		l.failures, l.opened = 0, 0
		l.lastOK = now
		if l.pausedFor.Class != Throttled {
			l.pausedUntil = time.Time{}
		}
		return
	case Gone, Suspect, Rejected:
		// It lives, and refuses this one. The lane stays cold or warm.
		l.failures, l.opened = 0, 0
	case Throttled:
		l.failures = 0
		if o.Scope == ScopeLane {
			wait := o.RetryAfter
			if wait <= 0 {
				wait = cooldown(1, rand.Float64())
			}
			l.pause(now.Add(wait), o, now)
		}
	case Network, Unavailable, Credential:
		// All that was under way on a connection fails with it: that is one
		// failure, and no reason to open the breaker.
		if o.Class != Network || l.seen.breaks == before.breaks {
			l.failures++
		}
		if o.Class == Network {
			l.seen.breaks++
			if l.seen.successes == before.successes {
				// The connection is dead; the next one starts with one stream.
				l.warm = false
			}
		}
		if l.failures >= breakerAfter && !l.paused(now) {
			l.opened++
			l.pause(now.Add(cooldown(l.opened, rand.Float64())), o, now)
		}
	default: // Expired, Shed, Forbidden: nothing was sent.
		return
	}
	l.lastFailure, l.lastReason = now, o.Reason
}

// proven reports whether the push service took a push lately. Call with mu held.
func (l *lane) proven(now time.Time) bool {
	return !l.lastOK.IsZero() && now.Sub(l.lastOK) < ProvenFor
}

func (l *lane) paused(now time.Time) bool { return now.Before(l.pausedUntil) }

// pause sends nothing until then, because of o, and ends the jobs that cannot
// wait so long. Call with mu held.
func (l *lane) pause(until time.Time, o Outcome, now time.Time) {
	if until.Before(l.pausedUntil) {
		return
	}
	l.pausedUntil, l.pausedFor = until, o
	l.warm = false
	l.metrics.paused(l.app, o)
	level := slog.LevelWarn
	if o.Class == Credential {
		level = slog.LevelError // an operator must act
	}
	l.log.LogAttrs(context.Background(), level, "push service paused", slog.String("class", o.Class.String()),
		slog.String("reason", o.Reason), slog.Int("status", o.Status), slog.Duration("pause", until.Sub(now)), slog.Any("err", o.Err))
	if l.resume != nil {
		l.resume.Stop()
	}
	l.resume = time.AfterFunc(until.Sub(now), func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.pump(time.Now())
	})
	for i := range l.first {
		for e := l.first[i].Front(); e != nil; {
			j := e.Value.(*job)
			e = e.Next()
			if l.hopeless(j, now) {
				l.finish(j, l.pauseOutcome(now))
			}
		}
	}
}

// hopeless reports whether j cannot be sent in time because of the pause: its
// deadline comes first, or our credential is refused, which no wait mends.
func (l *lane) hopeless(j *job, now time.Time) bool {
	return l.paused(now) && (l.pausedFor.Class == Credential || !l.pausedUntil.Before(j.deadline))
}

// pauseOutcome is the outcome of a job that the pause ends.
func (l *lane) pauseOutcome(now time.Time) Outcome {
	o := l.pausedFor
	o.RetryAfter = l.pausedUntil.Sub(now)
	o.GoneSince, o.ID = time.Time{}, ""
	return o
}

func (l *lane) health() LaneHealth {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := LaneHealth{
		App: l.app.Name, Provider: l.app.Provider, Part: l.part,
		Queued: l.waiting(), InFlight: l.inFlight, Limit: l.limit(),
		LastOK: l.lastOK, LastFailure: l.lastFailure, LastReason: l.lastReason, Failures: l.failures,
	}
	now := time.Now()
	h.Expired = l.expiry(now).At
	if l.paused(now) {
		h.PausedUntil, h.PausedFor = l.pausedUntil, l.pausedFor.Class
	}
	return h
}
