package fcm

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"reveille/push"
)

// defaultRetryAfter is what FCM's guide says for a 429 that names no time.
const defaultRetryAfter = time.Minute

// thirdParty is about the credential that FCM itself pushes with to others.
const thirdParty = "THIRD_PARTY_AUTH_ERROR"

// answer is what FCM said.
type answer struct {
	status int
	// code is the FCM error code, or the canonical one if there is none.
	code string
	// blamesToken: the error is about the registration token.
	blamesToken bool
	// readable: the body is as FCM writes it, not a proxy's, nor missing.
	readable bool
}

// readAnswer reads status and body. The details come first: the top-level
// status is a canonical code that says less.
func readAnswer(status int, body []byte) answer {
	a := answer{status: status}
	if status >= 200 && status < 300 {
		return a // it says no more
	}
	var b struct {
		Error *struct {
			Status  string `json:"status"`
			Message string `json:"message"`
			Details []struct {
				ErrorCode       string `json:"errorCode"`
				FieldViolations []struct {
					Field string `json:"field"`
				} `json:"fieldViolations"`
			} `json:"details"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &b) != nil || b.Error == nil {
		return a
	}
	a.readable = true
	a.code = b.Error.Status
	a.blamesToken = strings.Contains(strings.ToLower(b.Error.Message), "registration token")
	for _, d := range b.Error.Details {
		if d.ErrorCode != "" {
			a.code = d.ErrorCode
		}
		for _, v := range d.FieldViolations {
			a.blamesToken = a.blamesToken || v.Field == "message.token"
		}
	}
	return a
}

// classify says what a means.
func (a answer) classify() (push.Class, push.Scope) {
	switch {
	case a.status >= 200 && a.status < 300:
		return push.OK, 0
	case a.code == "UNREGISTERED":
		return push.Gone, 0
	case a.status == http.StatusNotFound:
		// A page of a proxy or of a wrong endpoint must not cost us the tokens.
		if !a.readable {
			return push.Rejected, 0
		}
		return push.Gone, 0
	case a.code == "SENDER_ID_MISMATCH":
		return push.Suspect, 0
	case a.code == thirdParty, a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		return push.Credential, 0
	case a.status == http.StatusTooManyRequests, a.code == "QUOTA_EXCEEDED":
		return push.Throttled, push.ScopeLane
	case a.status >= 500:
		return push.Unavailable, 0
	case a.code == "INVALID_ARGUMENT" && a.blamesToken:
		return push.Suspect, 0
	default:
		return push.Rejected, 0
	}
}
