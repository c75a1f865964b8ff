package webpush

import (
	"crypto/ecdh"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	lib "github.com/SherClockHolmes/webpush-go"

	"reveille/push"
	"reveille/push/internal/payload"
)

// maxMessage is the longest message that fits a push of 4096 bytes (RFC 8291
// §4).
const maxMessage = 4096 - overhead

// overhead of encryption: salt, sizes and key of RFC 8188 §2.1, the delimiter
// and the tag.
const overhead = 103

// encrypter makes encrypted payloads (RFC 8291), an extension to RFC 8599, whose
// §12 sends none.
type encrypter struct {
	on       bool
	template *payload.Template // nil: the usual payload
}

// newEncrypter reads the template and tries it with requests of all kinds.
func newEncrypter(on bool, text string) (encrypter, error) {
	e := encrypter{on: on}
	if !on || text == "" {
		return e, nil
	}
	t, err := payload.JSON("template", text)
	if err != nil {
		return e, fmt.Errorf("webpush: %w", err)
	}
	for _, r := range payload.Samples("webpush") {
		tok, _ := r.Token()
		if _, err := t.JSON(payload.NewFields(r, tok, time.Now()), maxMessage); err != nil {
			return e, fmt.Errorf("webpush: %w", err)
		}
	}
	e.template = t
	return e, nil
}

// body is the encrypted payload of r; nil if there is to be none, because the
// phone gave no keys or none that can be used: to wake it is worth more.
func (e encrypter) body(r *push.Request, tok push.Token, v *vapid, now time.Time) []byte {
	if !e.on || r.Keys.IsZero() || CheckKeys(r.Keys) != nil {
		return nil
	}
	b, err := v.encrypt(e.message(r, tok, now), r.Keys)
	if err != nil {
		return nil
	}
	return b
}

// message is what the app reads. What does not fit is made again without Data.
func (e encrypter) message(r *push.Request, tok push.Token, now time.Time) []byte {
	bare := *r
	bare.Data = nil
	if e.template != nil {
		for _, r := range []*push.Request{r, &bare} {
			if b, err := e.template.JSON(payload.NewFields(r, tok, now), maxMessage); err == nil {
				return b
			}
		}
	}
	for _, r := range []*push.Request{r, &bare} {
		if b, err := json.Marshal(push.Payload(r)); err == nil && len(b) <= maxMessage {
			return b
		}
	}
	return nil
}

// CheckKeys reports what is wrong with the keys of a subscription: p256dh is an
// uncompressed point of P-256 (RFC 8291 §3.1), auth 16 bytes (§3.2).
func CheckKeys(k push.SubscriptionKeys) error {
	point, err := decode(k.P256DH)
	if err != nil {
		return errors.New("webpush: p256dh is not base64url")
	}
	if _, err := ecdh.P256().NewPublicKey(point); err != nil {
		return errors.New("webpush: p256dh is no point of P-256")
	}
	if auth, err := decode(k.Auth); err != nil || len(auth) != 16 {
		return errors.New("webpush: auth is not 16 bytes in base64url")
	}
	return nil
}

func decode(s string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
}

// encrypt makes a body of aes128gcm (RFC 8291 §2). It is padded to one of few
// sizes, so that its length says little about who calls.
func (v *vapid) encrypt(message []byte, k push.SubscriptionKeys) ([]byte, error) {
	size := 512
	for size < len(message)+overhead {
		size *= 2
	}
	// The library sends what it encrypts, and signs it: the client keeps the body
	// and sends nothing.
	var c capture
	resp, err := lib.SendNotification(
		// The library writes behind the message if there is room.
		slices.Clip(message), &lib.Subscription{Endpoint: "https://localhost/", Keys: lib.Keys{P256dh: k.P256DH, Auth: k.Auth}},
		&lib.Options{HTTPClient: &c, RecordSize: uint32(size), Subscriber: v.subscriber, VAPIDPublicKey: v.public, VAPIDPrivateKey: v.private}) //nolint:gosec // at most 4096
	if err != nil {
		return nil, errors.New("webpush: encryption failed")
	}
	resp.Body.Close()
	return c.body, nil
}
