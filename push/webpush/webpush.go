// Package webpush wakes browsers and UnifiedPush apps: RFC 8030 with VAPID
// (RFC 8292), with github.com/SherClockHolmes/webpush-go.
//
// Pushes have no payload unless Options.Payload asks for it: RFC 8599 §12
// defines no way for a phone to hand over its encryption keys, and an encrypted
// push costs 14 times as much.
package webpush

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"reveille/push"
	"reveille/push/internal/exchange"
)

// Options of a Sender.
type Options struct {
	// VAPIDPublic and VAPIDPrivate are the key pair in base64url, as
	// GenerateKeys makes it. Subscriptions are bound to it for life.
	VAPIDPublic, VAPIDPrivate string
	// OldVAPIDPrivate are the private keys of pairs that were used before, at
	// most 8: subscriptions made under them are pushed with them.
	OldVAPIDPrivate []string
	// Subscriber is whom a push service may ask about our pushes: a mail address
	// or an https URL (RFC 8292 §2.1). Apple refuses made-up ones.
	Subscriber string
	// AllowedHosts are globs of push services; nil means DefaultHosts, "*" any
	// host with a public address.
	AllowedHosts []string
	// AllowPrivate also allows addresses that are not public, and ports other
	// than 443: for tests, the demo, and a push service of one's own.
	AllowPrivate bool
	// RootCAs of the push services; nil for the system's.
	RootCAs *x509.CertPool
	// Payload sends an encrypted payload (RFC 8291) to phones that gave the keys
	// of their subscription.
	Payload bool
	// Template makes the payload, JSON (docs/push.md says what it sees); empty
	// means what push.Payload lists.
	Template string
}

// DefaultHosts are the push services of Chrome, Firefox, Safari and Edge.
func DefaultHosts() []string {
	return []string{
		"fcm.googleapis.com",
		"updates.push.services.mozilla.com",
		"*.push.apple.com",
		"*.notify.windows.com",
	}
}

// Sender pushes with one VAPID key, and with those before it to subscriptions
// that know no other. It is safe for concurrent use.
type Sender struct {
	guard     guard
	keys      *keys
	encrypter encrypter
	base      *origins
	client    *http.Client

	seed maphash.Seed

	// mu guards refusals: by origin, hashes of the subscriptions whose pushes were
	// refused for their authorization since one was taken. It has at most
	// maxOrigins entries of widespread hashes.
	mu       sync.Mutex
	refusals map[string][]uint64
}

var (
	_ push.Sender      = (*Sender)(nil)
	_ push.Partitioner = (*Sender)(nil)
	_ push.VAPIDKeyer  = (*Sender)(nil)
)

// New checks the options and returns a Sender. It does not connect.
func New(o Options) (*Sender, error) {
	k, err := newKeys(o)
	if err != nil {
		return nil, err
	}
	e, err := newEncrypter(o.Payload, o.Template)
	if err != nil {
		return nil, err
	}
	g, err := newGuard(o.AllowedHosts, o.AllowPrivate)
	if err != nil {
		return nil, err
	}
	base := newOrigins(func() *http.Transport {
		return &http.Transport{
			// No proxy: the guard must see the address that is dialled.
			DialContext:            g.dialer().DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    5 * time.Second,
			IdleConnTimeout:        5 * time.Minute,
			MaxResponseHeaderBytes: exchange.MaxHeader,
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 3 * time.Second},
		}
	})
	return &Sender{
		guard: g, keys: k, encrypter: e, base: base,
		client:   exchange.NewClient(&exchange.Transport{Base: base}),
		seed:     maphash.MakeSeed(),
		refusals: make(map[string][]uint64),
	}, nil
}

// PublicKey implements push.VAPIDKeyer: it is the key for new subscriptions.
func (s *Sender) PublicKey() string { return s.keys.current().public }

// Part implements push.Partitioner: each origin is a push service of its own.
func (s *Sender) Part(r *push.Request) string {
	tok, _ := r.Token()
	u, err := s.guard.check(tok.PRID)
	if err != nil {
		return ""
	}
	return origin(u)
}

// Close implements push.Sender.
func (s *Sender) Close() error {
	s.base.CloseIdleConnections()
	return nil
}

// Send implements push.Sender.
func (s *Sender) Send(ctx context.Context, r *push.Request) push.Outcome {
	tok, ok := r.Token()
	if !ok {
		return push.Outcome{Class: push.Forbidden, Reason: "NoTokenForKind"}
	}
	u, err := s.guard.check(tok.PRID)
	if err != nil {
		return push.Outcome{Class: push.Rejected, Reason: "EndpointNotAllowed", Err: err}
	}
	now := time.Now()
	body := s.encrypter.body(r, tok, s.keys.current(), now)
	var first push.Outcome
	attempts := 0
	for i, key := range s.keys.order(tok.PRID) {
		o, foreign := s.attempt(ctx, r, u, key, body, now)
		attempts += o.Attempts
		if i == 0 {
			first = o
		}
		if o.Class == push.OK {
			s.keys.took(tok.PRID, key)
		}
		if !foreign {
			first = o
			break
		}
	}
	first.Attempts = attempts
	// Refusals are counted by push, not by key. An answer that never came says
	// nothing.
	if first.Status != 0 && s.refused(origin(u), tok.PRID, first.Class) >= widespread && first.Class == push.Suspect {
		first.Class = push.Credential
	}
	return first
}

// attempt posts r once, and once more without body if that is too large for the
// push service. foreign reports that the subscription is of another VAPID key.
func (s *Sender) attempt(ctx context.Context, r *push.Request, u *url.URL, key *vapid, body []byte, now time.Time) (o push.Outcome, foreign bool) {
	o, foreign = s.post(ctx, r, u, key, body, now)
	if o.Status == http.StatusRequestEntityTooLarge && body != nil {
		o, foreign = s.post(ctx, r, u, key, nil, now)
		o.Attempts = 2
	}
	return o, foreign
}

func (s *Sender) post(ctx context.Context, r *push.Request, u *url.URL, key *vapid, body []byte, now time.Time) (o push.Outcome, foreign bool) {
	authorization, err := key.header(origin(u), now)
	if err != nil {
		return push.Outcome{Class: push.Credential, Reason: "NoVAPID", Err: err}, false
	}
	ctx, x := exchange.With(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "", nil)
	if err != nil {
		return push.Outcome{Class: push.Rejected, Reason: "EndpointNotAllowed", Err: err}, false
	}
	// The URL was read and checked.
	req.URL, req.Host = u, u.Host
	req.Header.Set("Authorization", authorization)
	// RFC 8030 §5.2: TTL is a must.
	req.Header.Set("TTL", strconv.Itoa(int(push.TTL(r, now)/time.Second)))
	req.Header.Set("Urgency", urgency(r.Kind))
	req.Header.Set("Topic", push.CollapseID(r))
	if body != nil {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		// RFC 8291 §4.
		req.Header.Set("Content-Encoding", "aes128gcm")
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	resp, err := s.client.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	o, answered := x.Outcome(now, err)
	if !answered {
		if errors.Is(o.Err, errPrivate) {
			o.Class, o.Reason = push.Rejected, "AddressNotAllowed"
		}
		return o, false
	}
	foreign = foreignKey(x.Status, x.Body)
	o.Class, o.Scope, o.Reason = classify(x.Status, foreign)
	if o.Class != push.OK {
		o.Err = fmt.Errorf("push service answered %d", o.Status)
	}
	return o, foreign
}

// foreignKey reports whether an answer may mean that the subscription was made
// with another VAPID key. RFC 8292 §4.2: 403, or 401. Apple's service may also
// say so in the body of a 400.
func foreignKey(status int, body []byte) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden ||
		status == http.StatusBadRequest && bytes.Contains(body, []byte("VapidPkHashMismatch"))
}

// urgency of RFC 8030 §5.3: high also reaches a device with a low battery.
func urgency(k push.Kind) string {
	if k == push.Refresh {
		return "normal"
	}
	return "high"
}

// maxOrigins bounds what is remembered by origin.
const maxOrigins = 256

// refused counts the subscriptions of an origin whose pushes were refused for
// their authorization since one was taken, this one included.
func (s *Sender) refused(origin, prid string, c push.Class) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch c {
	case push.Suspect:
		seen, known := s.refusals[origin]
		if !known && len(s.refusals) >= maxOrigins {
			return 1
		}
		// One subscription that is called again and again says nothing new.
		if h := maphash.String(s.seed, prid); len(seen) < widespread && !slices.Contains(seen, h) {
			s.refusals[origin] = append(seen, h)
		}
	case push.OK:
		delete(s.refusals, origin)
	default:
	}
	return len(s.refusals[origin])
}

// widespread is how many refused subscriptions, with none that was taken among
// them, speak of our key and not of subscriptions that were made for another.
const widespread = 10

// classify says what a status means; foreign, that it is about the key.
func classify(status int, foreign bool) (push.Class, push.Scope, string) {
	switch {
	case status >= 200 && status < 300:
		return push.OK, 0, ""
	case foreign:
		return push.Suspect, 0, "VAPIDRefused"
	case status == http.StatusNotFound, status == http.StatusGone:
		return push.Gone, 0, "SubscriptionGone"
	case status == http.StatusTooManyRequests:
		return push.Throttled, push.ScopeLane, "TooManyRequests"
	case status == http.StatusRequestEntityTooLarge:
		return push.Rejected, 0, "PayloadTooLarge"
	case status >= 500:
		return push.Unavailable, 0, "ServiceUnavailable"
	default:
		return push.Rejected, 0, "BadRequest"
	}
}
