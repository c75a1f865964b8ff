package webpush

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	lib "github.com/SherClockHolmes/webpush-go"
)

// headerLife is how long an Authorization header is used. The library signs for
// 12 h, RFC 8292 §2 allows 24.
const headerLife = 11 * time.Hour

// GenerateKeys makes a VAPID key pair, both in unpadded base64url.
func GenerateKeys() (public, private string, err error) {
	private, public, err = lib.GenerateVAPIDKeys()
	if err != nil {
		return "", "", fmt.Errorf("generate VAPID keys: %w", err)
	}
	return public, private, nil
}

// vapid makes Authorization headers, one per origin and 11 h. To sign costs ten
// times as much as the rest of a push.
type vapid struct {
	public, private, subscriber string
	receiver                    lib.Keys // of a pretend subscription

	// mu guards headers, which has at most maxOrigins entries.
	mu      sync.Mutex
	headers map[string]header
}

type header struct {
	value string
	until time.Time
}

// newVAPID checks that the keys are a pair and that the subscriber is one.
func newVAPID(public, private, subscriber string) (*vapid, error) {
	d, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(private, "="))
	if err != nil {
		return nil, errors.New("webpush: private VAPID key is not base64url")
	}
	key, err := ecdh.P256().NewPrivateKey(d)
	if err != nil {
		return nil, errors.New("webpush: private VAPID key is not of P-256")
	}
	derived := base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes())
	if public != "" && strings.TrimRight(public, "=") != derived {
		return nil, errors.New("webpush: VAPID keys are not a pair")
	}
	// The library adds the scheme, even to a subscriber that has it.
	subscriber = strings.TrimPrefix(subscriber, "mailto:")
	if !strings.HasPrefix(subscriber, "https://") && !strings.Contains(subscriber, "@") {
		return nil, errors.New("webpush: subscriber is neither a mail address nor an https URL")
	}
	// The library cannot sign without encrypting for somebody.
	somebody, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("webpush: generate key: %w", err)
	}
	return &vapid{
		public: derived, private: strings.TrimRight(private, "="), subscriber: subscriber,
		receiver: lib.Keys{
			P256dh: base64.RawURLEncoding.EncodeToString(somebody.PublicKey().Bytes()),
			Auth:   base64.RawURLEncoding.EncodeToString(make([]byte, 16)),
		},
		headers: make(map[string]header),
	}, nil
}

// header returns the Authorization for pushes to an origin.
func (v *vapid) header(origin string, now time.Time) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if h, ok := v.headers[origin]; ok && now.Before(h.until) {
		return h.value, nil
	}
	// The library offers no way to sign alone: it is given a push to a pretend
	// subscription and a client that keeps the header and sends nothing.
	var c capture
	resp, err := lib.SendNotification(nil, &lib.Subscription{Endpoint: origin + "/", Keys: v.receiver}, &lib.Options{
		HTTPClient: &c, Subscriber: v.subscriber, VAPIDPublicKey: v.public, VAPIDPrivateKey: v.private, RecordSize: 512,
	})
	if err != nil {
		return "", fmt.Errorf("sign VAPID token: %w", err)
	}
	resp.Body.Close()
	if len(v.headers) >= maxOrigins {
		for o := range v.headers { // any: it is made again when needed
			delete(v.headers, o)
			break
		}
	}
	v.headers[origin] = header{value: c.authorization, until: now.Add(headerLife)}
	return c.authorization, nil
}

// capture is an HTTP client that sends nothing.
type capture struct {
	authorization string
	body          []byte
}

func (c *capture) Do(req *http.Request) (*http.Response, error) {
	c.authorization = req.Header.Get("Authorization")
	var err error
	if c.body, err = io.ReadAll(req.Body); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusCreated, Body: io.NopCloser(strings.NewReader(""))}, nil
}
