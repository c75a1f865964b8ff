// Package fcm wakes phones through Firebase Cloud Messaging, HTTP v1, with
// firebase.google.com/go/v4/messaging.
//
// Pushes are data messages: they wake the app and show nothing.
package fcm

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"firebase.google.com/go/v4/messaging"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/option"

	"reveille/push"
	"reveille/push/internal/exchange"
)

// scope is all that pushing needs; the SDK alone would ask for the whole cloud.
const scope = "https://www.googleapis.com/auth/firebase.messaging"

// maxTTL is the longest time to live that FCM takes: four weeks.
const maxTTL = 28 * 24 * time.Hour

// Options of a Sender.
type Options struct {
	// ServiceAccountJSON is the content of the key file.
	ServiceAccountJSON []byte
	// ProjectID is the Firebase project; default the one of the key file.
	ProjectID string
	// Endpoint is the URL up to the version, default FCM's:
	// "https://fcm.googleapis.com/v1".
	Endpoint string
	// RootCAs of the service and of the token server; nil for the system's.
	RootCAs *x509.CertPool
	// Template makes the message's data, a JSON object of strings
	// (docs/push.md says what it sees); empty means what push.Payload lists.
	Template string
	// DryRun lets FCM check messages without delivering them.
	DryRun bool
}

// Sender pushes to the apps of one project. It is safe for concurrent use.
type Sender struct {
	client *messaging.Client
	auth   *authorizer
	tokens *tokens
	dryRun bool
	data   dataMaker
}

var _ push.Sender = (*Sender)(nil)

// New checks the credential and returns a Sender. It does not connect; ctx is
// for reading the credential alone.
func New(ctx context.Context, o Options) (*Sender, error) {
	account, err := google.JWTConfigFromJSON(o.ServiceAccountJSON, scope)
	if err != nil {
		return nil, errors.New("fcm: service account is not the JSON of a key file")
	}
	if o.ProjectID == "" {
		if o.ProjectID, err = projectOf(o.ServiceAccountJSON); err != nil {
			return nil, err
		}
	}
	data, err := newData(o.Template)
	if err != nil {
		return nil, err
	}
	base := &exchange.Redialer{New: func() *http.Transport {
		return &http.Transport{
			TLSClientConfig:        &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
			Proxy:                  http.ProxyFromEnvironment,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    5 * time.Second,
			IdleConnTimeout:        5 * time.Minute,
			MaxResponseHeaderBytes: exchange.MaxHeader,
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 3 * time.Second},
		}
	}}
	toks, err := newTokens(account, base)
	if err != nil {
		return nil, err
	}
	auth := &authorizer{base: base, tokens: toks}
	hc := exchange.NewClient(&exchange.Transport{Base: auth, NoRetry: true})
	cfg := newOf(messaging.NewClient)
	cfg.ProjectID = o.ProjectID
	cfg.Version = "4"
	cfg.Opts = []option.ClientOption{option.WithHTTPClient(hc)}
	if o.Endpoint != "" {
		cfg.Opts = append(cfg.Opts, option.WithEndpoint(strings.TrimSuffix(o.Endpoint, "/")))
	}
	client, err := messaging.NewClient(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("fcm: make client: %w", err)
	}
	return &Sender{client: client, auth: auth, tokens: toks, dryRun: o.DryRun, data: data}, nil
}

// newOf makes the configuration that messaging.NewClient takes. Its type is
// internal to the SDK, but can be inferred. The SDK's own way to a client, the
// firebase package, adds 15 MB of storage and database clients.
func newOf[T any](func(context.Context, *T) (*messaging.Client, error)) *T { return new(T) }

// Close implements push.Sender.
func (s *Sender) Close() error {
	s.auth.CloseIdleConnections()
	return nil
}

// Send implements push.Sender.
func (s *Sender) Send(ctx context.Context, r *push.Request) push.Outcome {
	tok, ok := r.Token()
	if !ok {
		return push.Outcome{Class: push.Forbidden, Reason: "NoTokenForKind"}
	}
	// Calls, and what else somebody waits for, are of high priority.
	m := s.message(r, tok, time.Now())
	o, authorization := s.send(ctx, m)
	if o.Status == http.StatusUnauthorized && o.Reason != thirdParty && s.tokens.drop(authorization, time.Now()) {
		// The access token was revoked before its time; a new one may do.
		o, _ = s.send(ctx, m)
		o.Attempts = 2
	}
	return o
}

func (s *Sender) send(ctx context.Context, m *messaging.Message) (push.Outcome, string) {
	ctx, x := exchange.With(ctx)
	send := s.client.Send
	if s.dryRun {
		send = s.client.SendDryRun
	}
	id, err := send(ctx, m)
	o, answered := x.Outcome(time.Now(), err)
	var te *tokenError
	switch {
	// The token server's word comes as an error of the transport.
	case errors.As(x.Err, &te):
		o.Class, o.Reason, o.Status, o.RetryAfter = te.class, te.reason, te.status, 0
		return o, ""
	case x.Err == nil && !answered:
		// The SDK sent nothing: it finds the message wrong.
		o.Class, o.Reason, o.Err = push.Rejected, "InvalidMessage", errors.New("fcm: message refused by the SDK")
		return o, ""
	case !answered:
		return o, ""
	}
	a := readAnswer(x.Status, x.Body)
	o.Class, o.Scope = a.classify()
	if o.Class == push.OK {
		o.ID = exchange.ID(id)
		return o, x.Authorization
	}
	if o.Class == push.Throttled && o.RetryAfter == 0 {
		o.RetryAfter = defaultRetryAfter
	}
	o.Reason = exchange.Reason(a.code)
	o.Err = fmt.Errorf("fcm answered %d %s", o.Status, o.Reason)
	return o, x.Authorization
}

// message builds the push for r.
func (s *Sender) message(r *push.Request, tok push.Token, now time.Time) *messaging.Message {
	ttl := min(push.TTL(r, now), maxTTL)
	android := &messaging.AndroidConfig{Priority: "high", TTL: &ttl, DirectBootOK: true}
	if r.Kind == push.Refresh {
		// A high priority push that shows nothing costs the app its priority.
		android.Priority = "normal"
		// Calls have no collapse key: FCM allows a device few of such pushes.
		android.CollapseKey = "refresh"
	}
	return &messaging.Message{Token: tok.PRID, Data: s.data.of(r, tok, now), Android: android}
}
