package pushsim

import (
	"crypto/ecdsa"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"reveille/push/webhook"
)

const (
	maxTopic    = 32             // RFC 8030 §5.4
	vapidLife   = 24 * time.Hour // RFC 8292 §2
	base64URL   = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	hookReplays = 5 * time.Minute
)

// webpush is POST /wp/<id>: a subscription of RFC 8030, restricted to our VAPID
// key (RFC 8292 §4).
func (s *Server) webpush(w http.ResponseWriter, r *http.Request) {
	body, whole := readBody(r)
	p := Push{
		Provider: "webpush", Token: s.SubscriptionURL(r.PathValue("id")), Payload: string(body),
		Priority: r.Header.Get("Urgency"), CollapseID: r.Header.Get("Topic"),
	}
	// RFC 8030 §5.2: TTL is 31 bits of seconds, and a must.
	ttl, err := strconv.ParseUint(r.Header.Get("TTL"), 10, 31)
	p.Expiration = time.Now().Add(time.Duration(ttl) * time.Second)
	v := verdict{status: http.StatusCreated, header: http.Header{"Location": {s.URL() + "/wp-message/1"}}}
	switch reason := s.checkVAPID(r.Header.Get("Authorization"), time.Now()); {
	case r.Header.Get("Authorization") == "":
		v = webpushError(http.StatusUnauthorized, "no VAPID")
	case reason != "":
		v = webpushError(http.StatusForbidden, reason)
	case err != nil:
		v = webpushError(http.StatusBadRequest, "TTL") // RFC 8030 §5.2
	case !oneOf(p.Priority, "", "very-low", "low", "normal", "high"):
		v = webpushError(http.StatusBadRequest, "Urgency")
	case len(p.CollapseID) > maxTopic || strings.Trim(p.CollapseID, base64URL) != "":
		v = webpushError(http.StatusBadRequest, "Topic")
	case !whole || len(body) > 4096:
		v = webpushError(http.StatusRequestEntityTooLarge, "too large")
	// RFC 8291 §4: a payload is encrypted with aes128gcm.
	case len(body) > 0 && r.Header.Get("Content-Encoding") != "aes128gcm":
		v = webpushError(http.StatusBadRequest, "Content-Encoding")
	}
	s.finish(w, r, p, v, words{
		gone:        func(time.Time) verdict { return webpushError(http.StatusGone, "gone") },
		badToken:    func() verdict { return webpushError(http.StatusForbidden, "subscribed with another key") },
		throttled:   func() verdict { return webpushError(http.StatusTooManyRequests, "too many") },
		unavailable: func() verdict { return webpushError(http.StatusServiceUnavailable, "unavailable") },
		refused:     func() verdict { return webpushError(http.StatusUnauthorized, "refused") },
		expired:     func() verdict { return webpushError(http.StatusForbidden, "expired") },
	})
}

// webpushError is an answer with a body that only people read.
func webpushError(status int, reason string) verdict {
	return verdict{status: status, reason: reason, body: map[string]any{"code": status, "message": reason}}
}

// checkVAPID returns what is wrong with an Authorization header, or "".
func (s *Server) checkVAPID(h string, now time.Time) string {
	token, key, ok := splitVAPID(h)
	switch {
	case !ok:
		return "scheme"
	case key != s.creds.VAPIDPublic():
		return "key"
	}
	claims, err := readVAPID(token, &s.creds.vapid.PublicKey, s.URL(), now)
	switch {
	case err != nil:
		return "token"
	case claims.ExpiresAt.After(now.Add(vapidLife)):
		return "expiry"
	}
	// RFC 8292 §2.1; Apple refuses what is neither.
	sub, err := url.Parse(claims.Subject)
	if err != nil || (sub.Scheme != "https" && (sub.Scheme != "mailto" || !strings.Contains(sub.Opaque, "@") ||
		strings.Contains(sub.Opaque, ":"))) {
		return "subject"
	}
	return ""
}

// splitVAPID reads "vapid t=<token>, k=<key>" (RFC 8292 §3).
func splitVAPID(h string) (token, key string, ok bool) {
	params, ok := strings.CutPrefix(h, "vapid ")
	if !ok {
		return "", "", false
	}
	for part := range strings.SplitSeq(params, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "t":
			token = value
		case "k":
			key = value
		}
	}
	return token, key, token != "" && key != ""
}

// readVAPID checks signature, audience and expiry of a token (RFC 8292 §2).
func readVAPID(token string, key *ecdsa.PublicKey, audience string, now time.Time) (claims jwt.RegisteredClaims, err error) {
	_, err = jwt.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return key, nil },
		jwt.WithValidMethods([]string{"ES256"}), jwt.WithExpirationRequired(), jwt.WithAudience(audience),
		jwt.WithTimeFunc(func() time.Time { return now }))
	return claims, err
}

// webhook takes what push/webhook sends, signed with Credentials.Secret.
func (s *Server) webhook(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	p := Push{Provider: "webhook", App: r.PathValue("id"), Payload: string(body)}
	var fields map[string]any
	v := verdict{status: http.StatusNoContent}
	switch {
	case err != nil || json.Unmarshal(body, &fields) != nil:
		v = webpushError(http.StatusBadRequest, "body")
	case webhook.Verify(s.creds.Secret, r, body, time.Now(), hookReplays) != nil:
		v = webpushError(http.StatusUnauthorized, "signature")
	}
	p.Kind, p.PushID = told(fields)
	p.Token, _ = fields["prid"].(string)
	if sec, ok := fields["deadline"].(float64); ok {
		p.Expiration = time.Unix(int64(sec), 0)
	}
	s.finish(w, r, p, v, words{
		gone:        func(time.Time) verdict { return webpushError(http.StatusGone, "gone") },
		badToken:    func() verdict { return webpushError(http.StatusNotFound, "unknown") },
		throttled:   func() verdict { return webpushError(http.StatusTooManyRequests, "too many") },
		unavailable: func() verdict { return webpushError(http.StatusServiceUnavailable, "unavailable") },
		refused:     func() verdict { return webpushError(http.StatusUnauthorized, "refused") },
		expired:     func() verdict { return webpushError(http.StatusUnauthorized, "expired") },
	})
}
