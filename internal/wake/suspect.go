package wake

import (
	"log/slog"
	"sync"
	"time"

	"reveille/push"
)

// Bounds of what is said of suspect tokens.
const (
	suspectEvery = time.Hour
	maxSuspects  = 256
)

// suspects remembers for which apps it was said lately that tokens do not fit. The
// zero value is ready.
type suspects struct {
	mu   sync.Mutex // guards said
	said map[push.Params]time.Time
}

// first reports whether nothing was said of the app for suspectEvery.
func (s *suspects) first(p push.Params, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.said[p]) < suspectEvery {
		return false
	}
	if s.said == nil || len(s.said) >= maxSuspects {
		s.said = map[push.Params]time.Time{}
	}
	s.said[p] = now
	return true
}

// kept tells of a token that the push service does not know although nothing shows
// that our credential is one for it: a key of the other environment has this answer
// for every token, and must not cost all phones theirs.
func (w *Waker) kept(p push.Params, o push.Outcome) {
	w.metrics.suspects.Inc()
	if w.suspects.first(p, time.Now()) {
		w.log.Warn("push tokens may belong to another environment or app than the credential; they are kept",
			slog.String("provider", p.Provider), slog.String("param", p.Param), slog.String("reason", o.Reason))
	}
}
