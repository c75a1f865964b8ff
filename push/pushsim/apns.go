package pushsim

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// apns is POST /3/device/<token>.
func (s *Server) apns(w http.ResponseWriter, r *http.Request) {
	// Apple allows one stream until it has seen a valid provider token. A real
	// server refuses the others by SETTINGS; a handler can only end them.
	c := connOf(r)
	if n := c.active.Add(1); s.strict && n > 1 && !c.valid.Load() {
		c.active.Add(-1)
		s.aborted.Add(1)
		panic(http.ErrAbortHandler)
	}
	defer c.active.Add(-1)
	p := Push{
		Provider: "apns", Token: r.PathValue("token"), App: r.Header.Get("apns-topic"),
		PushType: r.Header.Get("apns-push-type"), Priority: r.Header.Get("apns-priority"),
		CollapseID: r.Header.Get("apns-collapse-id"),
	}
	body, whole := readBody(r)
	p.Payload = string(body)
	if sec, err := strconv.ParseInt(r.Header.Get("apns-expiration"), 10, 64); err == nil {
		p.Expiration = time.Unix(sec, 0)
	}
	var fields map[string]any
	if json.Unmarshal(body, &fields) == nil {
		p.Kind, p.PushID = told(fields)
	}
	w.Header().Set("apns-id", "8a5e2f0c-0000-4000-8000-"+hex.EncodeToString(serial().Bytes()[:6]))
	v := verdict{status: http.StatusOK}
	if status, reason := s.checkAPNs(r, p, fields, whole, time.Now()); reason != "" {
		v = apnsError(status, reason)
	}
	s.finish(w, r, p, v, words{
		gone: func(since time.Time) verdict {
			v := apnsError(http.StatusGone, "Unregistered")
			v.body = map[string]any{"reason": v.reason, "timestamp": since.UnixMilli()}
			return v
		},
		badToken:    func() verdict { return apnsError(http.StatusBadRequest, "BadDeviceToken") },
		throttled:   func() verdict { return apnsError(http.StatusTooManyRequests, "TooManyRequests") },
		unavailable: func() verdict { return apnsError(http.StatusServiceUnavailable, "ServiceUnavailable") },
		refused:     func() verdict { return apnsError(http.StatusForbidden, "InvalidProviderToken") },
		expired:     func() verdict { return apnsError(http.StatusForbidden, "ExpiredProviderToken") },
	})
}

func apnsError(status int, reason string) verdict {
	return verdict{status: status, reason: reason, body: map[string]any{"reason": reason}}
}

// checkAPNs returns what Apple would refuse, or "" if nothing.
func (s *Server) checkAPNs(r *http.Request, p Push, fields map[string]any, whole bool, now time.Time) (status int, reason string) {
	if r.ProtoMajor != 2 {
		return http.StatusBadRequest, "BadPath"
	}
	if status, reason := s.checkAPNsAuth(r, now); reason != "" {
		return status, reason
	}
	if p.Token == "" {
		return http.StatusBadRequest, "MissingDeviceToken"
	}
	// Letters beyond f, or a path that climbed, are no device.
	if strings.Trim(p.Token, "0123456789abcdefABCDEF") != "" {
		return http.StatusBadRequest, "BadDeviceToken"
	}
	// Bytes of payload; VoIP may have more.
	limit := 4096
	if p.PushType == "voip" {
		limit = 5120
	}
	aps, _ := fields["aps"].(map[string]any)
	switch {
	case !whole || len(p.Payload) > limit:
		return http.StatusRequestEntityTooLarge, "PayloadTooLarge"
	case fields == nil:
		return http.StatusBadRequest, "PayloadEmpty"
	case p.App == "":
		return http.StatusBadRequest, "MissingTopic"
	case len(p.CollapseID) > 64:
		return http.StatusBadRequest, "BadCollapseId"
	}
	// The type goes with the topic: PushKit tokens have one of their own.
	if strings.HasSuffix(p.App, ".voip") != (p.PushType == "voip") {
		return http.StatusBadRequest, "DeviceTokenNotForTopic"
	}
	// A push in the background must be of low priority and show nothing; an
	// alert must show something.
	switch p.PushType {
	case "voip", "alert":
		if p.Priority != "10" && p.Priority != "5" {
			return http.StatusBadRequest, "BadPriority"
		}
		if p.PushType == "alert" && aps["alert"] == nil {
			return http.StatusBadRequest, "InvalidPushType"
		}
	case "background":
		if p.Priority != "5" {
			return http.StatusBadRequest, "BadPriority"
		}
		if aps["alert"] != nil || aps["content-available"] == nil {
			return http.StatusBadRequest, "InvalidPushType"
		}
	default:
		return http.StatusBadRequest, "InvalidPushType"
	}
	// Stricter than Apple, who keeps a push without expiration for days: for a
	// call that is always a mistake.
	if exp := p.Expiration; exp.IsZero() || (exp.Unix() > 1 && exp.Before(now.Add(-time.Second))) {
		return http.StatusBadRequest, "BadExpirationDate"
	}
	return 0, ""
}

// checkAPNsAuth checks the provider token, or that there is a certificate.
func (s *Server) checkAPNsAuth(r *http.Request, now time.Time) (status int, reason string) {
	h := r.Header.Get("Authorization")
	if h == "" {
		if len(r.TLS.VerifiedChains) > 0 {
			return 0, ""
		}
		return http.StatusForbidden, "MissingProviderToken"
	}
	bearer, ok := strings.CutPrefix(h, "bearer ")
	if !ok {
		return http.StatusForbidden, "InvalidProviderToken"
	}
	claims := jwt.RegisteredClaims{}
	// ES256 over kid, iss and iat; the token has no end of its own but is refused
	// an hour after iat.
	_, err := jwt.ParseWithClaims(bearer, &claims, func(t *jwt.Token) (any, error) {
		if t.Header["kid"] != KeyID {
			return nil, errors.New("unknown key")
		}
		return s.creds.apple.Public(), nil
	}, jwt.WithValidMethods([]string{"ES256"}))
	switch {
	case err != nil, claims.Issuer != TeamID, claims.IssuedAt == nil:
		return http.StatusForbidden, "InvalidProviderToken"
	case now.Sub(claims.IssuedAt.Time).Abs() > time.Hour:
		return http.StatusForbidden, "ExpiredProviderToken"
	}
	return 0, ""
}
