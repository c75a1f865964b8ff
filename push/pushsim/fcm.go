package pushsim

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	bearerLife = time.Hour
	maxBearers = 1024                // then all are forgotten, and clients fetch again
	maxFCM     = 4096                // bytes of a message
	maxTTL     = 28 * 24 * time.Hour // FCM stores four weeks
	fcmScope   = "https://www.googleapis.com/auth/firebase.messaging"
)

// token is Google's token server: an assertion for an access token (RFC 7523).
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
	deny := func(reason string) {
		write(w, verdict{status: http.StatusBadRequest, body: map[string]string{"error": reason}})
	}
	if r.PostFormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		deny("unsupported_grant_type")
		return
	}
	var claims struct {
		jwt.RegisteredClaims
		Scope string `json:"scope"`
	}
	_, err := jwt.ParseWithClaims(r.PostFormValue("assertion"), &claims, func(*jwt.Token) (any, error) {
		return s.creds.fcm.Public(), nil
	}, jwt.WithValidMethods([]string{"RS256"}), jwt.WithExpirationRequired(),
		jwt.WithAudience(s.TokenURL()), jwt.WithIssuer(clientEmail))
	if err != nil {
		deny("invalid_grant")
		return
	}
	if !strings.Contains(claims.Scope, fcmScope) {
		deny("invalid_scope")
		return
	}
	// The token says nothing; what counts is that we gave it out.
	bearer := rand.Text()
	s.mu.Lock()
	if len(s.bearers) >= maxBearers {
		clear(s.bearers)
	}
	s.bearers[bearer] = time.Now().Add(bearerLife)
	s.mu.Unlock()
	write(w, verdict{status: http.StatusOK, body: map[string]any{
		"access_token": bearer, "token_type": "Bearer", "expires_in": int(bearerLife / time.Second),
	}})
}

// RevokeBearers makes all access tokens invalid before their time.
func (s *Server) RevokeBearers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.bearers)
}

func (s *Server) validBearer(h string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	end, ok := s.bearers[strings.TrimPrefix(h, "Bearer ")]
	return ok && time.Now().Before(end)
}

// fcmRequest is a message of FCM HTTP v1.
type fcmRequest struct {
	Message struct {
		Token   string         `json:"token"`
		Data    map[string]any `json:"data"`
		Android struct {
			Priority    string `json:"priority"`
			TTL         string `json:"ttl"`
			CollapseKey string `json:"collapse_key"`
		} `json:"android"`
	} `json:"message"`
}

// fcm is POST /v1/projects/<project>/messages:send.
func (s *Server) fcm(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("method") != "messages:send" {
		http.NotFound(w, r)
		return
	}
	body, whole := readBody(r)
	var req fcmRequest
	err := json.Unmarshal(body, &req)
	m := req.Message
	p := Push{
		Provider: "fcm", Token: m.Token, App: r.PathValue("project"), Payload: string(body),
		Priority: m.Android.Priority, CollapseID: m.Android.CollapseKey,
	}
	p.Kind, p.PushID = told(m.Data)
	// "25s": a protobuf duration. Without one FCM keeps a push for weeks, which
	// for a call is always a mistake, so that it is refused here.
	ttl, ttlErr := time.ParseDuration(m.Android.TTL)
	p.Expiration = time.Now().Add(ttl)
	v := verdict{status: http.StatusOK, body: map[string]string{
		"name": "projects/" + p.App + "/messages/0:" + strconv.FormatInt(time.Now().UnixNano(), 10),
	}}
	switch {
	case !s.validBearer(r.Header.Get("Authorization")):
		v = fcmError(http.StatusUnauthorized, "UNAUTHENTICATED", "", "Request had invalid authentication credentials.")
	case p.App != ProjectID:
		v = fcmError(http.StatusForbidden, "PERMISSION_DENIED", "", "Permission denied on the project.")
	case err != nil || !whole || len(body) > maxFCM+512:
		v = fcmError(http.StatusBadRequest, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "Message is not valid.")
	case m.Token == "":
		v = fcmError(http.StatusBadRequest, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "Recipient of the message is not set.")
	case ttlErr != nil || !strings.HasSuffix(m.Android.TTL, "s") || ttl < 0 || ttl > maxTTL:
		v = fcmError(http.StatusBadRequest, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "Invalid value at 'message.android.ttl'.")
	case !oneOf(strings.ToLower(m.Android.Priority), "high", "normal"):
		v = fcmError(http.StatusBadRequest, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "Invalid value at 'message.android.priority'.")
	case !dataOK(m.Data):
		v = fcmError(http.StatusBadRequest, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "Invalid data payload key or value.")
	}
	s.finish(w, r, p, v, words{
		gone: func(time.Time) verdict {
			return fcmError(http.StatusNotFound, "NOT_FOUND", "UNREGISTERED", "Requested entity was not found.")
		},
		badToken: func() verdict {
			return fcmError(http.StatusForbidden, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", "SenderId mismatch")
		},
		throttled: func() verdict {
			return fcmError(http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "Quota exceeded.")
		},
		unavailable: func() verdict {
			return fcmError(http.StatusServiceUnavailable, "UNAVAILABLE", "UNAVAILABLE", "The service is currently unavailable.")
		},
		refused: func() verdict {
			return fcmError(http.StatusUnauthorized, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", "Auth error from APNS or Web Push Service")
		},
		expired: func() verdict {
			s.RevokeBearers()
			return fcmError(http.StatusUnauthorized, "UNAUTHENTICATED", "", "Request had invalid authentication credentials.")
		},
	})
}

// fcmError is an answer as Google's APIs write it: a canonical code, and the FCM
// code in the details.
func fcmError(status int, code, fcmCode, message string) verdict {
	e := map[string]any{"code": status, "message": message, "status": code}
	v := verdict{status: status, reason: code, body: map[string]any{"error": e}}
	if fcmCode != "" {
		v.reason = fcmCode
		e["details"] = []any{map[string]string{
			"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": fcmCode,
		}}
	}
	return v
}

// dataOK checks that values are strings and that no key is reserved.
func dataOK(data map[string]any) bool {
	for k, v := range data {
		if _, ok := v.(string); !ok || oneOf(k, "from", "message_type") ||
			strings.HasPrefix(k, "google") || strings.HasPrefix(k, "gcm") {
			return false
		}
	}
	return true
}

func oneOf(s string, set ...string) bool {
	return slices.Contains(set, s)
}
