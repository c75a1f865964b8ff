package apns

import (
	"net/http"
	"time"

	"github.com/sideshow/apns2"

	"reveille/push"
)

// answer is what APNs said.
type answer struct {
	status int
	reason string
	since  time.Time // of a 410: when APNs last saw that the token is dead
}

// classify says what a means for a device that registered at bound.
func (a answer) classify(bound time.Time) (push.Class, push.Scope) {
	switch {
	case a.status == http.StatusOK:
		return push.OK, 0
	case a.status == http.StatusGone && a.reason == "":
		// Apple always says why. What answers in its place must not cost us the tokens.
		return push.Rejected, 0
	case a.status == http.StatusGone:
		// The app may have been installed again since, and got the same token.
		if !a.since.IsZero() && !a.since.After(bound) {
			return push.Suspect, 0
		}
		return push.Gone, 0
	case a.reason == apns2.ReasonBadDeviceToken, a.reason == apns2.ReasonDeviceTokenNotForTopic:
		// A credential for the other environment, or for another app, gets this
		// for every token.
		return push.Suspect, 0
	case a.status == http.StatusForbidden, a.status == http.StatusUnauthorized:
		return push.Credential, 0
	case a.reason == apns2.ReasonTooManyProviderTokenUpdates:
		return push.Throttled, push.ScopeLane
	case a.status == http.StatusTooManyRequests:
		// TooManyRequests is about this device.
		return push.Throttled, push.ScopeToken
	case a.status >= 500:
		return push.Unavailable, 0
	default:
		return push.Rejected, 0
	}
}
