package apns

import (
	"strings"
	"testing"
	"testing/synctest"

	"reveille/push"
	"reveille/push/pushsim"
	"reveille/push/pushtest"
)

// Every reason that Apple lists, and some that it does not, with what it means.
func TestClassify_EveryReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answer pushsim.FrameAnswer
		w := newWire(t, pushsim.FrameOptions{Answer: func(pushsim.FrameRequest) pushsim.FrameAnswer { return answer }})
		for _, c := range []struct {
			status int
			reason string
			class  push.Class
			scope  push.Scope
		}{
			{400, "BadCollapseId", push.Rejected, 0},
			{400, "BadDeviceToken", push.Suspect, 0},
			{400, "BadExpirationDate", push.Rejected, 0},
			{400, "BadMessageId", push.Rejected, 0},
			{400, "BadPriority", push.Rejected, 0},
			{400, "BadTopic", push.Rejected, 0},
			{400, "DeviceTokenNotForTopic", push.Suspect, 0},
			{400, "DuplicateHeaders", push.Rejected, 0},
			{400, "IdleTimeout", push.Rejected, 0},
			{400, "InvalidPushType", push.Rejected, 0},
			{400, "MissingDeviceToken", push.Rejected, 0},
			{400, "MissingTopic", push.Rejected, 0},
			{400, "PayloadEmpty", push.Rejected, 0},
			{400, "TopicDisallowed", push.Rejected, 0},
			{403, "BadCertificate", push.Credential, 0},
			{403, "BadCertificateEnvironment", push.Credential, 0},
			{403, "BadEnvironmentKeyIdInToken", push.Credential, 0},
			{403, "BadEnvironmentKeyInToken", push.Credential, 0},
			{403, "ExpiredProviderToken", push.Credential, 0},
			{403, "Forbidden", push.Credential, 0},
			{403, "InvalidProviderToken", push.Credential, 0},
			{403, "MissingProviderToken", push.Credential, 0},
			{403, "UnrelatedKeyIdInToken", push.Credential, 0},
			{403, "SomethingNew", push.Credential, 0},
			{404, "BadPath", push.Rejected, 0},
			{405, "MethodNotAllowed", push.Rejected, 0},
			{410, "ExpiredToken", push.Gone, 0},
			{410, "Unregistered", push.Gone, 0},
			{413, "PayloadTooLarge", push.Rejected, 0},
			{429, "TooManyProviderTokenUpdates", push.Throttled, push.ScopeLane},
			{429, "TooManyRequests", push.Throttled, push.ScopeToken},
			{500, "InternalServerError", push.Unavailable, 0},
			{503, "ServiceUnavailable", push.Unavailable, 0},
			{503, "Shutdown", push.Unavailable, 0},
			{599, "SomethingNew", push.Unavailable, 0},
			{400, "SomethingNew", push.Rejected, 0},
		} {
			answer = pushsim.FrameAnswer{Status: c.status, Reason: c.reason}
			before := w.Requests()
			minted := w.sender.client.Token.Bearer
			o := w.sender.Send(t.Context(), device(1))
			if o.Class != c.class || o.Scope != c.scope || o.Reason != c.reason || o.Status != c.status || o.Err == nil {
				t.Errorf("%d %s: outcome = %+v, want %v, scope %d", c.status, c.reason, o, c.class, c.scope)
			}
			// A token of ours that is too old is worth one more try; nothing else is,
			// least of all TooManyProviderTokenUpdates worth another token.
			attempts, renewed := 1, w.sender.client.Token.Bearer != minted
			if c.reason == "ExpiredProviderToken" {
				attempts = 2
			}
			if got := w.Requests() - before; got != attempts || o.Attempts != attempts || renewed != (attempts == 2) {
				t.Errorf("%s: %d requests, %d attempts, renewed %t; want %d", c.reason, got, o.Attempts, renewed, attempts)
			}
		}
	})
}

// Whatever comes as an answer has a class, is bounded, and tells nobody the
// token.
func FuzzAnswer(f *testing.F) {
	frames, err := pushsim.NewFrames(pushsim.FrameOptions{})
	if err != nil {
		f.Fatal(err)
	}
	s, err := New(Options{KeyP8: frames.Credentials().KeyP8(), KeyID: pushsim.KeyID, TeamID: pushsim.TeamID})
	if err != nil {
		f.Fatal(err)
	}
	prid := device(1).Tokens[0].PRID
	for _, seed := range []struct {
		status      int
		body, retry string
	}{
		{200, "", ""},
		{410, `{"reason":"Unregistered","timestamp":1700000000000}`, ""},
		{410, `{"reason":"Unregistered","timestamp":-9223372036854775808}`, ""},
		{410, `{"reason":"Unregistered","timestamp":1e300}`, "-1"},
		{400, `{"reason":"` + prid + `"}`, "x"},
		{400, `{"reason":{}}`, "99999999999999"},
		{502, "<html>" + prid + "</html>", "Sun, 06 Nov 2094 08:49:37 GMT"},
		{503, `{"reason":"Shutdown"`, "3"},
		{429, strings.Repeat("[", 20000), "1"},
		{999, "null", ""},
		{101, "", ""},
	} {
		f.Add(seed.status-100, []byte(seed.body), seed.retry)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte, retry string) {
		a := pushtest.Answer{Status: 100 + (status%900+900)%900, Body: body, RetryAfter: retry}
		s.client.HTTPClient = a.Client(false)
		o := s.Send(t.Context(), device(1))
		pushtest.CheckOutcome(t, a, o, prid)
		if o.Class == push.Gone && a.Status != 410 {
			t.Errorf("status %d: token given up", a.Status)
		}
	})
}
