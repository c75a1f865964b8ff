// Package webhook wakes phones through a push service of the operator's own: an
// HTTP request per push, from templates, signed.
package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"reveille/push"
	"reveille/push/internal/exchange"
	"reveille/push/internal/payload"
)

// Options of a Sender.
type Options struct {
	// URL that is called; a template of text/template after its host. Values in
	// it are escaped for a path segment or a query.
	URL string
	// Method, default POST. GET has no body.
	Method string
	// Body is a template of JSON; values in it are escaped for the inside of a
	// JSON string: {"token": "{{.PRID}}"}. {{json .PRID}} puts the quotes,
	// too. Empty means the JSON object of all fields.
	Body string
	// Header are further header fields, such as Authorization.
	Header map[string]string
	// Secret signs requests, see Verify. Empty means unsigned.
	Secret []byte
	// RootCAs of the service; nil for the system's.
	RootCAs *x509.CertPool
}

// Sender calls one URL. It is safe for concurrent use.
type Sender struct {
	url    *urlTemplate
	body   *bodyTemplate
	method string
	header http.Header
	secret []byte
	base   *http.Transport
	client *http.Client
}

var _ push.Sender = (*Sender)(nil)

// New checks the options and tries the templates. It does not connect.
func New(o Options) (*Sender, error) {
	if o.Method == "" {
		o.Method = http.MethodPost
	}
	switch o.Method {
	case http.MethodGet:
		if o.Body != "" {
			return nil, errors.New("webhook: GET with a body")
		}
	case http.MethodPost, http.MethodPut:
	default:
		return nil, fmt.Errorf("webhook: method %q is not GET, POST or PUT", o.Method)
	}
	u, err := newURLTemplate(o.URL)
	if err != nil {
		return nil, err
	}
	b, err := newBodyTemplate(o.Body)
	if err != nil {
		return nil, err
	}
	// Header fields may hold a secret: they are set as given and never logged.
	header := make(http.Header)
	for k, v := range o.Header {
		header.Set(k, v)
	}
	base := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
		Proxy:               http.ProxyFromEnvironment,
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: 5 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		// HTTP/1.1 needs a connection per request under way.
		MaxIdleConnsPerHost: 100,
	}
	return &Sender{
		url: u, body: b, method: o.Method, header: header, secret: o.Secret, base: base,
		client: exchange.NewClient(&exchange.Transport{Base: base}),
	}, nil
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
	now := time.Now()
	f := payload.NewFields(r, tok, now)
	ctx, x := exchange.With(ctx)
	req, err := s.request(ctx, f, now)
	if err != nil {
		return push.Outcome{Class: push.Rejected, Reason: "Template", Err: err}
	}
	resp, err := s.client.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	o, answered := x.Outcome(now, err)
	if !answered {
		return o
	}
	o.Class, o.Scope, o.Reason = classify(x.Status)
	if o.Class != push.OK {
		o.Err = fmt.Errorf("webhook answered %d", o.Status)
	}
	return o
}

func (s *Sender) request(ctx context.Context, f payload.Fields, now time.Time) (*http.Request, error) {
	u, err := s.url.execute(f)
	if err != nil {
		return nil, err
	}
	var body []byte
	if s.method != http.MethodGet {
		if body, err = s.body.execute(f); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, s.method, u, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", exchange.Redact(err))
	}
	req.Header = s.header.Clone()
	if body != nil && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	// The signature comes last, over what is sent.
	if len(s.secret) > 0 {
		Sign(req.Header, s.secret, now, s.method, req.URL.RequestURI(), body)
	}
	return req, nil
}

// classify says what a status means. A 404 is no proof that a token is dead, for
// the URL is the operator's own; 410 is a word that nobody says by mistake.
func classify(status int) (push.Class, push.Scope, string) {
	switch {
	case status >= 200 && status < 300:
		return push.OK, 0, ""
	case status == http.StatusGone:
		return push.Gone, 0, "Gone"
	case status == http.StatusNotFound:
		return push.Suspect, 0, "NotFound"
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return push.Credential, 0, "Unauthorized"
	case status == http.StatusTooManyRequests:
		return push.Throttled, push.ScopeLane, "TooManyRequests"
	case status >= 500, status == http.StatusRequestTimeout:
		return push.Unavailable, 0, "Unavailable"
	default:
		return push.Rejected, 0, "Rejected"
	}
}
