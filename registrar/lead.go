package registrar

import (
	"strings"
	"time"

	"reveille/push"
	"reveille/usrloc"
)

// lastingExpires is the lifetime from which on a binding that nothing can refresh
// is a choice and no accident: a phone that nobody calls or opens for a week is
// rare. A shorter one is worth a warning.
const lastingExpires = 7 * 24 * time.Hour

// lead is how long before its end a binding with these push data, granted for so
// long, is refreshed by a push. FCM keeps pushes of normal priority back while a
// phone dozes, and takes high priority away from apps that show nothing for it: so
// the push leaves early, though never before half of the lifetime is over.
func (p *Policy) lead(data usrloc.Push, granted time.Duration) time.Duration {
	early, ok := p.Push.Leads[strings.ToLower(data.Provider)]
	if !ok || data.SelfWaking && p.Push.PNSReg != 0 && granted > p.Push.PNSReg {
		// RFC 8599 §4.1.4: a device that wakes itself has until PNSReg before the
		// end, and is pushed to only if it did not come.
		return p.Push.Lead
	}
	return max(p.Push.Lead, min(early, granted/2))
}

// refreshes reports whether a device with these tokens may be woken to refresh
// its binding. A VoIP token is for calls alone: iOS ends an app that gets such a
// push and shows no call.
func (p *Policy) refreshes(params push.Params, tokens []push.Token) bool {
	if p.Push.NoBackground && params.Apple() {
		return false
	}
	_, ok := (&push.Request{Kind: push.Refresh, Tokens: tokens}).Token()
	return ok
}
