package proxy

import (
	"time"

	"reveille/internal/sipmsg"
)

// This file is about callers that say for how long their call is of use.

// lifetime is how long an INVITE is worth an answer (RFC 3261 §20.19). ok is false if
// it does not say.
func (f *fork) lifetime() (d time.Duration, ok bool) {
	if !f.invite() {
		return 0, false
	}
	value, ok := f.s.Message().Expires()
	if !ok {
		return 0, false
	}
	seconds, ok := sipmsg.ParseDeltaSeconds(value)
	return time.Duration(seconds) * time.Second, ok && seconds > 0
}

// limitLife ends the request when its time is over, also while phones ring: a phone
// that lacks a clock for this would ring on for nobody (RFC 3261 §13.3.1).
func (f *fork) limitLife() {
	d, ok := f.lifetime()
	// Timer C and the caller end what lasts longer.
	if ok && d < maxLifetime {
		f.life = f.s.Queue().After(d, f.expired)
	}
}

// maxLifetime keeps a caller from having a timer run for years.
const maxLifetime = time.Hour

// expired gives up what is out. What waits in the bucket ends by its own timer, which
// runs no longer.
func (f *fork) expired() {
	if f.over {
		return
	}
	f.over = true
	why := reasonFor(408)
	for _, b := range f.branches {
		switch b.state {
		case idle, mediating, calling:
			// Nobody was heard of there, so that nobody would hear a CANCEL.
			if b.client != nil {
				b.client.Abandon()
			}
			b.finish(f.unavailable("Call Has Expired"))
		case answered:
			b.stop(why)
		case parked, ended:
		}
	}
	f.conclude()
}
